"""The live page in a real browser."""

import json
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from pydantic import SecretStr
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from edge.config import Settings, WebSettings
from edge.models.runtime import choose
from edge.outputs.web.disclosure import Facts
from edge.outputs.web.documents import SETTINGS, Document, settings_document
from edge.outputs.web.server import WebViewer
from edge.pipeline import open_pipeline, read_once
from edge.reading import Image
from tests.support.browser import is_dark, look_at, overflow, start_browser
from tests.support.daemon import free_port
from tests.support.live import eventually, feeding, get, port_of
from tests.support.samples import picture, stats


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    started = start_browser(tmp_path_factory.mktemp("chromium"))
    yield started
    started.quit()


TODAY = {
    "slot_minutes": 15,
    "seconds": {"happy": 225.0, "sad": 75.0},
    "present": 300.0,
    "watched": 6000.0,
    "changed": 4,
    "slots": [{"start": "2026-11-20T09:15+01:00", "seconds": {"happy": 225.0, "sad": 75.0}, "present": 300.0}],
}


@pytest.fixture
def full() -> Iterator[WebViewer]:
    """A live page with all data that a daemon provides."""
    settings = Settings.model_validate({"mqtt": {"host": "broker.lan"}, "web": {"password": "hush"}})
    runtime = choose("auto")
    served = WebViewer(
        WebSettings(port=free_port()),
        "kitchen-pi",
        documents={
            SETTINGS: settings_document(settings),
            "/today.json": Document("application/json", lambda: json.dumps(TODAY)),
        },
        facts=Facts(record_days=30),
        webcam=lambda: open_pipeline(settings, runtime).analyse,
        read=lambda given: read_once(settings, runtime, given),
        health={"MQTT": lambda: "refused: bad password"},
    )
    yield served
    served.close()


def text(browser: webdriver.Chrome, name: str) -> str:
    return browser.find_element(By.ID, name).text


def shown_pixels(browser: webdriver.Chrome) -> str:
    """Return the picture that the page shows, as a data URL; "" if there is none."""
    script = """
        const image = document.getElementById("stream");
        if (!image.naturalWidth) return "";
        const canvas = document.createElement("canvas");
        canvas.width = image.naturalWidth;
        canvas.height = image.naturalHeight;
        canvas.getContext("2d").drawImage(image, 0, 0);
        return canvas.toDataURL();
    """
    return str(browser.execute_script(script))


def moving(browser: webdriver.Chrome) -> None:
    """Wait until the page shows a picture, and then another."""
    first = eventually(lambda: shown_pixels(browser), "the page shows a picture")
    eventually(lambda: shown_pixels(browser) not in ("", first), "the picture changes")


@pytest.mark.parametrize(("width", "scheme"), [(375, "dark"), (800, "light"), (1366, "light"), (2560, "dark")])
def test_page_shows_stream_and_emotion(
    browser: webdriver.Chrome, viewer: WebViewer, width: int, scheme: str, tmp_path: Path
) -> None:
    with feeding(viewer) as told:
        viewer.report(stats())
        look_at(browser, viewer.url, width, scheme=scheme)
        moving(browser)
        eventually(lambda: text(browser, "emotion") == "Looks happy", "the emotion of the largest face")
        told["emotion"] = "surprise"
        eventually(lambda: text(browser, "emotion") == "Looks surprised", "the changed emotion")
        eventually(lambda: text(browser, "status") == "Live", "the status")
        eventually(lambda: "24.8" in text(browser, "fps"), "the rate")
        cards = browser.find_elements(By.CSS_SELECTOR, ".face")
        assert [card.find_element(By.TAG_NAME, "h3").text for card in cards] == ["Face 3", "Face 4"]
        assert all(len(card.find_elements(By.CSS_SELECTOR, ".scores li")) == 7 for card in cards)
        assert "Emotion recognition is running" in browser.find_element(By.CSS_SELECTOR, ".notice").text
        assert text(browser, "device") == "kitchen-pi"
        assert text(browser, "topics").split("\n") == ["emotion/kitchen-pi/state", "emotion/kitchen-pi/#"]
        assert overflow(browser) <= 0
        assert is_dark(browser) is (scheme == "dark")
        browser.save_screenshot(str(tmp_path / f"{width}-{scheme}.png"))
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]


def test_page_says_when_the_camera_is_lost_and_comes_back(browser: webdriver.Chrome, viewer: WebViewer) -> None:
    look_at(browser, viewer.url)
    eventually(lambda: text(browser, "status") == "No picture from the camera", "that there is no picture")
    with feeding(viewer):
        moving(browser)
        eventually(lambda: text(browser, "status") == "Live", "the status")
        assert not browser.find_element(By.ID, "gap").is_displayed()
    viewer.report(stats("camera 0: unplugged"))
    eventually(lambda: text(browser, "status") == "No picture from the camera", "that the camera is gone")
    eventually(lambda: "camera 0: unplugged" in text(browser, "gap"), "why it is")
    with feeding(viewer):
        eventually(lambda: text(browser, "status") == "Live", "the status again")
        moving(browser)


