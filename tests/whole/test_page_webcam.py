"""The browser's own camera, in real Chromium whose fake camera plays the bundled clip."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from edge.config import Settings, WebSettings
from edge.media import CLIP
from edge.models.runtime import choose
from edge.outputs.web.server import WebViewer
from edge.pipeline import open_pipeline
from tests.support.browser import look_at, start_browser
from tests.support.daemon import free_port
from tests.support.live import eventually, port_of


@pytest.fixture(scope="module")
def mjpeg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Motion JPEG file with some seconds of the clip, for Chromium's fake camera."""
    file = tmp_path_factory.mktemp("device") / "clip.mjpeg"
    clip = cv2.VideoCapture(str(CLIP))
    with file.open("wb") as out:
        for _ in range(60):
            done, image = clip.read()
            assert done
            out.write(cv2.imencode(".jpg", image)[1].tobytes())
    return file


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, mjpeg: Path) -> Iterator[webdriver.Chrome]:
    started = start_browser(
        tmp_path_factory.mktemp("chromium"),
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={mjpeg}",
    )
    yield started
    started.quit()


@pytest.fixture(scope="module")
def page() -> Iterator[WebViewer]:
    settings, runtime = Settings(), choose("auto")
    served = WebViewer(WebSettings(port=free_port()), webcam=lambda: open_pipeline(settings, runtime).analyse)
    yield served
    served.close()


def text(browser: webdriver.Chrome, name: str) -> str:
    return browser.find_element(By.ID, name).text


def test_the_clip_before_the_browsers_camera_is_read_until_it_is_stopped(
    browser: webdriver.Chrome, page: WebViewer
) -> None:
    look_at(browser, page.url)
    switch = browser.find_element(By.ID, "webcam-switch")
    eventually(switch.is_displayed, "the button")
    assert "None is kept" in text(browser, "webcam")
    switch.send_keys(Keys.ENTER)
    eventually(lambda: browser.find_elements(By.CSS_SELECTOR, "#webcam-faces .face"), "a face")
    assert "Faces found: " in text(browser, "webcam-answer")
    drawn = "return document.getElementById('webcam-picture').width"
    assert browser.execute_script(drawn) == 640
    switch.send_keys(Keys.ENTER)
    eventually(lambda: browser.execute_script(drawn) == 0, "the picture is gone")
    assert not browser.find_elements(By.CSS_SELECTOR, "#webcam-faces .face")
    sent = "return performance.getEntriesByType('resource').map((one) => new URL(one.name).host)"
    assert set(browser.execute_script(sent)) == {f"127.0.0.1:{port_of(page)}"}
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]


def test_without_https_it_says_what_is_missing(browser: webdriver.Chrome) -> None:
    """Browsers refuse the camera over plain HTTP on a host other than localhost, and the page says so."""
    served = WebViewer(
        WebSettings(port=free_port(), names="kitchen.test"),
        webcam=lambda: lambda frame: pytest.fail(f"read: {frame.sequence}"),
    )
    try:
        look_at(browser, f"http://kitchen.test:{port_of(served)}/")
        eventually(lambda: "HTTPS or on localhost" in text(browser, "webcam-answer"), "what is missing")
        assert not browser.find_element(By.ID, "webcam-switch").is_enabled()
    finally:
        served.close()
