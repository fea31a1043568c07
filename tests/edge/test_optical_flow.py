"""Faces followed by optical flow, and when face detection runs instead."""

import math

import cv2
import numpy as np
import pytest

from edge.faces.cadence import MAX_EVERY, MAX_GAP, MAX_GAP_NO_FACE, Cadence, SceneCut
from edge.faces.optical_flow import OpticalFlow
from edge.reading import Box, Detection, Image
from tests.support.moving import At, Head, backdrop, compose, heads

MARKS = np.array([(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)], np.float32)
"""Landmarks (x, y) as shares of a face box."""


@pytest.fixture(scope="module")
def cast() -> list[Head]:
    return heads()


def found(box: Box) -> Detection:
    marks = MARKS * np.array((box.width, box.height), np.float32) + np.array((box.x, box.y), np.float32)
    return Detection(box, 0.9, marks.astype(np.float32))


def follow(images: list[Image], faces: dict[int, Box]) -> dict[int, Detection]:
    """Follow the faces of the first image through all; returns their detections in the last."""
    follower = OpticalFlow()
    assert follower.anchor(images[0], {track: found(box) for track, box in faces.items()}) == len(faces)
    for image in images[1:]:
        seen = follower.step(image)
    return seen


@pytest.mark.parametrize("size", [(640, 480), (1280, 720), (320, 240)])
@pytest.mark.parametrize("steps", [1, 5, 10])
def test_boxes_and_landmarks_stay_on_faces_that_move_and_grow(
    cast: list[Head], size: tuple[int, int], steps: int
) -> None:
    background, unit = backdrop(*size), size[1] / 480
    paths = [
        [
            [
                At(cast[0], unit * (150 + 5 * n), unit * (200 + 2 * n), unit * 90 * 1.015**n),
                At(cast[1], unit * (450 - 4 * n), unit * (230 - 3 * n), unit * 120 / 1.015**n),
            ]
        ]
        for n in range(steps + 1)
    ]
    images = [compose(background, placed) for (placed,) in paths]
    seen = follow(images, {n: at.box for n, at in enumerate(paths[0][0])})
    assert sorted(seen) == [0, 1]
    for track, at in enumerate(paths[-1][0]):
        assert seen[track].box.iou(at.box) > 0.88
        assert seen[track].score == 0.9
        marks, true = seen[track].landmarks, found(at.box).landmarks
        assert marks is not None
        assert true is not None
        assert marks.dtype == np.float32
        assert np.abs(marks - true).max() < 0.06 * at.width


def test_landmarks_turn_with_the_face(cast: list[Head]) -> None:
    image = compose(backdrop(), [At(cast[0], 320, 240, 120)])
    turns = [cv2.getRotationMatrix2D((320, 240), 2.0 * n, 1) for n in range(6)]
    images = [np.asarray(cv2.warpAffine(image, turn, (640, 480)), np.uint8) for turn in turns]
    box = At(cast[0], 320, 240, 120).box
    marks = follow(images, {1: box})[1].landmarks
    begun = found(box).landmarks
    assert marks is not None
    assert begun is not None
    assert np.abs(marks - (begun @ turns[-1][:, :2].T + turns[-1][:, 2])).max() < 4


def test_a_grey_picture_will_do_and_a_face_need_not_have_landmarks(cast: list[Head]) -> None:
    places = [At(cast[0], 200 + 6 * n, 240) for n in range(3)]
    images = [np.asarray(cv2.cvtColor(compose(backdrop(), [at]), cv2.COLOR_BGR2GRAY), np.uint8) for at in places]
    follower = OpticalFlow()
    follower.anchor(images[0], {4: Detection(places[0].box, 0.7)})
    follower.step(images[1])
    seen = follower.step(images[2])[4]
    assert seen.landmarks is None
    assert seen.box.iou(places[2].box) > 0.9


def test_a_covered_face_is_lost_and_the_other_is_not(cast: list[Head]) -> None:
    placed = [At(cast[0], 150, 240), At(cast[1], 450, 240)]
    before = compose(backdrop(), placed)
    after = compose(backdrop(), placed, Box(80, 150, 140, 180))
    follower = OpticalFlow()
    follower.anchor(before, {n: found(at.box) for n, at in enumerate(placed)})
    assert list(follower.step(after)) == [1]
    assert list(follower.step(before)) == [1]  # until a detection finds it again


