"""Makes the pictures of the live page in docs/, with the daemon on the bundled clip and a real browser.

.venv-dev/bin/python -m tests.bench.page_pictures docs/page-wide.png docs/page-phone.png
"""

import sys
import tempfile
import time
from io import BytesIO
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from PIL import Image
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

from edge.media import CLIP
from tests.support.browser import look_at, start_browser
from tests.support.daemon import free_port, running, wait_until

_MINUTE: float = 60
_TWO_FACES = """
    const rows = (card) => [...card.querySelectorAll('.best .share')].map((one) => parseInt(one.textContent));
    const cards = [...document.querySelectorAll('#faces .face')];
    return cards.length === 2 && cards.every((card) => rows(card)[0] > 45) && document.getElementById('gap').hidden;
"""


def take(wide: Path, phone: Path) -> None:
    """Run the daemon for a minute, so that the graph of the last minute is full, and write both pictures."""
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        flags = {"camera.source": CLIP, "web.port": port, "mqtt.device_id": "kitchen", "mqtt.stats_every": 2}
        url = f"http://127.0.0.1:{port}/"
        with running(folder / "log", flags):
            wait_until(lambda: answers(url + "healthz"), "a picture")
            browser = start_browser(folder / "profile")
            try:
                look_at(browser, url, 1366, 664)
                WebDriverWait(browser, _MINUTE + 30).until(_minute_is_full)
                _shoot(browser, wide)
                look_at(browser, url, 390, 844, "dark")
                _shoot(browser, phone)
            finally:
                browser.quit()


def answers(url: str) -> bool:
    """Return True if a URL answers with status 200."""
    try:
        with urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except URLError:
        return False


def _minute_is_full(browser: webdriver.Chrome) -> bool:
    first = "const rect = document.querySelector('#minute rect'); return rect ? rect.x.baseVal.value : 600"
    return float(browser.execute_script(first)) <= 0


def _two_faces(browser: webdriver.Chrome) -> bool:
    """Return True if the page showed two faces for a second, as its stream may lag behind the events."""
    if not browser.execute_script(_TWO_FACES):
        return False
    time.sleep(1)
    return bool(browser.execute_script(_TWO_FACES))


def _shoot(browser: webdriver.Chrome, out: Path) -> None:
    WebDriverWait(browser, 60).until(_two_faces)
    shown = Image.open(BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    # A palette by octree with Floyd-Steinberg dithering needs a third of the bytes and keeps the colours of small
    # marks.
    shown.quantize(256, method=Image.Quantize.FASTOCTREE).save(out, optimize=True)


if __name__ == "__main__":
    take(Path(sys.argv[1]), Path(sys.argv[2]))
