"""LastMinute, the emotions of the last minute that overlays show."""

from dataclasses import replace

import pytest

from edge.outputs.drawing.last_minute import SLOT, LastMinute, Moment, Past
from edge.reading import Box, Reading
from edge.translations import words_of
from tests.support.samples import face, reading


def at(seconds: float, *emotions: str) -> Reading:
    """Make a Reading at a time of faces with these emotions, the first one the largest."""
    faces = [face(n, emotion, box=Box(9 * n, 9, 90 - n, 90)) for n, emotion in enumerate(emotions, 1)]
    return reading(faces, captured_at=seconds)


def remembered(minute: LastMinute) -> tuple[Moment, ...]:
    past = minute.context().past
    assert past is not None
    return past.moments


def emotions(minute: LastMinute) -> dict[int, str]:
    return {moment.slot: moment.emotion for moment in remembered(minute)}


def test_the_largest_face_of_each_slot_is_remembered_once_the_slot_is_over() -> None:
    minute = LastMinute(words_of())
    minute.put(at(10.0, "happy", "sad"))
    minute.put(at(10.0 + SLOT / 2, "angry", "sad"))
    assert emotions(minute) == {}
    minute.put(at(10.0 + 2 * SLOT))
    assert emotions(minute) == {int(10 / SLOT): "angry"}
    minute.put(at(10.0 + 3 * SLOT, "sad"))
    minute.put(at(10.0 + 4 * SLOT, "sad"))
    assert emotions(minute) == {int(10 / SLOT): "angry", int(10 / SLOT) + 3: "sad"}


def test_it_is_the_same_object_until_there_is_something_new_to_draw() -> None:
    minute = LastMinute(words_of())
    minute.put(at(10.0, "happy"))
    before = minute.context()
    minute.put(at(10.0 + SLOT / 2, "sad"))
    assert minute.context() is before
    minute.put(at(10.0 + SLOT, "sad"))
    assert minute.context() is not before
    assert Past() != Past()


def test_rate_is_that_of_the_last_seconds() -> None:
    minute = LastMinute(words_of(), fps=True)
    for index in range(100):
        minute.put(at(index / 10))
    assert minute.context().fps == pytest.approx(10)
    for index in range(100):
        minute.put(at(10 + index / 25))
    assert minute.context().fps == pytest.approx(25)


def test_no_more_than_a_minute_is_kept_and_a_clock_that_was_set_back_starts_anew() -> None:
    minute = LastMinute(words_of())
    for index in range(300):
        minute.put(at(index * SLOT, "happy"))
    assert len(remembered(minute)) == 60 / SLOT
    minute.put(at(5.0, "sad"))
    assert remembered(minute) == ()


def test_what_nobody_looked_at_is_no_part_of_it() -> None:
    minute = LastMinute(words_of())
    minute.put(at(10.0, "happy"))
    minute.put(replace(at(20.0), analysed=False))
    minute.put(at(30.0))
    assert list(emotions(minute).values()) == ["happy"]
    assert minute.context().fps is None
