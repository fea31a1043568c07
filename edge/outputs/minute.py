"""The last minute of the scene, for the pictures that show it."""

import threading
from collections import deque
from typing import Final

from edge.outputs.overlay import MINUTE, SLOT, Context, Moment
from edge.reading import Reading, Stats
from edge.words import Words

_RATE_SECONDS: Final = 2.0
"""The rate that is shown is that of as many last seconds."""


class LastMinute:
    """An Output that remembers what is drawn besides the newest Reading."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._lock = threading.Lock()
        self._moments: deque[Moment] = deque(maxlen=round(MINUTE / SLOT))
        self._times: deque[float] = deque(maxlen=256)
        self._fps: float | None = None
        self._slot = -1

    def put(self, reading: Reading) -> None:
        """Note the largest face; the last one in each slot counts."""
        if not reading.analysed:
            return
        slot = int(reading.captured_at // SLOT)
        with self._lock:
            if self._times and reading.captured_at < self._times[-1]:  # a clock that was set back
                self._times.clear()
                self._moments.clear()
            self._times.append(reading.captured_at)
            if slot != self._slot:  # a figure that changed with every picture could not be read
                self._slot = slot
                self._fps = self._rate()
            if leader := reading.leader:
                if self._moments and self._moments[-1].slot == slot:
                    self._moments.pop()
                self._moments.append(Moment(slot, leader.emotion, leader.confidence, leader.valence, leader.arousal))

    def report(self, stats: Stats) -> None:
        """Nothing: what is shown follows from the Readings."""

    def close(self) -> None:
        """Nothing: there is nothing to let go of."""

    def context(self) -> Context:
        """What goes with the newest Reading; any thread."""
        with self._lock:
            return Context(self._words, tuple(self._moments), self._fps)

    def _rate(self) -> float | None:
        recent = [at for at in self._times if self._times[-1] - at <= _RATE_SECONDS]
        return (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 1 and recent[-1] > recent[0] else None
