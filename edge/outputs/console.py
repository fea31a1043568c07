"""Output on the terminal: lines when a face's emotion changes, when it leaves, and when the camera is lost or found."""

import io
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Final, TextIO

from edge.labels import UNCERTAIN
from edge.reading import Reading, Stats
from edge.system.line_writer import LineWriter
from edge.system.logs import write_all

_log = logging.getLogger(__name__)

# The terminal's sixteen colours, which its user has made legible on the background (ECMA-48, SGR).
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
"""Lines that wait for a terminal that accepts none; beyond that the oldest are dropped."""


class Console:
    """An Output that writes a line for each change, such as `12:03:04  face 3  happy 0.87` or `12:03:09  face 3 left`.

    A thread of its own writes the lines, so that a stopped terminal (Ctrl-S) blocks nothing else. Colours are used on a
    terminal only, and not if NO_COLOR is set (no-color.org).
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        """Start the writing thread. stream: where to write; None: standard output."""
        stream = stream or sys.stdout
        self._colour = stream.isatty() and not os.environ.get("NO_COLOR")
        self._emotions: dict[int, str] = {}
        self._camera = "online"
        self._writer = LineWriter(_writer_to(stream), "console", _WAITING)
        self._failure_logged = False

    def put(self, reading: Reading) -> None:
        """Write what changed since the previous Reading."""
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
        """Write the lines that wait, for at most half a second."""
        self._writer.close(0.5)

    def _coloured(self, text: str, sgr: str) -> str:
        return f"\x1b[{sgr}m{text}\x1b[0m" if self._colour and sgr else text

    def _say(self, lines: list[str], wall_time: float) -> None:
        if self._writer.failed and not self._failure_logged:
            # The reader of the pipe has gone.
            self._failure_logged = True
            _log.info("no more lines on the screen: %s", self._writer.failed)
        elif lines:
            clock = time.strftime("%H:%M:%S", time.localtime(wall_time))
            self._writer.put(f"{clock}  {line}\n" for line in lines)


def _writer_to(stream: TextIO) -> Callable[[str], object]:
    """Return a function that writes to a stream's file descriptor, without the stream's lock.

    A blocked write would hold that lock, and whoever closes or flushes the stream would wait for it.
    """
    try:
        raw = io.FileIO(os.dup(stream.fileno()), "w")
    except io.UnsupportedOperation:
        # A stream in memory has no file descriptor.
        return stream.write
    stream.flush()

    return lambda text: write_all(raw.fileno(), text, stream.encoding or "utf-8")
