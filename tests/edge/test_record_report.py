"""The report on a day: its sums, its page in a real browser, and its other formats."""

import csv
import io
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from edge.cli import main
from edge.config import WebSettings
from edge.outputs.drawing.colours import COLOURS
from edge.outputs.web.disclosure import Facts
from edge.outputs.web.server import WebViewer
from edge.record.database import Database
from edge.record.report_plots import duration, percent
from edge.record.rows import Row, Seen, Start, Watched
from tests.support.browser import is_dark, look_at, overflow, start_browser
from tests.support.daemon import free_port
from tests.support.live import eventually, feeding

DAY = "2026-11-20"


@pytest.fixture(autouse=True)
def _in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def seen(when: str, seconds: float, emotion: str, start: Start = "appeared", track: int = 1, v: float = 0.0) -> Seen:
    """Make a row of the record. when: UTC."""
    began = round(datetime.fromisoformat(when).replace(tzinfo=UTC).timestamp() * 1000)
    return Seen(track, start, began, round(seconds * 1000), emotion, 0.8, v, -v / 2, 300)


def watched(first: str, minutes: int) -> list[Watched]:
    began = round(datetime.fromisoformat(first).replace(tzinfo=UTC).timestamp() * 1000)
    return [Watched(began + minute * 60_000, 60_000, 600) for minute in range(minutes)]


def busy_day(day: str = DAY) -> list[Row]:
    """Make rows of a day from 9:00 to 12:00 local time, with two people, one of them longer."""
    rows: list[Row] = list(watched(f"{day}T08:00", 180))
    emotions = ("neutral", "happy", "neutral", "surprise", "sad", "angry", "fear", "disgust", "contempt", "uncertain")
    for minute in range(120):
        first, second = emotions[minute % 10], emotions[(minute + 1) % 10]
        moment = f"{day}T{8 + minute // 60:02}:{minute % 60:02}"
        rows.append(seen(f"{moment}:00", 30, first, "continued" if minute else "appeared", v=0.5))
        rows.append(seen(f"{moment}:30", 30, second, "changed", v=-0.25))
        if 30 <= minute < 45:
            rows.append(seen(f"{moment}:00", 60, "happy", "continued" if minute > 30 else "appeared", 2, 0.9))
    return rows


def written(folder: Path, *rows: Row) -> Path:
    path = folder / "record.sqlite3"
    record = Database(path, "1", "emotion-small", "0" * 64)
    record.write(rows)
    record.close()
    return path


def made(folder: Path, name: str, *flags: str) -> Path:
    """Write a report with the command line; returns the file."""
    out = folder / name
    words = ["report", "--record.file", str(folder / "record.sqlite3"), "--mqtt.device_id", "kitchen-pi"]
    assert main([*words, "--out", str(out), *flags]) == 0
    return out


def test_sums_of_a_day_in_local_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(
        tmp_path,
        *watched("2026-11-20T08:00", 45),
        seen("2026-11-19T22:59:10", 20, "sad"),  # 23:59 of the day before
        seen("2026-11-19T23:00:00", 40, "fear", track=3),  # midnight
        seen("2026-11-20T08:05:00", 60, "happy", v=0.8),
        seen("2026-11-20T08:05:30", 60, "neutral", track=2, v=0.2),
        seen("2026-11-20T08:06:00", 30, "surprise", "changed"),
        seen("2026-11-20T23:00:00", 10, "angry"),  # midnight of the day after
    )
    out = made(tmp_path, "day.json", "--day", DAY)
    assert capsys.readouterr().out.strip() == str(out)
    day = json.loads(out.read_text())
    assert (day["first"], day["last"], day["zone"], day["slot_minutes"]) == (DAY, DAY, "CET (UTC+01:00)", 15)
    assert day["seconds"] == {"happy": 60, "neutral": 60, "fear": 40, "surprise": 30}
    assert (day["present"], day["watched"]) == (40 + 90, 40 + 2700)  # watched, as a face was seen
    assert (day["appeared"], day["changed"]) == (3, 1)
    assert day["changes"] == [{"from": "happy", "to": "surprise", "count": 1}]
    assert len(day["slots"]) == 96
    assert [slot["start"] for slot in day["slots"][:2]] == ["2026-11-20T00:00+01:00", "2026-11-20T00:15+01:00"]
    slots = {slot["start"][11:16]: slot for slot in day["slots"]}
    assert slots["09:00"]["seconds"] == {"happy": 60, "neutral": 60, "surprise": 30}
    assert slots["09:00"]["present"] == 90
    assert slots["09:00"]["valence"] == pytest.approx((60 * 0.8 + 60 * 0.2) / 150, abs=0.001)
    assert slots["09:15"]["watched"] == 900
    assert slots["09:15"]["valence"] is None
    assert slots["10:00"]["watched"] == 0


