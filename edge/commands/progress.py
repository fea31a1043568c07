"""Progress of a long command: a bar on a terminal, or a line every 30 seconds in a log."""

import os
import sys
import time
from types import TracebackType
from typing import Final, Self

from edge.system.program import unescaped

_BAR: Final = 24
_TERMINAL_S: Final = 0.2
_LOG_S: Final = 30.0
"""Seconds between two lines in a log."""


class Progress:
    """Shows on standard error how far a long command is."""

    def __init__(self, total: float, unit: str) -> None:
        """Begin at zero. total: the whole amount; 0: unknown. unit: what is counted, in the plural: `pictures`."""
        self._total = total
        self._unit = unit
        self._stream = unescaped(sys.stderr)
        self._terminal = self._stream.isatty()
        self._began = self._shown = time.monotonic()
        self._first: float | None = None
        self._width = 0

    def at(self, done: float) -> None:
        """Show that the amount `done` of the total is finished."""
        now = time.monotonic()
        if self._first is None:
            self._first = done
        if now - self._shown >= (_TERMINAL_S if self._terminal else _LOG_S):
            self._shown = now
            self._show(done, now)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()

    def _show(self, done: float, now: float) -> None:
        rate = (done - (self._first or 0.0)) / (now - self._began)
        share = min(done / self._total, 1.0) if self._total > 0 else 0.0
        text = f"{done:,.0f}{f' of {self._total:,.0f}' if share else ''} {self._unit}"
        if share and rate > 0:
            text = f"{share:4.0%}  {text}, {_duration((self._total - done) / rate)} left"
        if not self._terminal:
            print(f"emotion-edge: {text}", file=sys.stderr, flush=True)
            return
        if share:
            text = f"[{'#' * round(_BAR * share):{_BAR}}] {text}"
        text = text[: os.get_terminal_size(self._stream.fileno()).columns - 1]
        self._stream.write("\r" + text.ljust(self._width))
        self._stream.flush()
        self._width = len(text)


def _duration(seconds: float) -> str:
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {left} s" if minutes else f"{left} s"
