"""Where Readings go: each output takes Readings, none knows another.

Two kinds, told apart by what they are given. An Output gets no pixels; a Viewer gets the frame as well. The pipeline
calls them from its own thread, so none may block: what waits on the outside world has a thread of its own behind a
bounded, drop-oldest queue.
"""

from typing import Protocol

from edge.reading import Frame, Reading, Stats


class Output(Protocol):
    """Receives each Reading and the daemon's statistics."""

    def put(self, reading: Reading) -> None:
        """One Reading, for every analysed frame."""

    def report(self, stats: Stats) -> None:
        """Stats, every few seconds and at once when the camera is lost or found."""

    def close(self) -> None:
        """Publish the end and release everything, within a second."""


class SnapshotListener(Protocol):
    """Receives the snapshots that people request."""

    def picture(self, frame: Frame, reading: Reading) -> None:
        """The frame after it was asked for, and what was seen in it; nothing was where `reading.analysed` is False."""


class Viewer(Protocol):
    """Shows pictures to a person."""

    def show(self, frame: Frame, reading: Reading) -> None:
        """The newest analysed frame and what was seen in it. The frame's pixels must not be changed."""

    def close(self) -> None:
        """Release everything, within a second."""
