"""The tracker: an id lasts as long as a face is in view."""

import pytest

from edge.faces.tracker import HOLD, MAX_AGE, Tracker
from edge.reading import Box, Detection


def face(x: float, y: float = 100, size: float = 80) -> Detection:
    return Detection(Box(x, y, size, size), 0.9)


def follow(tracker: Tracker, frames: list[list[Detection]], fps: float = 20) -> list[list[int]]:
    """Return the ids in view in each frame."""
    return [[found.track for found in tracker.update(faces, n / fps)] for n, faces in enumerate(frames)]


def test_a_face_counts_from_its_second_frame_and_keeps_its_id() -> None:
    assert follow(Tracker(), [[face(100 + 5 * n)] for n in range(30)]) == [[]] + [[1]] * 29


def test_a_single_false_alarm_never_counts() -> None:
    assert follow(Tracker(), [[], [face(10)], [], [face(400)], []]) == [[], [], [], [], []]


def test_stills_count_at_once() -> None:
    assert follow(Tracker(confirm=1), [[face(100), face(300)]]) == [[1, 2]]


def test_two_faces_that_pass_close_by_keep_their_ids() -> None:
    frames = [[face(100 + 4 * n, 100), face(500 - 4 * n, 170)] for n in range(100)]
    tracker = Tracker()
    for number, faces in enumerate(frames):
        found = tracker.update(faces, number / 20)
        if number:
            assert {f.track: f.detection.box.y for f in found} == {1: 100, 2: 170}


def test_the_order_of_detections_does_not_matter() -> None:
    tracker = Tracker()
    tracker.update([face(100), face(400)], 0.0)
    tracker.update([face(100), face(400)], 0.1)
    swapped = tracker.update([face(402), face(101)], 0.2)
    assert [(f.track, f.detection.box.x) for f in swapped] == [(1, 101), (2, 402)]


def test_a_fast_face_that_no_longer_overlaps_is_still_the_same() -> None:
    assert follow(Tracker(), [[face(100)], [face(100)], [face(155)], [face(210)]])[-1] == [1]


def test_a_jump_across_the_frame_is_another_face() -> None:
    ids = follow(Tracker(), [[face(100)], [face(100)], [face(500)], [face(500)]])
    assert ids[-1] == [1, 2]  # the first track is still kept, the second is new


@pytest.mark.parametrize(
    ("gap", "ids", "after"),
    [(HOLD - 0.1, [1], [1]), (HOLD + 0.1, [], [1]), (MAX_AGE - 0.1, [], [1]), (MAX_AGE + 0.1, [], [])],
)
def test_a_missed_face_lingers_unseen_then_is_remembered_and_then_forgotten(
    gap: float, ids: list[int], after: list[int]
) -> None:
    tracker = Tracker()
    tracker.update([face(100)], 0.0)
    tracker.update([face(110)], 0.1)
    found = tracker.update([], 0.1 + gap)
    assert [f.track for f in found] == ids
    assert all(not f.visible and f.detection.box.x == 110 for f in found)
    assert [f.track for f in tracker.update([face(112)], 0.1 + gap + 0.05)] == after


def test_a_face_is_confirmed_though_one_detection_misses_it_and_not_after_two() -> None:
    assert follow(Tracker(), [[face(100)], [], [face(100)]])[-1] == [1]
    assert follow(Tracker(), [[face(100)], [], [], [face(100)]])[-1] == []
