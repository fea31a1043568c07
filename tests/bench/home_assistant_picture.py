"""Makes the picture of the dashboard in docs/, with a real Home Assistant, the daemon on the clip, and a browser.

.venv-dev/bin/python -m tests.bench.home_assistant_picture docs/home-assistant.png
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from selenium.webdriver.support.ui import WebDriverWait

from edge.media import CLIP
from tests.support.broker import Mosquitto
from tests.support.browser import look_at, start_browser
from tests.support.daemon import running, wait_until
from tests.support.home_assistant import HomeAssistant
from tests.whole.test_home_assistant import with_dashboard

_PAGE = "history:\nlogbook:\n"
"""Integrations that the dashboard's graphs and lists need."""

_SHOWN = """
    const texts = [];
    (function walk(node) {
        for (const child of node.querySelectorAll('*')) {
            if (child.shadowRoot) walk(child.shadowRoot);
            if (child.tagName.startsWith('HUI-')) texts.push(child.tagName);
        }
    })(document);
    return texts.length
"""
"""JavaScript that counts the dashboard's visible cards and rows in all shadow roots (58 when complete)."""


def take(out: Path, seconds: float = 30) -> None:
    """Run the daemon for some seconds, so that there is a history, and write the picture."""
    with tempfile.TemporaryDirectory() as name, Mosquitto() as broker:
        folder = Path(name)
        os.environ["STATE_DIRECTORY"] = name
        (folder / "home").mkdir()
        with HomeAssistant(folder / "home", with_dashboard(folder / "home") + _PAGE) as home:
            home.connect(broker.port)
            flags = {"camera.source": CLIP, "mqtt.host": "127.0.0.1", "mqtt.port": broker.port, "mqtt.heartbeat": 1}
            flags |= {"mqtt.device_id": "kitchen", "mqtt.snapshots": "true", "mqtt.stats_every": 2}
            with running(folder / "log", flags):
                wait_until(lambda: home.state("binary_sensor.kitchen_presence") == "on", "a face")
                time.sleep(seconds)
                home.act("button.press", "button.kitchen_take_snapshot")
                wait_until(lambda: home.state("image.kitchen_snapshot") != "unknown", "a picture")
                browser = start_browser(folder / "profile")
                try:
                    look_at(browser, home.url)
                    browser.execute_script("localStorage.setItem('hassTokens', arguments[0])", json.dumps(home.tokens))
                    look_at(browser, f"{home.url}/emotion-edge/kitchen", 1400, 960)
                    WebDriverWait(browser, 90).until(lambda driver: driver.execute_script(_SHOWN) > 40)
                    time.sleep(5)  # graphs and pictures appear after the cards
                    browser.save_screenshot(str(out))
                finally:
                    browser.quit()


if __name__ == "__main__":
    take(Path(sys.argv[1]))
