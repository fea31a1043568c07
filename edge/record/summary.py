"""Sums of the record's rows over some days, by time slot, in the board's local time."""

import sqlite3
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from edge.labels import CIRCUMPLEX
from edge.reading import timestamp

VERSION: Final = 1
"""Version of the JSON; raised when it changes in a way that breaks its readers."""

_SLOT_MINUTES: Final = (15, 30, 60, 120, 240, 1440)
_MOST_SLOTS: Final = 200
CELLS: Final = 16
"""Number of cells of the circumplex in each direction."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One time slot. start: local time. length: seconds, fewer if the day's end cuts it.

    seconds: face-seconds by emotion: two happy faces for a second are two seconds. present: seconds with a face in
    view; watched: seconds in which pictures were analysed. appeared: faces that came into view; changed: changes of
    emotion. valence, arousal: means over the face-seconds, -1 to 1; None if there are none.
    """

    start: datetime
    length: float
    seconds: Mapping[str, float]
    present: float
    watched: float
    appeared: int
    changed: int
    valence: float | None
    arousal: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """Sums of some days. first, last: local days, both included. slots: all time slots, empty ones too.

    changes: how often an emotion followed another in the same face, by (from, to).
    circumplex: face-seconds [arousal][valence] in CELLS x CELLS cells, both from -1 to 1.
    """

    first: date
    last: date
    slot_minutes: int
    slots: tuple[Slot, ...]
    changes: Mapping[tuple[str, str], int]
    circumplex: tuple[tuple[float, ...], ...]

    @property
    def seconds(self) -> dict[str, float]:
        """Face-seconds by emotion, in descending order."""
        total: dict[str, float] = {}
        for slot in self.slots:
            for emotion, seconds in slot.seconds.items():
                total[emotion] = total.get(emotion, 0.0) + seconds
        return dict(sorted(total.items(), key=lambda item: -item[1]))

    @property
    def present(self) -> float:
        """Seconds with a face in view."""
        return sum(slot.present for slot in self.slots)

    @property
    def watched(self) -> float:
        """Seconds in which pictures were analysed."""
        return sum(slot.watched for slot in self.slots)

    @property
    def appeared(self) -> int:
        """Number of faces that came into view; a person who comes again counts again."""
        return sum(slot.appeared for slot in self.slots)

    @property
    def changed(self) -> int:
        """Number of changes of emotion."""
        return sum(slot.changed for slot in self.slots)


@dataclass(slots=True)
class _Sums:
    """Sums of one slot while rows are being added."""

    seconds: dict[str, float] = field(default_factory=dict)
    present: float = 0.0
    watched: float = 0.0
    appeared: int = 0
    changed: int = 0
    placed: float = 0.0
    valence: float = 0.0
    arousal: float = 0.0


def days_until(last: date, days: int) -> list[date]:
    """Return `days` consecutive days, of which `last` is the last."""
    return [last - timedelta(days=before) for before in range(days - 1, -1, -1)]


def summarise(connection: sqlite3.Connection, days: list[date]) -> Summary:
    """Sum up the rows of consecutive days. Raises sqlite3.Error."""
    minutes = next((m for m in _SLOT_MINUTES if len(days) * 1440 / m <= _MOST_SLOTS), _SLOT_MINUTES[-1])
    starts = [start for day in days for start in _slot_starts(day, minutes)]
    ends = [*starts[1:], _midnight(days[-1] + timedelta(days=1))]
    begins = [start.timestamp() for start in starts]
    sums = [_Sums() for _ in starts]
    limits = (round(begins[0] * 1000), round(ends[-1].timestamp() * 1000))
    changes: dict[tuple[str, str], int] = {}
    circumplex = [[0.0] * CELLS for _ in range(CELLS)]

    def slot_of(began: float) -> int:
        return bisect_right(begins, began / 1000) - 1

    watched = "SELECT began, duration FROM watched WHERE began >= ? AND began < ?"
    for began, duration in connection.execute(watched, limits):
        sums[slot_of(began)].watched += duration / 1000

    shown: dict[tuple[int, int], str] = {}
    covered = 0.0
    for run, track, start, began, duration, emotion, valence, arousal in _seen(connection, limits):
        index, seconds = slot_of(began), duration / 1000
        slot = sums[index]
        slot.seconds[emotion] = slot.seconds.get(emotion, 0.0) + seconds
        slot.present += max(0, began + duration - max(began, covered)) / 1000
        covered = max(covered, began + duration)
        slot.appeared += start == "appeared"
        if emotion in CIRCUMPLEX or valence or arousal:
            # For a label of the user's own, valence and arousal are unknown and stored as 0.
            slot.placed += seconds
            slot.valence += valence * seconds
            slot.arousal += arousal * seconds
            circumplex[_cell(arousal)][_cell(valence)] += seconds
        if start == "changed":
            slot.changed += 1
            if before := shown.get((run, track)):
                changes[before, emotion] = changes.get((before, emotion), 0) + 1
        shown[run, track] = emotion

    return Summary(
        first=days[0],
        last=days[-1],
        slot_minutes=minutes,
        slots=tuple(
            _slot(start, end.timestamp() - start.timestamp(), total)
            for start, end, total in zip(starts, ends, sums, strict=True)
        ),
        changes=dict(sorted(changes.items(), key=lambda item: -item[1])),
        circumplex=tuple(tuple(row) for row in circumplex),
    )


