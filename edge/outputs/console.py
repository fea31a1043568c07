"""Lines on the screen: one when a face's emotion changes, when it leaves, and when the camera is lost or found."""

import io
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, TextIO

from edge.labels import UNCERTAIN
from edge.reading import Reading, Stats
from edge.system.threads import start_worker

_log = logging.getLogger(__name__)

# The terminal's own sixteen colours, which its user made legible on its background (ECMA-48, SGR).
_SGR: Final[Mapping[str, str]] = {
    "angry": "31",
    "negative": "31",
    "disgust": "32",
    "happy": "33",
    "sad": "34",
    "fear": "35",
    "contempt": "35",
    "surprise": "36",
    UNCERTAIN: "2",
}
_WAITING: Final = 200
"""Lines kept for a terminal that does not take them, the oldest dropped first."""


class Console:
    """An Output that writes a line a change, such as `12:03:04  face 3  happy 0.87` or `12:03:09  face 3 left`.

    The lines are written by a thread of their own, so that a terminal that stands still (Ctrl-S) stalls nothing.
    Colour on a terminal only, and not where NO_COLOR is set (no-color.org).
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        """stream: where to write, standard output unless given."""
        stream = stream or sys.stdout
        self._write_all = _writer_to(stream)
        self._colour = stream.isatty() and not os.environ.get("NO_COLOR")
        self._emotions: dict[int, str] = {}
        self._camera = "online"
        self._lines: deque[str] = deque(maxlen=_WAITING)
        self._wake = threading.Condition()
        self._closed = False
        self._writer = start_worker("console", self._write)

    def put(self, reading: Reading) -> None:
        """Write what changed since the Reading before."""
        seen = {face.track: face.emotion for face in reading.faces}
        lines = [f"face {track} left" for track in self._emotions if track not in seen]
        for face in reading.faces:
            if self._emotions.get(face.track) != face.emotion:
                emotion = self._coloured(f"{face.emotion} {face.confidence:.2f}", _SGR.get(face.emotion, ""))
                lines.append(f"face {face.track}  {emotion}")
        self._emotions = seen
        self._say(lines, reading.wall_time)

    def report(self, stats: Stats) -> None:
        """Write the camera's state when it is lost or found."""
        if stats.camera != self._camera:
            self._camera = stats.camera
            self._say([f"camera: {stats.camera}"], time.time())

    def close(self) -> None:
        """Write what is left, for at most half a second."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._writer.join(timeout=0.5)

    def _coloured(self, text: str, sgr: str) -> str:
        return f"\x1b[{sgr}m{text}\x1b[0m" if self._colour and sgr else text

    def _say(self, lines: list[str], wall_time: float) -> None:
        if lines:
            clock = time.strftime("%H:%M:%S", time.localtime(wall_time))
            with self._wake:
                self._lines.extend(f"{clock}  {line}\n" for line in lines)
                self._wake.notify()

    def _write(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._lines or self._closed)
                text = "".join(self._lines)
                self._lines.clear()
                closed = self._closed
            try:
                self._write_all(text)
            except (OSError, ValueError) as error:  # the reader of a pipe went away
                _log.info("no more lines on the screen: %s", error)
                return
            if closed:
                return


def _writer_to(stream: TextIO) -> Callable[[str], object]:
    """Write to a stream's file descriptor, not through the stream.

    A write that blocks would hold the stream's lock, and whoever closes or flushes the stream would wait for it.
    """
    try:
        raw = io.FileIO(os.dup(stream.fileno()), "w")
    except io.UnsupportedOperation:  # a stream in memory
        return stream.write
    stream.flush()

    def write(text: str) -> None:
        data = memoryview(text.encode(stream.encoding or "utf-8", "replace"))
        while data:
            data = data[raw.write(data) :]

    return write
