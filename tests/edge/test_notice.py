"""The notice for the door: its contents depend on the settings, in each language."""

import base64
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import cv2
import numpy as np
import pytest
from selenium import webdriver

from edge.cli import main
from edge.commands.doctor import _notice as doctor_notice
from edge.commands.notice import missing_fields, notice, notice_page
from edge.config import Settings
from edge.errors import EmotionEdgeError
from edge.translations import LANGUAGES, words_of
from tests.support.browser import look_at, overflow, start_browser

OWNER = {"controller": "Makerspace <Hamburg> & friends", "contact": "+49 40 5550123", "purpose": "Light that answers."}
OPEN_BOARD = Settings.model_validate(
    {
        "notice": OWNER,
        "record": {"enabled": True, "days": 7},
        "mqtt": {"host": "broker.lan", "snapshots": True},
        "web": {"host": "0.0.0.0", "password": "sesame"},
    }
)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_says_what_this_board_does(language: str) -> None:
    words = words_of(language)
    closed, opened = (unescape(notice_page(one, language)) for one in (Settings(), OPEN_BOARD))
    for page in (closed, opened):
        assert words["sheet_title"] in page
        assert words["sheet_off_text"] in page
        assert words["page_estimate"] in page
        assert "2024/1689" in page
        assert "{" not in page.split("</style>")[1]
    assert all(words[key] in closed for key in ("say_no_image", "say_not_recorded", "sheet_sent_nothing"))
    assert closed.count('class="blank"') == 3
    recorded = words["say_recorded"].format(days=7)
    assert all(
        text in opened for text in (recorded, words["say_snapshots"], words["say_images_page"], words["say_mqtt"])
    )
    assert words["say_no_image"] not in opened
    assert all(value in opened for value in OWNER.values())
    assert "sesame" not in opened


def test_what_the_owner_writes_is_no_markup() -> None:
    assert "<Hamburg>" not in notice_page(OPEN_BOARD, "en")


def test_the_code_leads_to_the_address_that_is_set_else_to_a_page_on_the_network() -> None:
    told = OPEN_BOARD.model_copy(
        update={"notice": OPEN_BOARD.notice.model_copy(update={"url": "https://example.org/e"})}
    )
    assert 'aria-label="https://example.org/e"' in notice_page(told, "en")
    assert ":8080/" in notice_page(OPEN_BOARD, "en")
    assert "<svg role" not in notice_page(Settings(), "en")


def test_the_command_writes_it_and_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["notice", "--language", "pl", "--notice.controller", "Dom"]) == 0
    told = capsys.readouterr()
    assert told.out.strip() == "notice-pl.html"
    assert "notice.purpose, notice.contact" in told.err
    assert "Dom" in (tmp_path / "notice-pl.html").read_text(encoding="utf-8")
    assert main(["notice", "--language", "xx"]) == 2
    assert "must be one of en, de" in capsys.readouterr().err
    with pytest.raises(EmotionEdgeError, match="cannot write"):
        notice(Settings(), out=tmp_path / "no" / "folder.html")


def test_doctor_reminds_only_where_something_is_kept_or_open() -> None:
    assert doctor_notice(Settings()).state == "ok"
    assert doctor_notice(OPEN_BOARD).state == "ok"
    blank = OPEN_BOARD.model_copy(update={"notice": Settings().notice})
    found = doctor_notice(blank)
    assert found.state == "note"
    assert "a record is kept" in found.text
    assert all(name in found.text for name in missing_fields(blank))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    browser = start_browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.quit()


def test_a_reader_of_codes_finds_the_address_on_the_sheet(browser: webdriver.Chrome, tmp_path: Path) -> None:
    url = "https://example.org/emotion?board=kitchen"
    told = OPEN_BOARD.model_copy(update={"notice": OPEN_BOARD.notice.model_copy(update={"url": url})})
    path = notice(told, "de", tmp_path / "notice.html")
    look_at(browser, path.as_uri(), 794, 1400)
    place = browser.execute_script(
        "const at = document.querySelector('.more').getBoundingClientRect(); return at.toJSON()"
    )
    clip = {key: place[key] for key in ("x", "y", "width", "height")} | {"scale": 4}  # as a printer would
    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip})["data"]
    image = cv2.imdecode(np.frombuffer(base64.b64decode(shot), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert cv2.QRCodeDetector().detectAndDecode(image)[0] == url


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_sheet_is_one_page_of_a4(language: str, browser: webdriver.Chrome, tmp_path: Path) -> None:
    path = notice(OPEN_BOARD, language, tmp_path / "notice.html")
    look_at(browser, path.as_uri(), 794, 1123)
    assert overflow(browser) <= 0
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"]
    pdf = base64.b64decode(printed)
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 1
    (box,) = re.findall(rb"/MediaBox \[([\d. ]+)\]", pdf)
    assert [round(float(side)) for side in box.split()] == [0, 0, 595, 842]
