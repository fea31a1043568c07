"""The log: its destination, the format of its lines, and a limit on the lines from one place in the code.

On a terminal and in a file a line is `12:03:04 WARNING message`; in the journal it is the message alone, after the
priority that journald removes (sd-daemon(3)), with the journal's own time.
"""

import logging
import os
import select
import stat
import sys
import time
from collections.abc import Callable, Mapping
from typing import Final

from edge.errors import escaped
from edge.system.line_writer import LineWriter

LINES_MAX: Final = 20
"""Maximum number of lines from one place in the code per period, so that no stranger can fill the disk."""

PERIOD_S: Final = 60.0

_WAITING: Final = 2000
"""Maximum number of lines that wait for a log that is not read; beyond that the oldest are dropped."""
_FLUSH_S: Final = 0.5


class RateLimit(logging.Filter):
    """Lets each place in the code log LINES_MAX lines in PERIOD_S seconds, and logs the number left out.

    Below INFO nothing is left out: debug output was requested.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._seen: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log the record; adds to its message how many like it were left out before."""
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
    """Formats lines for terminals and files."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        return escaped(super().format(record))


class _JournalFormatter(logging.Formatter):
    """Formats lines for journald, which makes each an entry and reads the priority, 0 to 7, from its beginning."""

    def format(self, record: logging.LogRecord) -> str:
        priority = 3 if record.levelno >= logging.ERROR else 4 if record.levelno >= logging.WARNING else 6
        if record.levelno < logging.INFO:
            priority = 7
        lines = escaped(super().format(record)).splitlines() or [""]
        return "\n".join(f"<{priority}>{line}" for line in lines)


class _Handler(logging.Handler):
    """Passes lines to a thread that writes them, so that a log that is not read blocks nothing."""

    def __init__(self, write: Callable[[str], object]) -> None:
        super().__init__()
        self._writer = LineWriter(write, "log", _WAITING)
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            lines = [self.format(record) + "\n"]
        except Exception:
            self.handleError(record)
            return
        if (dropped := self._writer.dropped) > self._dropped:
            self._dropped = dropped
            lines.insert(0, f"log: {dropped} lines so far were lost, nobody read them\n")
        self._writer.put(lines)

    def flush(self) -> None:
        self._writer.flush(_FLUSH_S)

    def close(self) -> None:
        self._writer.close(_FLUSH_S)
        super().close()


def start_logging(level: str, service: bool = False) -> None:
    """Log to standard error.

    Args:
        level: as in `log.level`.
        service: the program runs for long, and must continue if its standard error is not read.
    """
    if logging.getLogger().handlers:
        # A program that embeds this one has set up logging already.
        return
    # Otherwise each record asks multiprocessing, which this imports, for the name of the process.
    logging.logMultiprocessing = False
    # sys.stderr may have been replaced by another stream.
    descriptor = sys.__stderr__.fileno() if sys.__stderr__ else 2
    if service:
        _make_non_blocking(descriptor)
    handler = _Handler(lambda text: write_all(descriptor, text))
    handler.addFilter(RateLimit())
    handler.setFormatter(_JournalFormatter() if is_journal(descriptor) else _Formatter())
    logging.basicConfig(level=level.upper(), handlers=[handler])


def is_journal(descriptor: int, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a descriptor is the journal's: `JOURNAL_STREAM` has its device and inode (systemd.exec(5))."""
    status = os.fstat(descriptor)
    return environment.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _make_non_blocking(descriptor: int) -> None:
    """Make writes to a full pipe or socket fail at once, for C libraries that write to it directly."""
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISFIFO(mode):
        # Only a newly opened descriptor is made non-blocking: other processes share the old one.
        try:
            fresh = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK)
        except PermissionError:
            # The pipe belongs to another user, as in a container.
            os.set_blocking(descriptor, False)
            return
        os.dup2(fresh, descriptor)
        os.close(fresh)
    elif stat.S_ISSOCK(mode):
        # The socket to the journal is used by this service only.
        os.set_blocking(descriptor, False)


def write_all(descriptor: int, text: str, encoding: str = "utf-8") -> None:
    """Write a text to a file descriptor completely; a Python stream would hold its lock while the write blocks."""
    data = memoryview(text.encode(encoding, "replace"))
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            select.select([], [descriptor], [])