def test_page_reconnects_when_the_daemon_starts_again(browser: webdriver.Chrome, viewer: WebViewer) -> None:
    with feeding(viewer):
        look_at(browser, viewer.url)
        moving(browser)
        viewer.close()
        eventually(lambda: "No connection to the board" in text(browser, "status"), "that the connection is lost")
    again = WebViewer(WebSettings(port=port_of(viewer)))
    with feeding(again):
        eventually(lambda: text(browser, "status") == "Live", "the status again")
        moving(browser)
    again.close()


def test_page_asks_again_for_a_stream_that_ended(browser: webdriver.Chrome, viewer: WebViewer) -> None:
    with feeding(viewer):
        look_at(browser, viewer.url)
        moving(browser)
        browser.execute_script("document.getElementById('stream').removeAttribute('src')")
        eventually(lambda: shown_pixels(browser) == "", "the stream ended")
        moving(browser)


def test_page_that_nobody_sees_lets_the_stream_go(browser: webdriver.Chrome, viewer: WebViewer) -> None:
    with feeding(viewer):
        look_at(browser, viewer.url)
        moving(browser)
        page = browser.current_window_handle
        browser.switch_to.new_window("tab")

        def rests() -> bool:
            before = viewer.encoded
            time.sleep(0.5)
            return viewer.encoded == before

        eventually(rests, "the encoder rests")
        browser.close()
        browser.switch_to.window(page)
        moving(browser)


def test_the_live_part_fits_one_screen_of_a_laptop(browser: webdriver.Chrome, viewer: WebViewer) -> None:
    with feeding(viewer):
        for width, height in ((1366, 650), (1280, 720), (1920, 960)):
            look_at(browser, viewer.url, width, height)
            eventually(lambda: len(browser.find_elements(By.CSS_SELECTOR, "#faces .face")) == 2, "two faces")
            parts = ("stream", "pause", "now", "faces", "minute")
            script = "return arguments[0].map((id) => document.getElementById(id).getBoundingClientRect().bottom)"
            assert max(browser.execute_script(script, parts)) <= height


def test_the_stream_is_as_wide_as_the_screen_needs(browser: webdriver.Chrome, viewer: WebViewer) -> None:
    shown = "return document.getElementById('stream').naturalWidth"
    large = picture(1280, 960)
    with feeding(viewer, image=large):
        look_at(browser, viewer.url, 375)
        eventually(lambda: browser.execute_script(shown) == 480, "a picture for a narrow screen")
        look_at(browser, viewer.url, 2560, 1400)
        eventually(lambda: browser.execute_script(shown) == 1280, "a picture for a wide screen")


def test_the_last_minute_is_drawn_and_said(browser: webdriver.Chrome, viewer: WebViewer) -> None:
    with feeding(viewer) as told:
        eventually(lambda: get(viewer, "/healthz")[0] == 200, "a minute that begins before anybody looks")
        time.sleep(1)
        told["emotion"] = "surprise"
        look_at(browser, viewer.url)
        minute = browser.find_element(By.ID, "minute")

        def said() -> bool:
            label = minute.get_attribute("aria-label") or ""
            return "Happy" in label and "Surprise" in label

        eventually(said, "what was shown before the page was opened, and what is now")
        assert len(minute.find_elements(By.CSS_SELECTOR, "rect")) == 2
        assert {path.get_attribute("class") for path in minute.find_elements(By.CSS_SELECTOR, "path")} == {
            "valence",
            "arousal",
        }


def test_pause_rests_the_stream_and_keeps_the_emotions(browser: webdriver.Chrome, viewer: WebViewer) -> None:
    with feeding(viewer) as told:
        look_at(browser, viewer.url)
        moving(browser)
        button = browser.find_element(By.ID, "pause")
        button.send_keys(Keys.ENTER)
        assert button.get_attribute("aria-pressed") == "true"
        eventually(lambda: shown_pixels(browser) == "", "the stream ends")
        told["emotion"] = "fear"
        eventually(lambda: text(browser, "emotion") == "Looks afraid", "the emotions go on")
        assert "paused" in text(browser, "gap")
        button.send_keys(Keys.SPACE)
        moving(browser)


def test_every_control_is_reached_by_keyboard_and_seen(browser: webdriver.Chrome, full: WebViewer) -> None:
    with feeding(full):
        look_at(browser, full.url)
        eventually(lambda: browser.find_elements(By.CSS_SELECTOR, "#settings summary"), "the settings")
        reached = []
        for _ in range(30):
            ActionChains(browser).send_keys(Keys.TAB).perform()
            active = browser.switch_to.active_element
            reached.append(active.get_attribute("id") or active.tag_name)
            around = "return getComputedStyle(arguments[0].closest('.button') || arguments[0]).outlineStyle"
            assert browser.execute_script(around, active) != "none" or active.tag_name == "body"
        assert reached[0] == "a"  # the skip link
        assert {"pause", "file", "summary"} <= set(reached)
        unnamed = """
            const named = (one) => ["aria-label", "aria-labelledby"].some((name) => one.getAttribute(name));
            return [...document.querySelectorAll("section, [role=img], button, input")]
                .filter((one) => !named(one) && !one.labels?.length && !one.textContent).length
        """
        assert browser.execute_script(unnamed) == 0
        look_at(browser, full.url)  # anew: the skip link is the first that Tab reaches, and only then on the screen
        ActionChains(browser).send_keys(Keys.TAB, Keys.ENTER).perform()
        assert browser.switch_to.active_element.get_attribute("id") == "live"