def test_nothing_is_followed_into_another_scene(cast: list[Head]) -> None:
    before = compose(backdrop(seed=3), [At(cast[0], 200, 240)])
    after = compose(backdrop(seed=9), [At(cast[1], 420, 200)])
    assert follow([before, after], {1: At(cast[0], 200, 240).box}) == {}


def test_a_face_outside_the_picture_is_not_followed(cast: list[Head]) -> None:
    image = compose(backdrop(), [At(cast[0], 320, 240)])
    outside = {n: found(box) for n, box in enumerate([Box(-500, 0, 90, 90), Box(320, 700, 90, 90), Box(0, 0, 0, 0)])}
    assert OpticalFlow().anchor(image, outside) == 0
    partly = OpticalFlow()
    assert partly.anchor(image, {1: found(Box(-30, 200, 90, 110))}) == 1
    partly.step(image)  # with or without enough texture in it


@pytest.mark.parametrize("shape", [(1, 1), (1, 640), (7, 333)])
def test_pictures_of_odd_shapes_do_no_harm(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 90, np.uint8)
    follower, cut = OpticalFlow(), SceneCut()
    follower.anchor(image, {1: found(Box(0, 0, 5, 5))})
    follower.step(image)
    assert not cut(image)
    assert not cut(image)


def test_a_cut_is_another_scene_and_not_a_face_that_moves(cast: list[Head]) -> None:
    cut = SceneCut()
    here, there = backdrop(seed=3), backdrop(seed=9)
    assert [cut(compose(here, [At(cast[0], 100 + 40 * n, 240, 150)])) for n in range(8)] == [False] * 8
    assert cut(there)
    assert not cut(there)
    assert cut(here[:300])  # a frame of another size


def due(cadence: Cadence, fps: float, frames: int, cost: float, followed: int = 1, border: bool = False) -> list[int]:
    """Return the numbers of the frames in which face detection runs."""
    looked = []
    for number in range(frames):
        if cadence.due(number / fps, followed, border):
            cadence.detected(number / fps, cost)
            looked.append(number)
    return looked


def test_a_number_is_kept_to() -> None:
    assert due(Cadence(1), 30, 6, 0.5) == list(range(6))
    assert due(Cadence(7), 30, 30, 0.5) == [0, 7, 14, 21, 28]
    assert due(Cadence(7), 1, 16, 0.0, followed=0) == [0, 7, 14]
    assert due(Cadence(7), 30, 30, 0.5, border=True) == [0, 4, 8, 12, 16, 20, 24, 28]


@pytest.mark.parametrize(
    ("fps", "cost", "every"),
    [(30, 0.002, 1), (30, 0.008, 2), (30, 0.028, 6), (30, 0.2, MAX_EVERY), (10, 0.07, 4), (5, 0.1, 2), (2, 0.4, 1)],
)
def test_auto_leaves_time_for_the_rest_and_finds_new_faces_soon(fps: float, cost: float, every: int) -> None:
    cadence = Cadence()
    looked = due(cadence, fps, 200, cost)
    assert cadence.every == every
    assert np.diff(looked)[-5:].tolist() == [every] * 5
    assert max(np.diff(looked)) / fps <= max(MAX_GAP, 1 / fps)


def test_with_nobody_in_view_auto_looks_more_often() -> None:
    looked = due(Cadence(), 30, 200, 0.2, followed=0)
    assert max(np.diff(looked)) / 30 <= MAX_GAP_NO_FACE + 1 / 60
    assert len(looked) < 60


def test_auto_follows_the_time_there_is() -> None:
    cadence = Cadence()
    assert due(cadence, 30, 60, 0.002) == list(range(60))
    for number in range(60, 160):  # the board got warm: detection takes ten times as long
        if cadence.due(number / 30, 1, False):
            cadence.detected(number / 30, 0.02)
    assert cadence.every == math.ceil(0.02 * 30 / 0.15)


def test_many_faces_are_found_rather_than_followed_where_that_is_cheaper() -> None:
    cadence = Cadence()
    due(cadence, 30, 60, 0.02)
    assert cadence.every > 1
    cadence.followed(2, 0.004)
    cadence.due(2.0, 8, False)
    assert cadence.every > 1
    cadence.due(2.03, 12, False)
    assert cadence.every == 1
