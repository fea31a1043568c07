"""Rolled heads are found, keep their track and are cropped upright."""

import cv2
import numpy as np
import pytest

from edge.config import Settings
from edge.faces.crop import face_crops
from edge.faces.detector import open_detector
from edge.faces.roll import TurnedImage, roll_of
from edge.models.card import CropSpec, InputSpec
from edge.models.runtime import choose
from edge.pipeline import open_pipeline, read_once
from edge.reading import Box, Detection, Frame, Image
from tests.support.moving import At, Head, backdrop, compose, heads

SPEC = InputSpec(
    name="image", height=48, width=48, channels=1, dtype="int8", scale=1 / 255, zero_point=-128, value_range=(0, 1)
)


@pytest.fixture(scope="module")
def cast() -> list[Head]:
    return heads()


def rolled(image: Image, degrees: float, x: float = 320, y: float = 240) -> Image:
    """The picture turned clockwise about a point."""
    turn = cv2.getRotationMatrix2D((x, y), -degrees, 1.0)
    size = (image.shape[1], image.shape[0])
    return np.asarray(cv2.warpAffine(image, turn, size, borderMode=cv2.BORDER_REFLECT), np.uint8)


def test_roll_is_clockwise_and_0_without_landmarks(cast: list[Head]) -> None:
    marks = np.array([(10, 10), (30, 30), (0, 0), (0, 0), (0, 0)], np.float32)
    assert roll_of(Detection(Box(0, 0, 50, 50), 0.9, marks)) == pytest.approx(45)
    assert roll_of(Detection(Box(0, 0, 50, 50), 0.9)) == 0
    image = rolled(compose(backdrop(), [At(cast[0], 320, 240, 130)]), 20)
    (face,) = open_detector(Settings().detector, choose(), 1).detect(image)
    assert roll_of(face) == pytest.approx(20, abs=6)


@pytest.mark.parametrize("size", [(640, 480), (1280, 720), (200, 150)])
@pytest.mark.parametrize("roll", [45.0, -45.0, 30.0])
def test_places_in_a_turned_picture_come_back(size: tuple[int, int], roll: float) -> None:
    image = np.zeros((size[1], size[0], 3), np.uint8)
    x, y = round(0.6 * size[0]), round(0.45 * size[1])
    cv2.circle(image, (x, y), max(3, size[0] // 40), (255, 255, 255), -1)
    turned = TurnedImage(image, roll, (320, 256))
    assert turned.image.shape[1] <= 320
    at_y, at_x = (float(axis.mean()) for axis in np.nonzero(turned.image[..., 0] > 128))
    back = turned.back(Detection(Box(at_x - 5, at_y - 5, 10, 10), 0.5))
    assert back.box.x + back.box.width / 2 == pytest.approx(x, abs=0.01 * size[0])
    assert back.box.y + back.box.height / 2 == pytest.approx(y, abs=0.01 * size[0])


@pytest.mark.parametrize("roll", [-50, -40, 40, 50])
def test_a_rolled_face_in_a_single_picture_is_found(cast: list[Head], roll: float) -> None:
    image = rolled(compose(backdrop(), [At(cast[0], 320, 240, 110)]), roll)
    face = read_once(Settings(), choose(), Frame(image, 0.0, 0.0, 0)).faces[0]
    assert face.detection.box.iou(At(cast[0], 320, 240, 110).box) > 0.5
    assert roll_of(face.detection) == pytest.approx(roll, abs=15)


@pytest.mark.parametrize("side", [-1, 1])
def test_a_head_that_rolls_by_60_degrees_and_back_keeps_its_track_and_label(cast: list[Head], side: int) -> None:
    pipeline = open_pipeline(Settings(), choose())
    upright = compose(backdrop(), [At(cast[0], 320, 240, 120)])
    seen = []
    for number in range(80):
        roll = side * 60 * np.sin(np.pi * number / 80) if number > 5 else 0.0
        reading = pipeline.analyse(Frame(rolled(upright, float(roll)), number / 20, 0.0, number))
        seen.append([face.track for face in reading.faces])
    assert seen[0] == []
    assert all(tracks == [1] for tracks in seen[1:])


def test_a_rolled_face_that_comes_into_view_is_found_within_two_seconds(cast: list[Head]) -> None:
    pipeline = open_pipeline(Settings(), choose())
    image = rolled(compose(backdrop(), [At(cast[0], 320, 240, 120)]), 55)
    counts = [len(pipeline.analyse(Frame(image, n / 20, 0.0, n)).faces) for n in range(40)]
    assert counts[-1] == 1


@pytest.mark.parametrize("roll", [-45, 25, 45])
def test_the_crop_of_a_rolled_face_is_upright(cast: list[Head], roll: float) -> None:
    upright = compose(backdrop(), [At(cast[0], 320, 240, 120)])
    box = At(cast[0], 320, 240, 120).box
    turn = np.exp(1j * np.radians(roll)) * np.array([-25 - 15j, 25 - 15j, 0j, -20 + 30j, 20 + 30j])
    marks = np.stack([turn.real + 320, turn.imag + 240], 1).astype(np.float32)
    (crop,) = face_crops(rolled(upright, roll), [Detection(box, 0.9, marks)], CropSpec(), SPEC)
    (wanted,) = face_crops(upright, [box], CropSpec(), SPEC)
    (askew,) = face_crops(rolled(upright, roll), [box], CropSpec(), SPEC)
    like = np.corrcoef(crop.ravel(), wanted.ravel())[0, 1]
    assert like > 0.94
    assert like > np.corrcoef(askew.ravel(), wanted.ravel())[0, 1] + 0.05
