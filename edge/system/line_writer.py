"""Writes lines to a terminal, a pipe or a log that may block, without ever blocking the caller."""

import threading
from collections import deque
from collections.abc import Callable, Iterable


class LineWriter:
    """Writes lines in a thread of its own; while none can be written, the oldest are dropped. Thread-safe.

    The thread is a daemon thread that holds no lock while it writes: the process can end while it is blocked.
    """

    def __init__(self, write: Callable[[str], object], name: str, waiting: int) -> None:
        """Start the thread.

        Args:
            write: writes a text, and may block or raise OSError or ValueError; after that nothing more is written.
            name: of the thread.
            waiting: most lines that wait; beyond that the oldest are dropped.
        """
        self._write = write
        self._lines: deque[str] = deque()
        self._limit = waiting
        self._dropped = 0
        self._changed = threading.Condition()
        self._busy = self._closed = False
        self.failed: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, lines: Iterable[str]) -> None:
        """Queue lines, each with its line end, for writing; never waits."""
        with self._changed:
            self._lines.extend(lines)
            while len(self._lines) > self._limit:
                self._lines.popleft()
                self._dropped += 1
            self._changed.notify_all()

    @property
    def dropped(self) -> int:
        """Number of lines dropped so far."""
        return self._dropped

    def flush(self, within: float) -> bool:
        """Wait up to `within` seconds until all lines are written; return whether they are."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._lines or self._busy) or self._ended(), within)

    def close(self, within: float) -> None:
        """Write the waiting lines, for at most `within` seconds, and end the thread unless its write still blocks."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(within)

    def _ended(self) -> bool:
        return self.failed is not None or not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines or self._closed)
                text = "".join(self._lines)
                self._lines.clear()
                self._busy = bool(text)
                closed = self._closed
            try:
                if text:
                    self._write(text)
            except (OSError, ValueError) as error:
                # The reader of the pipe has gone.
                self.failed = error
            with self._changed:
                self._busy = False
                self._changed.notify_all()
            if closed or self.failed:
                return
