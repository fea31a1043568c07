"""The whole pipeline on composed clips of a room: a head that rolls, a lamp that goes out, distant people."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from edge.config import Settings
from edge.models.runtime import choose
from edge.pipeline import open_pipeline
from edge.reading import Box, Face, Frame, Image
from tests.support.moving import At, Head, backdrop, compose, heads

FPS = 10
WIDTH_AT_1_M = 160.0
"""Width in pixels of a face at 1 m in 1280x720: 15 cm wide, 62 degrees of view (docs/detectors.md)."""
SMALL, LARGE = (640, 480), (1280, 720)


@pytest.fixture(scope="module")
def head() -> Head:
    return heads()[0]


def seen(
    head: Head,
    seconds: float,
    face: Callable[[float], tuple[float, float]],
    size: tuple[int, int],
    light: Callable[[float], float] = lambda _: 1.0,
) -> Iterator[tuple[float, Box, tuple[Face, ...]]]:
    """Yield time, true face box and faces of the Reading. face: width and roll at a time. light: at a time, 0 to 1."""
    pipeline = open_pipeline(Settings(), choose())
    background = backdrop(*size)
    random = np.random.default_rng(5)
    for number in range(round(seconds * FPS)):
        now = number / FPS
        at = At(head, size[0] / 2, size[1] / 2, *face(now))
        image: Image = compose(background, [at])
        if (level := light(now)) < 1:
            image = np.clip(image * level + random.normal(0, 2, image.shape), 0, 255).astype(np.uint8)
        yield now, at.box, pipeline.analyse(Frame(image, now, now, number)).faces


def test_a_head_that_rolls_keeps_its_id_and_its_label(head: Head) -> None:
    """The head rolls by 60 degrees to one side and back within three seconds."""
    for now, _, faces in seen(head, 3, lambda now: (90.0, 60 * math.sin(math.pi * now / 3)), SMALL):
        if now >= 0.2:
            assert [(face.track, face.emotion) for face in faces] == [(1, "happy")], now


def test_a_lamp_that_goes_out_and_on_changes_neither_id_nor_label(head: Head) -> None:
    """The light drops to a tenth for a second, with noise."""
    for now, _, faces in seen(head, 2.5, lambda _: (90.0, 0.0), SMALL, lambda now: 0.1 if 1 <= now < 2 else 1.0):
        if now >= 0.2:
            assert [(face.track, face.emotion) for face in faces] == [(1, "happy")], now


def test_somebody_who_walks_from_one_to_six_metres_keeps_the_id(head: Head) -> None:
    """Up to 3.5 metres the face must be found in every frame, farther away only sometimes."""
    found = {}
    for now, box, faces in seen(head, 4, lambda now: (WIDTH_AT_1_M / (1 + 5 * now / 4), 0.0), LARGE):
        assert {face.track for face in faces} <= {1}
        assert all(face.detection.box.iou(box) > 0.3 for face in faces)
        found[now] = [face.emotion for face in faces]
    near = [emotions for now, emotions in found.items() if 0.2 <= now <= 2]
    assert near == [["happy"]] * len(near)
    assert sum(map(len, found.values())) > 0.6 * len(found)


@pytest.mark.parametrize("metres", [2, 3, 4])
def test_somebody_at_a_distance_is_seen_within_a_second(head: Head, metres: float) -> None:
    frames = seen(head, 1, lambda _: (WIDTH_AT_1_M / metres, 0.0), LARGE)
    assert any(faces for _, _, faces in frames)
