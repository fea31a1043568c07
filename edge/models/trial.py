"""Watches the most recently installed model until it has analysed faces; one that ends the analysis is skipped.

A record in the state folder survives a crash. It is valid for one state of `active.json` only: the next install or
rollback makes it void.
"""

import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.errors import printable
from edge.system.atomic_file import write_atomically
from edge.system.state_folder import SERVICE_STATE, state_folder

_log = logging.getLogger(__name__)

RECORD_FILE: Final = "model-trial.json"
CRASHES: Final = 2
"""Number of consecutive crashes after which a model is skipped."""

FACES: Final = 50
"""Readings with faces after which a model has passed its trial."""

SURVIVED_S: Final = 60.0
"""Seconds of running after which a crash is not blamed on the model; an error in the analysis still is."""

Stamp = tuple[int, int]


class _Record(BaseModel):
    """The stored trial. stamp: of active.json. starts: since the last clean end. error: what ended the analysis."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    stamp: Stamp
    starts: Annotated[int, Field(ge=0)] = 0
    error: Annotated[str, Field(max_length=500)] = ""
    passed: bool = False


def failure(stamp: Stamp | None) -> str:
    """Describe why the most recently installed model is to be skipped; empty if it is not.

    Args:
        stamp: current value of `active_stamp()`; None: nothing is installed.
    """
    record = _read()
    if record is None or record.stamp != stamp or record.passed:
        return ""
    if record.error:
        return f"it ended the analysis: {record.error}"
    return f"the daemon crashed {CRASHES} times with it" if record.starts > CRASHES else ""


class ModelTrial:
    """Counts crashes and errors of the most recently installed model until it has passed. Not thread-safe."""

    def __init__(self, stamp: Stamp | None, clock: Callable[[], float] = time.monotonic) -> None:
        """Count a start of the daemon with this model.

        Args:
            stamp: current value of `active_stamp()`; None: nothing is installed, so nothing is on trial.
            clock: returns the time in seconds.
        """
        self._clock = clock
        self._record: _Record | None = None
        self.begin(stamp)

    def begin(self, stamp: Stamp | None) -> None:
        """Count a start with the model that is installed now. stamp: value of `active_stamp()`."""
        record = _read() if stamp else None
        if stamp and (record is None or record.stamp != stamp):
            record = _Record(stamp=stamp)
        self._faces, self._since = 0, self._clock()
        self._record = record
        if record and not record.passed and not failure(stamp):
            self._write(record.model_copy(update={"starts": record.starts + 1}))

    @property
    def running(self) -> bool:
        """Whether a model is on trial."""
        return self._record is not None and not self._record.passed and not failure(self._record.stamp)

    def analysed(self, faces: int) -> None:
        """Record a frame that was analysed without an error. faces: number of faces in it."""
        if self._record is None or self._record.passed or self._record.error:
            return
        self._faces += bool(faces)
        if self._faces >= FACES:
            self._write(self._record.model_copy(update={"passed": True}))
        elif self._record.starts and self._clock() - self._since >= SURVIVED_S:
            self._write(self._record.model_copy(update={"starts": 0}))

    def failed(self, error: Exception) -> bool:
        """Record an error of the analysis; return whether the model on trial is skipped from now on."""
        if self._record is None or not self.running:
            return False
        text = printable(f"{type(error).__name__}: {error}")[:300]
        self._write(self._record.model_copy(update={"error": text}))
        return True

    def close(self) -> None:
        """Record a clean end of the daemon."""
        if self._record and self._record.starts and not self._record.error:
            self._write(self._record.model_copy(update={"starts": 0}))

    def _write(self, record: _Record) -> None:
        self._record = record
        file = _file()
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, record.model_dump_json().encode())
        except OSError as error:
            _log.debug("%s cannot be written: %s", file, error.strerror)


def _file() -> Path:
    """Return the path of the record: the service's, if it runs or is installed, else the user's."""
    by_service = "STATE_DIRECTORY" in os.environ or not SERVICE_STATE.is_dir()
    return (state_folder() if by_service else SERVICE_STATE) / RECORD_FILE


def _read() -> _Record | None:
    try:
        with _file().open("rb") as file:
            return _Record.model_validate(json.loads(file.read(10_000)))
    except (OSError, ValueError, ValidationError, RecursionError):
        return None
