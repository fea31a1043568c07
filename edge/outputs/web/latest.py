"""The state that the live page shows, written by the analysis thread and read by the page's server."""

import time
from collections import deque
from typing import Any, Final

from edge.reading import Frame, Reading, Stats, rounded_if_known

FRESH_SECONDS: Final = 5.0
"""Seconds without a new frame after which the daemon no longer counts as healthy."""

MINUTE: Final = 60.0
_SAMPLE_SECONDS: Final = 0.25

_Sample = tuple[float, str | None, float, float]


class LatestReading:
    """The newest frame with its Reading, the newest Stats, and the last minute of the scene, without pictures.

    Each is replaced as a whole, so any thread may read it.
    """

    def __init__(self) -> None:
        self.newest: tuple[Frame, Reading] | None = None
        self.stats: Stats | None = None
        self._shown_at = 0.0
        self._samples: deque[_Sample] = deque(maxlen=round(MINUTE / _SAMPLE_SECONDS))

    def show(self, frame: Frame, reading: Reading) -> None:
        """Store the newest frame and its Reading. Not thread-safe."""
        self.newest = frame, reading
        self._shown_at = time.monotonic()
        if not self._samples or self._shown_at - self._samples[-1][0] >= _SAMPLE_SECONDS:
            leader = reading.leader
            seen = (leader.emotion, leader.valence, leader.arousal) if leader else (None, 0.0, 0.0)
            self._samples.append((self._shown_at, *seen))

    def minute(self) -> list[list[Any]]:
        """Return the last minute, oldest first: seconds ago, emotion of the largest face or None, valence, arousal."""
        now = time.monotonic()
        samples = self._samples.copy()
        return [
            [round(now - at, 2), emotion, rounded_if_known(v, 3), rounded_if_known(a, 3)]
            for at, emotion, v, a in samples
        ]

    def problem(self) -> str:
        """Describe why there is no live picture; empty while there is one."""
        age = time.monotonic() - self._shown_at
        if self.newest is not None and age < FRESH_SECONDS:
            return ""
        since = "no picture yet" if self.newest is None else f"no new picture for {age:.0f} s"
        camera = self.stats.camera if self.stats else "online"
        return since if camera == "online" else f"{since}; camera: {camera}"