def test_a_picture_that_is_chosen_or_dropped_is_read_and_can_be_removed(
    browser: webdriver.Chrome, full: WebViewer, astronaut: Image, tmp_path: Path
) -> None:
    file = tmp_path / "portrait.jpg"
    cv2.imwrite(str(file), cv2.resize(astronaut, (2000, 2000)))
    (tmp_path / "no-picture.png").write_text("no picture")
    look_at(browser, full.url, 390, 844)
    chooser = eventually(lambda: browser.find_element(By.ID, "file"), "the chooser")
    eventually(lambda: text(browser, "reads") != "", "the page takes pictures")
    chooser.send_keys(str(file))
    eventually(lambda: "Faces found: 1. Looks happy" in text(browser, "answer"), "what is seen in it")
    shown = browser.find_element(By.ID, "read")
    eventually(lambda: browser.execute_script("return arguments[0].naturalWidth", shown) == 1920, "the picture")
    assert "Looks happy" in (shown.get_attribute("alt") or "")
    assert browser.find_element(By.CSS_SELECTOR, "#read-faces .face h3").text == "Face 1"
    assert overflow(browser) <= 0
    browser.find_element(By.ID, "remove").send_keys(Keys.ENTER)
    assert not shown.is_displayed()
    assert browser.execute_script("return arguments[0].src", shown) == ""
    chooser.send_keys(str(tmp_path / "no-picture.png"))
    eventually(lambda: "JPEG, PNG, WebP" in text(browser, "answer"), "what is wrong with it")
    dropped = """
        const data = new DataTransfer();
        const bytes = Uint8Array.from(atob(arguments[0]), (letter) => letter.charCodeAt(0));
        data.items.add(new File([bytes], "portrait.jpg", { type: "image/jpeg" }));
        for (const name of ["dragover", "drop"])
            document.body.dispatchEvent(new DragEvent(name, { dataTransfer: data, bubbles: true, cancelable: true }));
    """
    browser.execute_script(dropped, b64encode(cv2.imencode(".jpg", astronaut)[1].tobytes()).decode())
    eventually(
        lambda: "Faces found: 1. Looks happy" in text(browser, "answer"), "what is seen in the one that was dropped"
    )


def test_today_health_and_settings(browser: webdriver.Chrome, full: WebViewer) -> None:
    with feeding(full):
        full.report(stats())
        look_at(browser, full.url)
        eventually(
            lambda: "In view: 5 min · Watched: 1 h 40 min · Changes: 4" in text(browser, "today-said"),
            "the record's sums",
        )
        names = [row.text.split("\n")[0] for row in browser.find_elements(By.CSS_SELECTOR, "#today-shares li")]
        assert names == ["Happy", "Sad"]
        assert len(browser.find_elements(By.CSS_SELECTOR, "#day rect")) == 2
        eventually(lambda: "refused: bad password" in text(browser, "health-list"), "how MQTT does")
        assert "ai-edge-litert 2.3.0" in text(browser, "health-list")
        assert "limited by pace.max_fps: 25.0 frames" in text(browser, "health-list")
        summary = browser.find_element(By.XPATH, "//summary[starts-with(., 'mqtt')]")
        assert "1 changed" in summary.text
        summary.send_keys(Keys.ENTER)
        assert "broker.lan" in text(browser, "sections")
        assert "hush" not in browser.page_source


def test_a_page_without_images_has_emotions_alone(browser: webdriver.Chrome) -> None:
    viewer = WebViewer(WebSettings(port=free_port(), images=False))
    with feeding(viewer):
        look_at(browser, viewer.url)
        eventually(lambda: text(browser, "emotion") == "Looks happy", "the emotion")
        assert not browser.find_element(By.ID, "stage").is_displayed()
        assert viewer.encoded == 0
    viewer.close()


def test_the_page_with_a_password_asks_once(browser: webdriver.Chrome) -> None:
    viewer = WebViewer(WebSettings(host="0.0.0.0", port=free_port(), password=SecretStr("sesame")))
    with feeding(viewer):
        look_at(browser, f"http://anybody:sesame@127.0.0.1:{port_of(viewer)}/")
        moving(browser)
        eventually(lambda: text(browser, "status") == "Live", "the events")
        eventually(lambda: "whoever may open the board's page" in text(browser, "notice"), "who sees the images")
        assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]
    viewer.close()
