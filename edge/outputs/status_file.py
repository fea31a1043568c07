"""Writes the daemon's status to a small file, for tools on the board that monitor or upgrade it."""

import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from edge import __version__
from edge.config.secrets import without_password
from edge.controls import Controls
from edge.reading import Reading, Stats, rounded, timestamp
from edge.system.atomic_file import write_atomically

_log = logging.getLogger(__name__)

NAME = "status.json"


class StatusFile:
    """An Output that writes `status.json` with each report and removes it at the end.

    The file is JSON, readable to all users: `v` (1), `ts`, `version`, `model`, `camera` (`online` or the reason),
    `watching` (false while privacy or detection is switched off), `fps`, `broker` (`connected` or the reason; null
    without a broker), `temperature` in degrees Celsius, `uptime` in s and `last_error`, the last error that was logged.
    """

    def __init__(self, folder: Path, controls: Controls, broker: Callable[[], str] | None) -> None:
        """Start to collect errors from the log.

        Args:
            folder: where the file goes; in memory, because it is written every few seconds.
            controls: the switches for privacy and detection.
            broker: returns the state of the connection to the broker; None without a broker.
        """
        self._path = folder / NAME
        self._controls, self._broker = controls, broker
        self._errors = LastError()
        logging.getLogger().addHandler(self._errors)

    def put(self, reading: Reading) -> None:
        """Ignored: the file shows the daemon's state, not what the camera sees."""

    def report(self, stats: Stats) -> None:
        """Write the file."""
        broker = self._broker() if self._broker else None
        content = {
            "v": 1,
            "ts": timestamp(time.time()),
            "version": __version__,
            "model": stats.model,
            "camera": stats.camera,
            "watching": self._controls.wanted.detection and not self._controls.wanted.privacy,
            "fps": rounded(stats.fps, 1),
            "broker": broker,
            "temperature": None if stats.temperature is None else rounded(stats.temperature, 1),
            "uptime": rounded(stats.uptime, 0),
            "last_error": self._errors.text,
        }
        try:
            write_atomically(self._path, json.dumps(content).encode() + b"\n")
        except OSError as error:
            _log.debug("%s: cannot be written: %s", self._path, error)

    def close(self) -> None:
        """Remove the file."""
        logging.getLogger().removeHandler(self._errors)
        self._path.unlink(missing_ok=True)


class LastError(logging.Handler):
    """Keeps the last message of level ERROR, without passwords, in one line of at most 300 characters."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.text: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Store the message of a log record of level ERROR."""
        self.text = without_password(" ".join(record.getMessage().split()))[:300]


def runtime_folder(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the folder that systemd made for the service (RuntimeDirectory=); None if there is none."""
    folder = environment.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(folder) if folder else None
