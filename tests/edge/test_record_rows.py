"""Rows of the record made from Readings: when a row begins and ends, and what it contains."""

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from edge.reading import Face, Reading
from edge.record.rows import GAP_S, Row, RowBuilder, Seen, Watched
from tests.support.samples import face, frame, reading

MINUTE = 1_795_000_020.0
"""A full minute, in seconds since the epoch."""

FRAME = frame()


def at(second: float, *faces: Face, clock: float = MINUTE) -> Reading:
    """Make a Reading `second` seconds after MINUTE. clock: time of that minute by the board's clock."""
    return replace(reading(faces, FRAME), captured_at=1000 + second, wall_time=clock + second)


def through(*parts: tuple[float, float, tuple[Face, ...]]) -> Iterator[Reading]:
    """Yield ten Readings a second. Each part: first and last second, and the faces in view."""
    for first, last, faces in parts:
        for step in range(round(first * 10), round(last * 10)):
            yield at(step / 10, *faces)


def rows_of(readings: Iterator[Reading]) -> tuple[list[Seen], list[Watched]]:
    """Return all rows made of these Readings, including those written at the end."""
    stretches = RowBuilder()
    rows: list[Row] = [row for one in readings for row in stretches.add(one)] + stretches.end()
    return [row for row in rows if isinstance(row, Seen)], [row for row in rows if isinstance(row, Watched)]


def short(row: Seen) -> tuple[int, str, str, float, float]:
    """Shorten a row to track, start, emotion, seconds after the minute, duration in seconds."""
    return row.track, row.start, row.emotion, round(row.began / 1000 - MINUTE, 1), row.duration / 1000


def test_a_row_a_change_that_ends_when_the_face_leaves() -> None:
    seen, watched = rows_of(through((1, 4, (face(7, "happy"),)), (4, 6, (face(7, "sad"),)), (6, 7, ())))
    assert [short(row) for row in seen] == [(7, "appeared", "happy", 1, 3), (7, "changed", "sad", 4, 2)]
    assert [row.frames for row in seen] == [30, 20]
    assert [(row.began, row.duration, row.frames) for row in watched] == [(round((MINUTE + 1) * 1000), 5900, 60)]


def test_a_row_a_minute_a_face() -> None:
    seen, watched = rows_of(through((30, 150, (face(1, "happy"), face(2, "neutral")))))
    assert [short(row) for row in seen if row.track == 2] == [
        (2, "appeared", "neutral", 30, 30),
        (2, "continued", "neutral", 60, 60),
        (2, "continued", "neutral", 120, 29.9),
    ]
    assert len(seen) == 6
    assert [row.duration for row in watched] == [30_000, 60_000, 29_900]


def test_means_over_the_frames_of_a_row() -> None:
    faces = [face(1, "happy", 0.6, valence=0.2, arousal=-0.4), face(1, "happy", 0.8, valence=0.6, arousal=0.0)]
    (row,), _ = rows_of(at(step / 10, faces[step % 2]) for step in range(10))
    assert (row.confidence, row.valence, row.arousal) == (0.7, 0.4, -0.2)


def test_figures_that_are_none_are_no_trouble() -> None:
    (row,), _ = rows_of(at(step / 10, face(1, valence=float("nan"))) for step in range(3))
    assert row.valence == 0


@pytest.mark.parametrize(
    ("second", "why"), [(5 + GAP_S + 1, "no picture for a while"), (4, "a camera that starts its time again")]
)
def test_rows_end_with_the_last_picture_before_a_gap(second: float, why: str) -> None:
    readings = [*through((1, 5.1, (face(1),))), at(second, face(1)), at(second + 0.5, face(1))]
    seen, _ = rows_of(iter(readings))
    assert [short(row)[3:] for row in seen] == [(1, 4), (second, 0.5)], why


def test_rows_do_not_reach_over_a_clock_that_is_set() -> None:
    before, after = at(9, face(1)), at(10, face(1), clock=MINUTE + 86400)
    seen, _ = rows_of(iter([at(8, face(1)), before, after, at(11, face(1), clock=MINUTE + 86400)]))
    assert [short(row)[3:] for row in seen] == [(8, 1), (86410, 1)]


def test_what_is_not_analysed_is_not_watched() -> None:
    off = [replace(at(5 + step / 10), analysed=False) for step in range(20)]
    seen, watched = rows_of(iter([*through((1, 5, (face(1),))), *off, *through((7, 8, (face(1),)))]))
    assert [short(row)[3:] for row in seen] == [(1, 3.9), (7, 0.9)]
    assert [row.duration for row in watched] == [3900, 900]


def test_durations_add_up_to_the_time_in_view_and_no_row_leaves_its_minute() -> None:
    chance = random.Random(4)
    steps = [chance.uniform(0.02, 0.4) for _ in range(2000)]
    emotions = ["happy", "sad", "neutral"]
    now, shown, readings = 17.0, "happy", []
    for step in steps:
        shown = chance.choice(emotions) if chance.random() < 0.1 else shown
        readings.append(at(now, face(1, shown)))
        now += step
    seen, watched = rows_of(iter(readings))
    whole = (now - steps[-1] - 17.0) * 1000
    for rows in (seen, watched):
        assert sum(row.duration for row in rows) == pytest.approx(whole, abs=len(rows))
        for row in rows:
            assert row.began // 60_000 == max(row.began, row.began + row.duration - 2) // 60_000
    assert sum(row.frames for row in seen) == len(readings)
