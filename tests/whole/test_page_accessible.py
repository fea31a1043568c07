"""Accessibility of page, report and notice: axe finds no fault."""

import json
import re
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from edge.commands.notice import notice_page
from edge.config import Settings, WebSettings
from edge.outputs.web.disclosure import Facts
from edge.outputs.web.documents import SETTINGS, Document, settings_document
from edge.outputs.web.server import WebViewer
from edge.reading import PRIVACY
from edge.translations import LANGUAGES
from tests.edge.test_notice import OPEN_BOARD
from tests.edge.test_record_report import DAY, busy_day, made, written
from tests.support.axe import violations
from tests.support.browser import look_at, overflow, start_browser
from tests.support.daemon import free_port
from tests.support.live import eventually, feeding
from tests.support.samples import stats
from tests.whole.test_page_in_browser import TODAY


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    started = start_browser(tmp_path_factory.mktemp("chromium"))
    yield started
    started.quit()


@pytest.fixture
def full() -> Iterator[WebViewer]:
    viewer = WebViewer(
        WebSettings(port=free_port()),
        "kitchen-pi",
        ["mosquitto_sub -h broker.lan -t 'emotion/kitchen-pi/#' -v"],
        {
            SETTINGS: settings_document(Settings()),
            "/today.json": Document("application/json", lambda: json.dumps(TODAY)),
        },
        facts=Facts(record_days=30),
        read=lambda frame: pytest.fail(f"nobody asked: {frame}"),
        webcam=lambda: lambda frame: pytest.fail(f"nobody asked: {frame}"),
        health={"MQTT": lambda: "connected", "Record": lambda: "written"},
    )
    yield viewer
    viewer.close()


@pytest.mark.parametrize("days", [1, 7, 30])
def test_axe_finds_nothing_on_a_report(browser: webdriver.Chrome, tmp_path: Path, days: int) -> None:
    written(tmp_path, *(row for back in range(min(days, 3)) for row in busy_day(f"2026-11-{20 - back}")))
    page = made(tmp_path, "report.html", "--day", DAY, "--days", str(days))
    for width, scheme in ((320, "light"), (390, "dark"), (1280, "dark"), (1920, "light")):
        look_at(browser, page.as_uri(), width, 900, scheme)
        assert violations(browser) == []
        assert overflow(browser) <= 0
    assert len(browser.find_elements(By.CSS_SELECTOR, ".days svg")) == (days if days > 1 else 0)


@pytest.mark.parametrize("language", LANGUAGES)
def test_axe_finds_nothing_on_a_notice_and_it_prints_on_one_sheet(
    browser: webdriver.Chrome, tmp_path: Path, language: str
) -> None:
    page = tmp_path / "notice.html"
    page.write_text(notice_page(OPEN_BOARD, language), encoding="utf-8")
    look_at(browser, page.as_uri(), 800, 1100)
    assert violations(browser) == []
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True, "printBackground": True})
    assert len(re.findall(rb"/Type\s*/Page\b", b64decode(printed["data"]))) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_the_live_page(browser: webdriver.Chrome, full: WebViewer, scheme: str) -> None:
    with feeding(full):
        full.report(stats())
        for width, height in ((320, 640), (390, 844), (1280, 720), (1920, 1080)):
            look_at(browser, full.url, width, height, scheme)
            eventually(lambda: browser.find_elements(By.CSS_SELECTOR, "#faces .face"), "the faces")
            eventually(lambda: browser.find_elements(By.CSS_SELECTOR, "#sections summary"), "the settings")
            eventually(lambda: browser.find_elements(By.CSS_SELECTOR, "#today-shares li"), "today")
            assert violations(browser) == []
            assert overflow(browser) <= 0
        full.report(stats(PRIVACY))
        eventually(lambda: browser.find_element(By.ID, "status").text == "Privacy is on", "privacy")
        assert violations(browser) == []
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]
