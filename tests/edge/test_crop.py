"""The crop that board and training share."""

import numpy as np
import pytest

from edge.faces.crop import crop_square, cut, face_crops, input_tensor
from edge.models.card import CropSpec, InputSpec
from edge.reading import Box

SPEC = InputSpec(
    name="image", height=48, width=48, channels=1, dtype="int8", scale=1 / 255, zero_point=-128, value_range=(0, 1)
)


def test_the_square_keeps_the_centre_and_scales_with_the_box() -> None:
    square = crop_square(Box(100, 50, 40, 90), CropSpec(scale=1.5, shift=(0, 0)))
    assert square.width == square.height == pytest.approx(1.5 * 60)
    assert (square.x + square.width / 2, square.y + square.height / 2) == pytest.approx((120, 95))


def test_a_crop_inside_the_frame_is_the_frames_pixels() -> None:
    image = np.random.default_rng(0).integers(0, 256, (100, 120), np.uint8)
    assert np.array_equal(cut(image, Box(30, 20, 48, 48), 48, 48, "grey")[..., 0], image[20:68, 30:78])


@pytest.mark.parametrize("place", [(-30, -30), (100, 80), (-500, -500), (5000, 10), (10, 5000)])
@pytest.mark.parametrize("colour", ["grey", "bgr"])
def test_past_the_edge_the_edge_pixels_are_repeated(place: tuple[int, int], colour: str) -> None:
    image = np.full((100, 120, 3), 77, np.uint8)
    pixels = cut(image, Box(*place, 60, 60), 48, 48, colour)
    assert pixels.shape == (48, 48, 1 if colour == "grey" else 3)
    assert np.all(pixels == 77)


def test_int8_input_is_the_pixel_with_its_top_bit_flipped() -> None:
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    table = SPEC.lookup()
    assert table.dtype == np.int8
    assert np.array_equal(table[image], (image ^ 0x80).view(np.int8))


def test_no_face_is_an_empty_batch() -> None:
    assert face_crops(np.zeros((480, 640, 3), np.uint8), [], CropSpec(), SPEC).shape == (0, 48, 48, 1)


def test_the_faces_of_a_frame_are_one_batch() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    image[:, 320:] = 255
    batch = input_tensor(face_crops(image, [Box(50, 50, 80, 80), Box(450, 50, 80, 80)], CropSpec(), SPEC), SPEC)
    assert batch.shape == (2, 48, 48, 1)
    assert batch.dtype == np.int8
    assert (batch[0] == -128).all()
    assert (batch[1] == 127).all()
