"""Deletion of old rows: only with a trusted clock, and never all at once."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from edge.config import RecordSettings
from edge.record.database import Database
from edge.record.output import RecordOutput
from edge.record.rows import Seen
from edge.system.clock import TrustedClock
from tests.support.daemon import wait_until

DAY = 86400
NOW = 1_800_000_000.0


def begun(path: Path, clock: TrustedClock, days: int = 30) -> RecordOutput:
    return RecordOutput(RecordSettings(file=path, days=days), "m", "0" * 64, every=0.02, retry=0.02, clock=clock)


def clock_at(now: float, synchronised: bool = True) -> TrustedClock:
    return TrustedClock(lambda: synchronised, lambda: now, lambda: 0.0)


def ages(path: Path) -> list[int]:
    """Ages of the rows in days before NOW, the oldest first."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT began FROM seen ORDER BY began").fetchall()
    return [round((NOW - began / 1000) / DAY) for (began,) in rows]


def seen(began: float) -> Seen:
    return Seen(1, "changed", round(began * 1000), 500, "happy", 0.9, 0.5, 0.5, 12)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Path of a record with a row for each day, 40 to 0 days old."""
    database = Database(path := tmp_path / "record.sqlite3", "1", "m", "0" * 64)
    database.write([seen(NOW - age * DAY) for age in range(41)])
    database.close()
    return path


def test_at_the_start_and_at_the_end_a_day_s_rows_go_until_none_is_too_old(path: Path) -> None:
    for left in (38, 36):
        record = begun(path, clock_at(NOW))
        wait_until(lambda expected=left + 3: record.rows in (expected - 1, expected - 2), "a day's rows to go")  # type: ignore[misc]  # noqa: B023
        record.close()
        assert max(ages(path)) == left
    while max(ages(path)) > 30:
        begun(path, clock_at(NOW)).close()
    assert ages(path) == list(range(30, -1, -1))


@pytest.mark.parametrize("ahead", [40 * DAY, 4000 * DAY])
def test_a_clock_that_is_ahead_does_not_take_everything(path: Path, ahead: float) -> None:
    record = begun(path, clock_at(NOW + ahead))
    wait_until(lambda: record.rows == 40, "a day's rows to go")
    record.close()
    assert len(ages(path)) >= 38


def test_by_a_clock_that_is_not_synchronised_nothing_is_deleted(path: Path) -> None:
    record = begun(path, clock_at(NOW + 4000 * DAY, synchronised=False))
    wait_until(lambda: record.rows == 41, "the record to be open")
    record.close()
    assert len(ages(path)) == 41


def test_runs_are_forgotten_with_their_rows(tmp_path: Path) -> None:
    path = tmp_path / "record.sqlite3"
    for model in ("first", "second", "third"):
        run = Database(path, "1", model, "0" * 64)
        run.write([seen(time.time())])
        run.close()
    last = Database(path, "1", "fourth", "0" * 64)
    last.delete_before(time.time() + 1)
    last.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT model FROM runs").fetchall() == [("third",)]