@pytest.mark.parametrize(("day", "slots"), [("2026-03-29", 92), ("2026-10-25", 100)])
def test_days_on_which_the_clocks_change(tmp_path: Path, day: str, slots: int) -> None:
    written(tmp_path, *(seen(f"{day}T{hour:02}:30", 60, "happy", track=hour) for hour in range(5)))
    sums = json.loads(made(tmp_path, "day.json", "--day", day).read_text())
    assert len(sums["slots"]) == slots
    assert len({slot["start"] for slot in sums["slots"]}) == slots
    assert sums["seconds"] == {"happy": 300}
    shown = [slot["start"] for slot in sums["slots"] if slot["seconds"]]
    assert [datetime.fromisoformat(start).astimezone(UTC).hour for start in shown] == [0, 1, 2, 3, 4]
    assert sums["zone"].count("UTC+0") == 2


def test_a_week_ends_with_the_day_asked_for(tmp_path: Path) -> None:
    written(tmp_path, *(seen(f"2026-11-{day}T12:00", day, "happy") for day in range(12, 22)))
    week = json.loads(made(tmp_path, "week.json", "--day", DAY, "--days", "7").read_text())
    assert (week["first"], week["last"], week["slot_minutes"]) == ("2026-11-14", DAY, 60)
    assert week["seconds"] == {"happy": sum(range(14, 21))}
    year = json.loads(made(tmp_path, "year.json", "--day", DAY, "--days", "365").read_text())
    assert (len(year["slots"]), year["slot_minutes"]) == (365, 1440)
    assert sum(slot["seconds"].get("happy", 0) for slot in year["slots"]) == sum(range(12, 21))


def test_csv_has_every_row_with_its_time(tmp_path: Path) -> None:
    written(tmp_path, *busy_day(), seen("2026-11-21T12:00", 5, "happy"))
    with made(tmp_path, "day.csv", "--day", DAY).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 255
    assert rows[0] == {
        "began": "2026-11-20T08:00:00.000Z",
        "seconds": "30.0",
        "run": "1",
        "track": "1",
        "start": "appeared",
        "emotion": "neutral",
        "confidence": "0.8",
        "valence": "0.5",
        "arousal": "-0.25",
        "frames": "300",
    }
    assert [row["began"] for row in rows] == sorted(row["began"] for row in rows)


def test_export_prints_the_whole_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, seen("2024-02-29T12:00", 4, "sad"), *busy_day(), seen("2026-11-21T12:00", 5, "happy"))
    assert main(["export", "--record.file", str(tmp_path / "record.sqlite3")]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 257
    assert (rows[0]["began"], rows[0]["emotion"]) == ("2024-02-29T12:00:00.000Z", "sad")
    assert (rows[-1]["began"], rows[-1]["seconds"]) == ("2026-11-21T12:00:00.000Z", "5.0")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--day", "20.11.2026"], "no day (write 2026-11-20)"),
        (["--days", "0"], "--days must be from 1"),
        (["--out", "report.pdf"], "must end in .html, .csv, .json"),
        (["--out", "/nowhere/report.html"], "cannot write /nowhere/report.html"),
        (["--record.file", "nowhere.db"], "none at nowhere.db"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path, flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path)
    assert main(["report", "--record.file", str(path), *flags]) == 2
    assert message in capsys.readouterr().err


def test_a_damaged_record_is_said_to_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "record.sqlite3"
    path.write_bytes(b"this is no database, and long enough to be seen as none" * 100)
    assert main(["report", "--record.file", str(path), "--out", str(tmp_path / "r.html")]) == 2
    assert "cannot be read: file is not a database" in capsys.readouterr().err


def test_a_report_is_for_the_one_who_asked(tmp_path: Path) -> None:
    written(tmp_path, *busy_day())
    assert made(tmp_path, "day.html", "--day", DAY).stat().st_mode & 0o777 == 0o600


def test_durations_and_shares_in_words() -> None:
    assert [duration(seconds) for seconds in (0, 41.6, 60, 3599, 3600, 90_000)] == [
        "0 s",
        "42 s",
        "1 min",
        "1 h 0 min",
        "1 h 0 min",
        "25 h 0 min",
    ]
    assert [percent(share) for share in (0, 0.001, 0.006, 0.5)] == ["0%", "<1%", "1%", "50%"]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    started = start_browser(tmp_path_factory.mktemp("chromium"))
    yield started
    started.quit()


def errors(browser: webdriver.Chrome) -> list[object]:
    return list(browser.get_log("browser"))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("width", "scheme", "days"), [(1400, "light", 1), (1400, "dark", 7), (390, "light", 1), (320, "dark", 7)]
)
def test_page_in_a_browser(browser: webdriver.Chrome, tmp_path: Path, width: int, scheme: str, days: int) -> None:
    written(tmp_path, *(row for day in range(14, 21) for row in busy_day(f"2026-11-{day}")))
    page = made(tmp_path, "page.html", "--day", DAY, "--days", str(days))
    look_at(browser, page.as_uri(), width, scheme=scheme)
    assert overflow(browser) <= 0
    assert is_dark(browser) is (scheme == "dark")
    assert errors(browser) == []
    text = browser.find_element(By.TAG_NAME, "body").text
    title = "Friday, 20 November 2026" if days == 1 else "14 to 20 November 2026"
    assert browser.find_element(By.TAG_NAME, "h1").text == title
    assert "An emotion is a model's estimate." in text
    assert "kitchen-pi" in text
    assert "CET (UTC+01:00)" in text
    facts = [fact.text for fact in browser.find_elements(By.CSS_SELECTOR, ".figures .card")]
    assert [fact.split("\n")[1] for fact in facts] == [
        duration(3 * 3600 * days),
        duration(2 * 3600 * days),
        "Happy",
        str(120 * days),
    ]
    # What a screen reader or a printout needs is in the table too.
    browser.find_element(By.TAG_NAME, "summary").click()
    assert len(browser.find_elements(By.CSS_SELECTOR, ".scroll tbody tr")) == (8 if days == 1 else 14)
    assert overflow(browser) <= 0