def rows_of(connection: sqlite3.Connection, days: list[date] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the rows of all faces on these days, or of all days, oldest first, times in UTC. Raises sqlite3.Error."""
    names = ("run", "track", "start", "emotion", "confidence", "valence", "arousal", "frames")
    query = f"SELECT began, duration, {', '.join(names)} FROM seen"
    limits: tuple[int, ...] = ()
    if days is not None:
        ends = (_midnight(days[0]), _midnight(days[-1] + timedelta(days=1)))
        limits = tuple(round(moment.timestamp() * 1000) for moment in ends)
        query += " WHERE began >= ? AND began < ?"
    for began, duration, *rest in connection.execute(f"{query} ORDER BY began, id", limits):
        yield {"began": timestamp(began / 1000), "seconds": duration / 1000, **dict(zip(names, rest, strict=True))}


def summary_json(summary: Summary) -> dict[str, Any]:
    """Return the summary for JSON; docs/record.md describes the fields."""
    return {
        "v": VERSION,
        "first": summary.first.isoformat(),
        "last": summary.last.isoformat(),
        "zone": zone(summary),
        "slot_minutes": summary.slot_minutes,
        "seconds": _rounded(summary.seconds),
        "present": round(summary.present, 1),
        "watched": round(summary.watched, 1),
        "appeared": summary.appeared,
        "changed": summary.changed,
        "changes": [{"from": a, "to": b, "count": count} for (a, b), count in summary.changes.items()],
        "slots": [
            {
                "start": slot.start.isoformat(timespec="minutes"),
                "seconds": _rounded(slot.seconds),
                "present": round(slot.present, 1),
                "watched": round(slot.watched, 1),
                "appeared": slot.appeared,
                "changed": slot.changed,
                "valence": None if slot.valence is None else round(slot.valence, 3),
                "arousal": None if slot.arousal is None else round(slot.arousal, 3),
            }
            for slot in summary.slots
        ],
    }


def zone(summary: Summary) -> str:
    """Return the local time zone of the days, `CET (UTC+01:00)`; two names if it changed."""
    names = dict.fromkeys(
        name if (name := str(slot.start.tzname())) == "UTC" else f"{name} (UTC{slot.start.isoformat()[-6:]})"
        for slot in summary.slots
    )
    return ", ".join(names)


def _seen(connection: sqlite3.Connection, limits: tuple[int, int]) -> Iterable[tuple[Any, ...]]:
    query = (
        "SELECT run, track, start, began, duration, emotion, valence, arousal FROM seen "
        "WHERE began >= ? AND began < ? ORDER BY began, id"
    )
    return connection.execute(query, limits)


def _slot(start: datetime, length: float, total: _Sums) -> Slot:
    return Slot(
        start=start,
        length=length,
        seconds=total.seconds,
        present=min(total.present, length),
        # Rows of `watched` come once a minute, those of faces every ten seconds.
        watched=min(max(total.watched, total.present), length),
        appeared=total.appeared,
        changed=total.changed,
        valence=total.valence / total.placed if total.placed else None,
        arousal=total.arousal / total.placed if total.placed else None,
    )


def _slot_starts(day: date, minutes: int) -> Iterator[datetime]:
    """Yield the local times of a day's slots: 92 quarter hours when clocks go forward, 100 when they go back."""
    moment, end = _midnight(day).timestamp(), _midnight(day + timedelta(days=1)).timestamp()
    if minutes == 1440:
        yield _midnight(day)
        return
    while moment < end:
        yield datetime.fromtimestamp(moment).astimezone()
        moment += minutes * 60


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min).astimezone()


def _cell(value: float) -> int:
    return min(CELLS - 1, max(0, int((value + 1) / 2 * CELLS)))


def _rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    return {emotion: round(value, 1) for emotion, value in seconds.items()}
