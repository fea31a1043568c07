"""Collects the last minute of the scene, which the overlay draws as a timeline and on the circumplex."""

from collections import deque
from dataclasses import dataclass
from typing import Final

from edge.reading import Reading, Stats
from edge.translations import Words, words_of

MINUTE: Final = 60.0
SLOT: Final = 0.5
"""Seconds per column of the timeline."""

_RATE_SECONDS: Final = 2.0
"""Seconds over which the displayed frame rate is averaged."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The largest face in one slot of the timeline. slot: `captured_at // SLOT`; valence, arousal: as in `Face`."""

    slot: int
    emotion: str
    confidence: float
    valence: float | None
    arousal: float | None


@dataclass(frozen=True, eq=False)
class Past:
    """The moments of the last minute, oldest first. Compared by identity, as hashing them for a cache would be slow."""

    moments: tuple[Moment, ...] = ()


@dataclass(frozen=True, slots=True)
class Context:
    """What the overlay draws besides the Reading.

    Attributes:
        words: the texts in the viewer's language.
        past: the last minute; None: neither timeline nor circumplex is drawn.
        fps: frames analysed per second; None: not drawn.
    """

    words: Words
    past: Past | None = None
    fps: float | None = None


PLAIN: Final = Context(words_of())


class LastMinute:
    """An Output that computes the Context for the newest Reading."""

    def __init__(self, words: Words, fps: bool = False) -> None:
        """Start empty. words: texts in the viewer's language. fps: whether the frame rate is shown."""
        self._words = words
        self._fps = fps
        self._moments: deque[Moment] = deque(maxlen=round(MINUTE / SLOT))
        self._times: deque[float] = deque(maxlen=256)
        self._latest: Moment | None = None
        self._context = Context(words, Past())
        self._slot = -1

    def put(self, reading: Reading) -> None:
        """Add the largest face of a Reading. When a slot is over, its last Reading enters the timeline."""
        if not reading.analysed:
            return
        slot = int(reading.captured_at // SLOT)
        if self._times and reading.captured_at < self._times[-1]:
            # The time of capture went backwards.
            self._times.clear()
            self._moments.clear()
            self._latest = None
        self._times.append(reading.captured_at)
        if slot != self._slot:
            # Updated once per slot: no one can read a number that changes with every frame.
            self._slot = slot
            if self._latest:
                self._moments.append(self._latest)
                self._latest = None
            self._context = Context(self._words, Past(tuple(self._moments)), self._rate())
        if leader := reading.leader:
            self._latest = Moment(slot, leader.emotion, leader.confidence, leader.valence, leader.arousal)

    def report(self, stats: Stats) -> None:
        """Ignored: everything shown follows from the Readings."""

    def close(self) -> None:
        """Nothing to release."""

    def context(self) -> Context:
        """Return the Context for the newest Reading. Thread-safe."""
        return self._context

    def _rate(self) -> float | None:
        if not self._fps:
            return None
        recent = [at for at in self._times if self._times[-1] - at <= _RATE_SECONDS]
        return (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 1 and recent[-1] > recent[0] else None