def test_columns_are_whole_and_in_the_colours_of_the_page(browser: webdriver.Chrome, tmp_path: Path) -> None:
    written(tmp_path, *busy_day())
    look_at(browser, made(tmp_path, "page.html", "--day", DAY).as_uri())
    columns = browser.execute_script(
        """return [...document.querySelectorAll(".plot.tall g")].map((column) => [
             column.querySelector("title").textContent,
             [...column.querySelectorAll("rect")].map((rect) => [
               rect.getAttribute("fill"), ...["x", "y", "height"].map((name) => Number(rect.getAttribute(name)))])])"""
    )
    assert len(columns) == 8
    for index, (said, parts) in enumerate(columns):
        assert said.startswith(f"{9 + index // 4:02}:{index % 4 * 15:02}: happy")
        assert {x for _, x, _, _ in parts} == {36 + index}
        assert sum(height for *_, height in parts) == pytest.approx(100, abs=0.05)
        assert {colour for colour, *_ in parts} <= set(COLOURS.values())
    tall = browser.find_element(By.CSS_SELECTOR, ".plot.tall")
    rows = [row.text.split("\n")[0] for row in browser.find_elements(By.CSS_SELECTOR, ".scores .name")]
    assert rows[0] == "Happy"
    assert tall.size["height"] > 150


def test_a_day_of_which_nothing_is_known_says_so(browser: webdriver.Chrome, tmp_path: Path) -> None:
    written(tmp_path, *watched("2026-11-19T08:00", 10))
    look_at(browser, made(tmp_path, "page.html", "--day", DAY).as_uri())
    assert "Nothing was recorded" in browser.find_element(By.TAG_NAME, "main").text
    look_at(browser, made(tmp_path, "page.html", "--day", "2026-11-19").as_uri())
    assert "Nobody was in view" in browser.find_element(By.TAG_NAME, "main").text
    assert errors(browser) == []


@pytest.mark.parametrize("recorded", [True, False])
def test_the_live_page_says_whether_emotions_are_recorded(browser: webdriver.Chrome, recorded: bool) -> None:
    viewer = WebViewer(WebSettings(port=free_port()), "kitchen-pi", facts=Facts(record_days=30 if recorded else 0))
    try:
        with feeding(viewer):
            look_at(browser, viewer.url)
            eventually(lambda: "is running" in browser.find_element(By.ID, "notice").text, "the page is told the state")
            notice = browser.find_element(By.ID, "notice").text
        assert ("Emotions and their times are recorded on this board for 30 days" in notice) is recorded
        assert ("Nothing is recorded" in notice) is not recorded
        assert "No image leaves this board, and none is stored." in notice
    finally:
        viewer.close()


def test_page_needs_nothing_else_and_takes_no_name_for_markup(tmp_path: Path) -> None:
    written(tmp_path, *watched("2026-11-20T08:00", 10), seen("2026-11-20T08:00", 30, "<b>odd</b>", v=0.3))
    page = made(tmp_path, "page.html", "--day", DAY).read_text(encoding="utf-8")
    assert "<b>" not in page
    assert "&lt;b&gt;odd&lt;/b&gt;" in page
    assert "<script" not in page
    links = re.findall(r"""(?:src|href)=["']([^"']{0,20})|url\(|@import""", page)
    assert all(link.startswith("data:") for link in links)
