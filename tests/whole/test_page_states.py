"""The page's statements on what runs, leaves the board and is stored, in every state, in a real browser."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from html import unescape

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from edge.config import WebSettings
from edge.outputs.web.disclosure import CONNECTED, MQTT, PAUSED, RECORD, Facts
from edge.outputs.web.documents import PAGE
from edge.outputs.web.server import WebViewer
from edge.reading import PRIVACY, Face
from edge.translations import LANGUAGES, words_of
from tests.support.browser import look_at, start_browser
from tests.support.daemon import free_port
from tests.support.live import eventually
from tests.support.samples import face, frame, reading, stats


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    started = start_browser(tmp_path_factory.mktemp("chromium"))
    yield started
    started.quit()


@dataclass
class Board:
    """The page's server, and the states of the daemon's parts."""

    viewer: WebViewer
    health: dict[str, str]

    def show(self, *faces: Face, analysed: bool = True, camera: str = "online") -> None:
        shown = frame()
        self.viewer.report(stats(camera))
        self.viewer.show(shown, replace(reading(faces, shown), analysed=analysed))


def board(facts: Facts, **health: str) -> Board:
    states = dict(health)

    def state_of(name: str) -> Callable[[], str]:
        return lambda: states[name]

    settings = WebSettings(port=free_port(), images=facts.images)
    viewer = WebViewer(settings, "kitchen", facts=facts, health={name: state_of(name) for name in states})
    return Board(viewer, states)


def text(browser: webdriver.Chrome, name: str) -> str:
    return browser.find_element(By.ID, name).text


WORDS = words_of()
SENTENCES = {key: WORDS[key].replace("{days}", "30") for key in WORDS if key.startswith("say_")}


def said(browser: webdriver.Chrome) -> set[str]:
    """Return the translation keys of the statements shown."""
    notice = text(browser, "notice")
    return {key for key, sentence in SENTENCES.items() if sentence in notice}


def becomes(browser: webdriver.Chrome, show: Callable[[], None], keys: set[str], pill: str, emotion: str) -> None:
    def so() -> bool:
        show()
        return (said(browser), text(browser, "status"), text(browser, "emotion")) == (keys, pill, emotion)

    eventually(so, f"{sorted(keys)}, {pill!r}, {emotion!r}")


EVERYTHING = Facts(images=True, shared=True, snapshots=True, record_days=30)


def test_the_walk_through_all_states(browser: webdriver.Chrome) -> None:
    """States: running, detection off, privacy, camera lost, record paused, broker lost; with record and snapshots."""
    kitchen = board(EVERYTHING, **{MQTT: CONNECTED, RECORD: "written"})
    images = {"say_snapshots", "say_images_page"}
    try:
        look_at(browser, kitchen.viewer.url)

        def running() -> None:
            kitchen.show(face(3))

        def rate() -> str:
            return text(browser, "fps")

        becomes(browser, running, {"say_running", *images, "say_mqtt", "say_recorded"}, "Live", "Looks happy")
        assert rate() == "24.8 fps"
        off = {"say_off", *images, "say_record_idle"}
        becomes(browser, lambda: kitchen.show(analysed=False), off, "Recognition is off", "Recognition is off")
        assert (rate(), text(browser, "latency")) == ("–", "–")
        assert not browser.find_elements(By.CSS_SELECTOR, "#faces .face")

        def private() -> None:
            kitchen.show(analysed=False, camera=PRIVACY)

        becomes(browser, private, {"say_off", "say_camera_off", "say_record_idle"}, "Privacy is on", "Privacy is on")
        assert rate() == "–"
        assert "24.8" not in browser.find_element(By.TAG_NAME, "main").text
        becomes(browser, running, {"say_running", *images, "say_mqtt", "say_recorded"}, "Live", "Looks happy")
        kitchen.health[RECORD] = f"{PAUSED}: no space left on device"
        becomes(browser, running, {"say_running", *images, "say_mqtt", "say_record_paused"}, "Live", "Looks happy")
        kitchen.health[RECORD] = "written"
        kitchen.health[MQTT] = "refused: bad password"
        becomes(browser, running, {"say_running", *images, "say_mqtt_lost", "say_recorded"}, "Live", "Looks happy")
        kitchen.health[MQTT] = CONNECTED

        def lost() -> None:
            kitchen.viewer.report(stats("camera 0: unplugged"))

        no_picture = {"say_no_picture", *images, "say_record_idle"}
        becomes(browser, lost, no_picture, "No picture from the camera", "–")
        assert rate() == "–"
        becomes(browser, running, {"say_running", *images, "say_mqtt", "say_recorded"}, "Live", "Looks happy")
    finally:
        kitchen.viewer.close()
    eventually(lambda: text(browser, "status") == "No connection to the board", "that the board is gone")
    assert said(browser) == set()
    assert WORDS["page_unknown"] in text(browser, "notice")
    hidden = "return getComputedStyle(document.getElementById('stream')).visibility"
    assert browser.execute_script(hidden) == "hidden"  # no broken picture


@pytest.mark.parametrize(
    ("facts", "keys"),
    [
        (Facts(), {"say_running", "say_no_image", "say_not_recorded"}),
        (Facts(images=False, shared=True), {"say_running", "say_no_image", "say_not_recorded"}),
        (Facts(shared=True), {"say_running", "say_images_page", "say_not_recorded"}),
        (Facts(snapshots=True), {"say_running", "say_snapshots", "say_not_recorded"}),
        (Facts(server=True, record_days=30), {"say_running", "say_server", "say_recorded"}),
    ],
)
def test_what_leaves_the_board_is_said_as_the_settings_have_it(
    browser: webdriver.Chrome, facts: Facts, keys: set[str]
) -> None:
    one = board(facts, **({RECORD: "written"} if facts.record_days else {}))
    try:
        look_at(browser, one.viewer.url)
        becomes(browser, lambda: one.show(face()), keys, "Live", "Looks happy")
        assert browser.find_element(By.ID, "stage").is_displayed() is facts.images
    finally:
        one.viewer.close()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_speaks_the_browsers_language(browser: webdriver.Chrome, language: str) -> None:
    one, words = board(EVERYTHING, **{MQTT: CONNECTED, RECORD: "written"}), words_of(language)
    agent = browser.execute_script("return navigator.userAgent")
    browser.execute_cdp_cmd("Emulation.setUserAgentOverride", {"userAgent": agent, "acceptLanguage": language})
    try:
        look_at(browser, one.viewer.url, 390, 844)

        def translated() -> bool:
            one.show(face())
            return words["say_recorded"].replace("{days}", "30") in text(browser, "notice")

        eventually(translated, f"the notice in {language}")
        assert browser.execute_script("return document.documentElement.lang") == language
        assert text(browser, "emotion").lower() == words["looks_happy"].lower()
        assert browser.find_element(By.TAG_NAME, "footer").text == words["page_estimate"]
        missing = (
            "return [...document.querySelectorAll('*')].filter((e) => /^(page|say|looks)_/.test(e.textContent)).length"
        )
        assert browser.execute_script(missing) == 0
        page = "const page = document.documentElement; return page.scrollWidth - page.clientWidth"
        assert browser.execute_script(page) <= 0
    finally:
        browser.execute_cdp_cmd("Emulation.setUserAgentOverride", {"userAgent": agent, "acceptLanguage": "en"})
        one.viewer.close()


def test_the_english_of_the_page_itself_is_that_of_the_translations() -> None:
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    shown = re.findall(r'data-word="(\w+)"[^>]*>([^<]+)<', html)
    assert len(shown) > 25
    for key, english in shown:
        assert unescape(english) == WORDS[key], key
