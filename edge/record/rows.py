"""Turns Readings into rows of the record: each face gets a row per minute, and another one when its emotion changes."""

import math
from dataclasses import dataclass
from typing import Final, Literal

from edge.reading import Face, Reading

GAP_S: Final = 2.0
"""Seconds without a Reading after which rows end at the time of the last one."""

_CLOCK_JUMP_S: Final = 1.0
_MINUTE_S: Final = 60

Start = Literal["appeared", "changed", "continued"]


@dataclass(frozen=True, slots=True)
class Seen:
    """A face that showed one emotion for a while, within one minute of the clock (UTC).

    track: the face's id in this run. start: why the row begins: the face appeared, its emotion changed, or a minute
    was full. began: milliseconds since the epoch. duration: milliseconds, by a clock that cannot be set.
    confidence, valence, arousal: means over its frames, in the ranges of `Face`; valence and arousal 0 if unknown.
    """

    track: int
    start: Start
    began: int
    duration: int
    emotion: str
    confidence: float
    valence: float
    arousal: float
    frames: int


@dataclass(frozen=True, slots=True)
class Watched:
    """Time in which frames were analysed, with or without a face; the fields are those of `Seen`."""

    began: int
    duration: int
    frames: int


Row = Seen | Watched


@dataclass(frozen=True, slots=True)
class _Moment:
    wall: float
    steady: float


class _Open:
    """A row that is not complete yet."""

    def __init__(self, start: Start, emotion: str, since: _Moment) -> None:
        self.emotion = emotion
        self._start = start
        self._since = since
        self._frames = 0
        self._confidence = self._valence = self._arousal = 0.0

    def add(self, face: Face) -> None:
        self._frames += 1
        self._confidence += face.confidence
        self._valence += face.valence or 0.0
        self._arousal += face.arousal or 0.0

    def ended(self, track: int, at: _Moment) -> Seen:
        frames = self._frames
        return Seen(
            track,
            self._start,
            round(self._since.wall * 1000),
            _milliseconds(self._since, at),
            self.emotion,
            _finite(self._confidence / frames),
            _finite(self._valence / frames),
            _finite(self._arousal / frames),
            frames,
        )


class RowBuilder:
    """Builds rows from one Reading after another. Not thread-safe.

    Rows end at whole minutes, so that each belongs to one time slot of any report. If the system's clock is set, every
    row ends, so that no row mixes times from before and after.
    """

    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}
        self._watching: _Moment | None = None
        self._frames = 0
        self._last = _Moment(0.0, 0.0)

    def add(self, reading: Reading) -> list[Row]:
        """Add a Reading; return the rows that end with it."""
        if not reading.analysed:
            return self.end()
        now = _Moment(reading.wall_time, reading.captured_at)
        rows: list[Row] = []
        if self._watching and not _follows(self._last, now):
            rows = self.end()
        minute = math.floor(now.wall / _MINUTE_S) * _MINUTE_S
        full = self._watching is not None and self._last.wall < minute
        cut = _Moment(minute, now.steady - (now.wall - minute)) if full else now
        if self._watching is None or full:
            rows += self._watched(cut)
            self._watching = cut

        seen = {face.track: face for face in reading.faces}
        before = self._open
        self._open = {}
        for track, row in before.items():
            face = seen.get(track)
            if face and face.emotion == row.emotion and not full:
                self._open[track] = row
                continue
            rows.append(row.ended(track, cut))
            if face:
                start: Start = "continued" if face.emotion == row.emotion else "changed"
                self._open[track] = _Open(start, face.emotion, cut)
        for track, face in seen.items():
            self._open.setdefault(track, _Open("appeared", face.emotion, now)).add(face)
        self._frames += 1
        self._last = now
        return rows

    def end(self) -> list[Row]:
        """End all open rows at the time of the last Reading, because no more frames come, and return them."""
        rows: list[Row] = [row.ended(track, self._last) for track, row in self._open.items()]
        rows += self._watched(self._last)
        self._open = {}
        self._watching = None
        return rows

    def _watched(self, at: _Moment) -> list[Row]:
        if self._watching is None:
            return []
        frames, self._frames = self._frames, 0
        return [Watched(round(self._watching.wall * 1000), _milliseconds(self._watching, at), frames)]


def _follows(last: _Moment, now: _Moment) -> bool:
    """Whether no frames are missing between two moments, and the system's clock was not set."""
    passed = now.steady - last.steady
    return 0 <= passed <= GAP_S and abs(now.wall - last.wall - passed) <= _CLOCK_JUMP_S


def _milliseconds(since: _Moment, until: _Moment) -> int:
    return max(0, round((until.steady - since.steady) * 1000))


def _finite(value: float) -> float:
    return round(value, 4) if math.isfinite(value) else 0.0
