"""The last minute of the scene, for the pictures that show it."""

from collections import deque
from typing import Final

from edge.outputs.drawing.overlay import MINUTE, SLOT, Context, Moment, Past
from edge.reading import Reading, Stats
from edge.translations import Words

_RATE_SECONDS: Final = 2.0
"""The rate that is shown is that of as many last seconds."""


class LastMinute:
    """An Output that remembers what is drawn besides the newest Reading."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._moments: deque[Moment] = deque(maxlen=round(MINUTE / SLOT))
        self._times: deque[float] = deque(maxlen=256)
        self._latest: Moment | None = None
        self._context = Context(words, Past())
        self._slot = -1

    def put(self, reading: Reading) -> None:
        """Note the largest face; the last one in each slot counts, when the slot is over."""
        if not reading.analysed:
            return
        slot = int(reading.captured_at // SLOT)
        if self._times and reading.captured_at < self._times[-1]:  # a clock that was set back
            self._times.clear()
            self._moments.clear()
            self._latest = None
        self._times.append(reading.captured_at)
        if slot != self._slot:  # a figure that changed with every picture could not be read
            self._slot = slot
            if self._latest:
                self._moments.append(self._latest)
                self._latest = None
            self._context = Context(self._words, Past(tuple(self._moments)), self._rate())
        if leader := reading.leader:
            self._latest = Moment(slot, leader.emotion, leader.confidence, leader.valence, leader.arousal)

    def report(self, stats: Stats) -> None:
        """Nothing: what is shown follows from the Readings."""

    def close(self) -> None:
        """Nothing: there is nothing to let go of."""

    def context(self) -> Context:
        """What goes with the newest Reading; any thread."""
        return self._context

    def _rate(self) -> float | None:
        recent = [at for at in self._times if self._times[-1] - at <= _RATE_SECONDS]
        return (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 1 and recent[-1] > recent[0] else None
