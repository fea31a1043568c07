"""The log: where it goes, and how much one place in the code may write to it."""

import logging
import time
from collections.abc import Callable
from typing import Final

LINES_MAX: Final = 20
"""Lines from one place in the code in each period; what others send must not fill the disk."""

PERIOD_S: Final = 60.0

_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), *range(127, 160))}
"""All control characters but tab and line feed: a terminal that shows the log must not obey them."""


class RateLimit(logging.Filter):
    """Lets each place in the code log LINES_MAX lines in PERIOD_S seconds, and says how many more there were.

    Below INFO nothing is left out: who asks for debug output wants all of it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._seen: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log it; adds to the message how many like it were left out before."""
        if record.levelno < logging.INFO:
            return True
        now, place = self._clock(), (record.pathname, record.lineno)
        began, count = self._seen.get(place, (now, 0))
        if now - began >= PERIOD_S:
            if count > LINES_MAX:
                message = f"{record.getMessage()} (and {count - LINES_MAX} more like this were not logged)"
                record.msg, record.args = message, ()
            began, count = now, 0
        self._seen[place] = began, count + 1
        return count < LINES_MAX


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).translate(_CONTROLS)


def start_logging(level: str) -> None:
    """Log to standard error. level: as in `log.level`."""
    handler = logging.StreamHandler()
    handler.addFilter(RateLimit())
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=level.upper(), handlers=[handler])
