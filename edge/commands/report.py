"""`emotion-edge report` and `export`: days of the record as a page, or as CSV or JSON for other programs."""

import csv
import io
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final, TextIO

from edge.config import Settings
from edge.errors import EmotionEdgeError, escaped
from edge.outputs.drawing.colours import choose_colours
from edge.record.database import path_to_read, reading_from
from edge.record.report_page import report_page
from edge.record.summary import days_until, rows_of, summarise, summary_json

MOST_DAYS: Final = 3660

_COLUMNS: Final = (
    "began",
    "seconds",
    "run",
    "track",
    "start",
    "emotion",
    "confidence",
    "valence",
    "arousal",
    "frames",
)
_Writer = Callable[[sqlite3.Connection, list[date], Settings], str]


def report(settings: Settings, day: str | None = None, days: int = 1, out: Path | None = None) -> Path:
    """Write a report of one or several days.

    Args:
        settings: name the record and the device.
        day: the last day of the report, `2026-11-20`; None: today, in local time.
        days: number of days, the last included.
        out: .html, .csv (every row) or .json (the sums); None: emotion-<day>.html in the working folder.

    Returns:
        The path of the report.

    Raises:
        EmotionEdgeError: `day` is no date, the record is missing or cannot be read, or `out` cannot be written.
    """
    last = _day(day)
    if not 1 <= days <= MOST_DAYS:
        raise EmotionEdgeError(f"report: --days must be from 1 to {MOST_DAYS}, found {days}")
    out = out or Path(f"emotion-{last.isoformat()}.html")
    write = _WRITERS.get(out.suffix.lower())
    if write is None:
        raise EmotionEdgeError(f"report: cannot write {out}: its name must end in {', '.join(_WRITERS)}")
    with reading_from(path_to_read(settings.record)) as connection:
        text = write(connection, days_until(last, days), settings)
    try:
        # The report is personal data: only the user who made it may read the file.
        with open(out, "w", encoding="utf-8", newline="", opener=_private) as file:
            file.write(text)
    except OSError as error:
        raise EmotionEdgeError(f"report: cannot write {out}: {error.strerror}") from error
    return out


def _html(connection: sqlite3.Connection, days: list[date], settings: Settings) -> str:
    summary, groups = summarise(connection, days), settings.emotion.labels
    choose_colours([*summary.seconds, *([] if isinstance(groups, str) else groups)], groups)
    return report_page(summary, settings.mqtt.device_id)


def _json(connection: sqlite3.Connection, days: list[date], _: Settings) -> str:
    return json.dumps(summary_json(summarise(connection, days)), indent=2) + "\n"


def _csv(connection: sqlite3.Connection, days: list[date], _: Settings) -> str:
    text = io.StringIO()
    _write_rows(rows_of(connection, days), text)
    return text.getvalue()


def export(settings: Settings, file: TextIO) -> None:
    """Write every row of the record as CSV, oldest first.

    Raises EmotionEdgeError if the record is missing or cannot be read.
    """
    with reading_from(path_to_read(settings.record)) as connection:
        _write_rows(rows_of(connection), file)


def _write_rows(rows: Iterator[dict[str, Any]], file: TextIO) -> None:
    writer = csv.DictWriter(file, _COLUMNS)
    writer.writeheader()
    writer.writerows(
        {name: escaped(value) if isinstance(value, str) else value for name, value in row.items()} for row in rows
    )


_WRITERS: Final[Mapping[str, _Writer]] = {".html": _html, ".csv": _csv, ".json": _json}


def _day(text: str | None) -> date:
    if text is None:
        return datetime.now().astimezone().date()
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise EmotionEdgeError(f"report: --day {text!r} is no day (write 2026-11-20)") from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
