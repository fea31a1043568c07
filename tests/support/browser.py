"""A real browser for tests of web pages."""

import shutil
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service


def start_browser(profile: Path, *flags: str) -> webdriver.Chrome:
    """Start headless Chromium with an empty profile and further flags; skips the test if it is not installed.

    The name kitchen.test resolves to this machine.
    """
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("Chromium or its driver is not installed (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--host-resolver-rules=MAP kitchen.test 127.0.0.1",
        f"--user-data-dir={profile}",
        *flags,
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=Service(driver))


def look_at(browser: webdriver.Chrome, url: str, width: int = 1400, height: int = 900, scheme: str = "light") -> None:
    """Open a page at this screen size and colour scheme, and empty the browser's log."""
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get("about:blank")
    browser.get_log("browser")  # type: ignore[no-untyped-call]  # what went before is no concern of this page
    browser.get(url)


def overflow(browser: webdriver.Chrome) -> int:
    """Number of pixels by which the page is wider than the screen."""
    script = "const page = document.documentElement; return page.scrollWidth - page.clientWidth"
    return int(browser.execute_script(script))


def is_dark(browser: webdriver.Chrome) -> bool:
    """Return True if the page's background is dark."""
    shade = str(browser.execute_script("return getComputedStyle(document.body).backgroundColor"))
    return int(shade.removeprefix("rgb(").split(",")[0]) < 128
