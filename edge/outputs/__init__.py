"""The interfaces of outputs, which receive Readings, and of viewers, which receive frames as well.

The analysis calls them from its own thread, so none may block: whatever waits on the outside world has a thread of its
own behind a bounded queue that drops the oldest. Outputs do not know each other.
"""

from typing import Protocol

from edge.reading import Frame, Reading, Stats


class Output(Protocol):
    """Receives each Reading and the daemon's statistics."""

    def put(self, reading: Reading) -> None:
        """Accept a Reading. Called for every analysed frame."""

    def report(self, stats: Stats) -> None:
        """Accept Stats. Called every few seconds, and at once when the camera is lost or found."""

    def close(self) -> None:
        """Publish that the daemon ends, and release everything, within a second."""


class SnapshotListener(Protocol):
    """Receives the snapshots that users request."""

    def picture(self, frame: Frame, reading: Reading) -> None:
        """Accept the frame that follows a request, and its Reading, which is empty if `reading.analysed` is False."""


class Viewer(Protocol):
    """Receives each frame with its Reading, to show it."""

    def show(self, frame: Frame, reading: Reading) -> None:
        """Accept the newest frame and its Reading. The frame's pixels must not be changed."""

    def close(self) -> None:
        """Release everything, within a second."""
