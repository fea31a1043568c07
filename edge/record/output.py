"""Keeps the record on this board's disk: emotions and times, never a picture."""

import json
import logging
import math
import shutil
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from edge import __version__
from edge.config import RecordSettings
from edge.errors import EmotionEdgeError
from edge.reading import Reading, Stats
from edge.record.database import Database, delete_set_aside, is_damaged, path_to_write, reading_from, set_aside
from edge.record.rows import Row, RowBuilder
from edge.record.summary import days_until, summarise, summary_json
from edge.system.clock import TrustedClock
from edge.system.threads import start_worker

_log = logging.getLogger(__name__)

BATCH_S: Final = 10.0
"""Seconds between two writes: a power cut loses the rows of this time and of the current minute."""

ROWS_KEPT: Final = 20_000
"""Maximum number of rows that wait while the disk is full, hours of a face or two; then the oldest are dropped."""

RETRY_S: Final = 30.0
_TIDY_S: Final = 3600.0
_DAY_S: Final = 86400.0
_TODAY_S: Final = 10.0
_CLOSE_S: Final = 0.9


class RecordOutput:
    """An Output that keeps a record in SQLite.

    `put` and `report` never wait: a thread of its own writes a batch every few seconds. A disk that is full or missing
    pauses the record, which resumes by itself; a damaged file is renamed and a new one begun.

    path: the file. paused: why nothing is written, or an empty string. dropped: rows lost because too many waited.
    rows, bytes: size of the file.
    """

    def __init__(
        self,
        settings: RecordSettings,
        model: str,
        model_sha256: str,
        every: float = BATCH_S,
        retry: float = RETRY_S,
        clock: TrustedClock | None = None,
    ) -> None:
        """Start to record.

        Args:
            settings: which file, and how much is kept.
            model: name of the model that runs.
            model_sha256: its hash.
            every: seconds between two batches.
            retry: seconds between two attempts while the record is paused.
            clock: clock by which the age of rows is measured; None: the system's.

        Raises:
            EmotionEdgeError: the file's name is no database's.
        """
        self.path = path_to_write(settings)
        self.paused = ""
        self.dropped = self.rows = self.bytes = 0
        self._about = (__version__, model, model_sha256)
        self._days, self._limit = settings.days, settings.max_mb * 1_000_000
        self._every, self._retry = every, retry
        self._builder = RowBuilder()
        self._waiting: deque[Row] = deque(maxlen=ROWS_KEPT)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._today: tuple[float, str] = (-_TODAY_S, "null")
        self._database: Database | None = None
        self._dropped_before = 0
        self._clock = clock or TrustedClock()
        self._tidied_at = -math.inf
        self._thread = start_worker("record", self._run)

    def put(self, reading: Reading) -> None:
        """Add a Reading: the rows that end with it wait for the next batch."""
        self._add(self._builder.add(reading))

    def report(self, stats: Stats) -> None:
        """End the open rows if the camera is lost, and store the model's name and hash for the rows that follow."""
        self._about = (__version__, stats.model, stats.model_sha256)
        if stats.camera != "online":
            self._add(self._builder.end())

    def close(self) -> None:
        """Write the waiting rows, within a second."""
        self._add(self._builder.end())
        self._closing.set()
        self._thread.join(_CLOSE_S)

    def today(self) -> str:
        """Return the summary of today as JSON, `null` if there is none. Thread-safe; it may wait for the disk."""
        now = time.monotonic()
        if now - self._today[0] >= _TODAY_S:
            day = datetime.now().astimezone().date()
            try:
                with reading_from(self.path) as connection:
                    content = json.dumps(summary_json(summarise(connection, days_until(day, 1))))
            except EmotionEdgeError as error:
                _log.debug("%s", error)
                content = "null"
            self._today = (now, content)
        return self._today[1]

    def _add(self, rows: Sequence[Row]) -> None:
        with self._lock:
            self._count_dropped(len(rows))
            self._waiting.extend(rows)

    def _put_back(self, rows: Sequence[Row]) -> None:
        with self._lock:
            self._count_dropped(len(rows))
            self._waiting = deque([*rows, *self._waiting], maxlen=ROWS_KEPT)

    def _count_dropped(self, more: int) -> None:
        self.dropped += max(0, len(self._waiting) + more - ROWS_KEPT)

    def _take(self) -> list[Row]:
        with self._lock:
            rows = list(self._waiting)
            self._waiting.clear()
            return rows

    def _run(self) -> None:
        closed = False
        while True:
            try:
                self._write(last=closed)
            except EmotionEdgeError as error:
                self.paused = str(error)
                _log.error("record: nothing is recorded: %s", error)
                return
            if closed:
                break
            closed = self._closing.wait(self._retry if self.paused else self._every)
        if self._database:
            self._database.close()

    def _write(self, last: bool) -> None:
        """Write the waiting rows; if the disk fails, keep them and log that once."""
        rows = self._take()
        try:
            database = self._opened()
            if rows:
                database.write(rows)
                rows = []
            self._tidy(database, last)
            self.rows, self.bytes = database.rows, database.bytes
            if self.paused:
                lost = self.dropped - self._dropped_before
                _log.info("record: resumed in %s%s", self.path, f"; {lost} rows were lost meanwhile" if lost else "")
            self.paused, self._dropped_before = "", self.dropped
        except (sqlite3.Error, OSError) as error:
            self._put_back(rows)
            self._let_go()
            if is_damaged(error):
                self._begin_anew(error)
            else:
                self._pause(error)

    def _opened(self) -> Database:
        """Return the database, reopened if its files were deleted or replaced."""
        if self._database and not self._database.in_place:
            self._let_go()
        if self._database is None:
            self._database = Database(self.path, *self._about, check=not self.paused)
        self._database.note(*self._about)
        return self._database

    def _let_go(self) -> None:
        if self._database:
            with suppress(sqlite3.Error):
                self._database.close()
            self._database = None

    def _begin_anew(self, damage: Exception) -> None:
        try:
            aside = set_aside(self.path)
        except OSError as error:
            self._pause(error)
            return
        _log.error("record: %s is damaged (%s): put aside as %s, a new one is begun", self.path, damage, aside.name)

    def _pause(self, error: Exception) -> None:
        if not self.paused:
            _log.warning(
                "record: paused: %s: %s%s; everything else continues, and it resumes by itself",
                self.path,
                error,
                _free_space(self.path.parent),
            )
        self.paused = str(error)

    def _tidy(self, database: Database, last: bool) -> None:
        """Delete rows over the size limit; hourly and at the end, if the clock is trusted, also rows that are too old.

        If rows are more than a day too old, only one day's rows are deleted each time: a wrong clock or setting can be
        corrected before everything is deleted.
        """
        database.shrink_to(self._limit)
        if not self._clock.trusted() or (time.monotonic() - self._tidied_at < _TIDY_S and not last):
            return
        self._tidied_at = time.monotonic()
        before = self._clock.now() - self._days * _DAY_S
        if (oldest := database.oldest) is not None and before - oldest > _DAY_S:
            _log.warning(
                "record: rows are up to %d days older than record.days: of those, a day's rows are deleted every hour",
                (before - oldest) / _DAY_S,
            )
            before = oldest + _DAY_S
        database.delete_before(before)
        delete_set_aside(self.path, before)


def _free_space(folder: Path) -> str:
    try:
        return f" ({shutil.disk_usage(folder).free // 1_000_000} MB free)"
    except OSError:
        return ""
