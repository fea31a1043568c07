"""The live page in a real browser."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from edge.config import WebSettings
from edge.outputs.web import WebViewer
from tests.browser import is_dark, look_at, overflow, start_browser
from tests.live import eventually, feeding, port_of
from tests.samples import stats


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    started = start_browser(tmp_path_factory.mktemp("chromium"))
    yield started
    started.quit()


def text(browser: webdriver.Chrome, name: str) -> str:
    return browser.find_element(By.ID, name).text


def shown_pixels(browser: webdriver.Chrome) -> str:
    """The picture that the page shows now, as a data URL; empty while there is none."""
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
        eventually(lambda: text(browser, "emotion").lower() == "happy", "the emotion of the largest face")
        told["emotion"] = "surprise"
        eventually(lambda: text(browser, "emotion").lower() == "surprise", "the changed emotion")
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
    eventually(lambda: text(browser, "status") == "No picture yet", "that there is no picture")
    with feeding(viewer):
        moving(browser)
        eventually(lambda: text(browser, "status") == "Live", "the status")
        assert not browser.find_element(By.ID, "gap").is_displayed()
    viewer.report(stats("camera 0: unplugged"))
    eventually(lambda: "camera 0: unplugged" in text(browser, "status"), "that the camera is gone")
    assert "No new picture" in text(browser, "gap")
    with feeding(viewer):
        eventually(lambda: text(browser, "status") == "Live", "the status again")
        moving(browser)


def test_page_reconnects_when_the_daemon_starts_again(browser: webdriver.Chrome, viewer: WebViewer) -> None:
    with feeding(viewer):
        look_at(browser, viewer.url)
        moving(browser)
        viewer.close()
        eventually(lambda: "Connection lost" in text(browser, "status"), "that the connection is lost")
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
