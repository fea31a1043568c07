"""Crops displaced by jitter, and image measures, on images with known results."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from training.evaluation.jitter import STILL, moved, moves
from training.evaluation.slices import effective_side, measures, sharpness, slice_of, slices


@pytest.fixture
def pictures() -> npt.NDArray[np.uint8]:
    """Make images of noise that is smooth over a few pixels, uint8 [6, 48, 48]."""
    coarse = np.random.default_rng(1).integers(0, 256, (6, 16, 16), np.uint8)
    return np.stack([cv2.resize(one, (48, 48), interpolation=cv2.INTER_CUBIC) for one in coarse])


def test_a_box_that_stays_changes_nothing(pictures: npt.NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(moved(pictures, np.tile(STILL, (6, 1))), pictures)
    colour = np.repeat(pictures[..., None], 3, axis=3)
    np.testing.assert_array_equal(moved(colour, np.tile(STILL, (6, 1))), colour)


def test_the_same_seed_moves_alike_and_another_does_not(pictures: npt.NDArray[np.uint8]) -> None:
    first, again, other = (moved(pictures, moves(6, seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first.astype(int) - other).mean() > 1
    assert np.abs(first.astype(int) - pictures).mean() > 1


def test_moves_fill_their_range() -> None:
    right, down, scale, degrees = moves(2000, 3).T
    for values, low, high in ((right, -0.1, 0.1), (down, -0.1, 0.1), (scale, 0.85, 1.15), (degrees, -10, 10)):
        assert low <= values.min() < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < values.max() <= high


def test_a_box_to_the_right_shows_what_is_there_and_repeats_the_edge() -> None:
    image = np.tile(np.arange(0, 200, 10, dtype=np.uint8), (20, 1))
    shown = moved(image[None], np.array([[0.1, 0.0, 1.0, 0.0]]))[0]
    np.testing.assert_array_equal(shown[:, :18], image[:, 2:])
    assert (shown[:, 18:] == 190).all()


def test_a_larger_box_shows_a_smaller_face() -> None:
    image = np.zeros((1, 100, 100), np.uint8)
    image[0, 30:70, 30:70] = 255
    small, large = (np.sqrt((moved(image, np.array([[0, 0, scale, 0]])) > 127).sum()) for scale in (1.15, 0.85))
    assert small == pytest.approx(40 / 1.15, abs=1)
    assert large == pytest.approx(40 / 0.85, abs=1)


def test_a_turned_box_turns_the_face_about_its_middle() -> None:
    image = np.zeros((1, 101, 101), np.uint8)
    image[0, 49:52, 50:] = 255
    shown = moved(image, np.array([[0.0, 0.0, 1.0, 10.0]]))[0]
    rows, columns = np.nonzero(shown > 127)
    angle = np.degrees(np.arctan2(-(rows - 50), columns - 50))[columns > 80]
    assert angle.mean() == pytest.approx(10, abs=0.5)


def test_a_blurred_face_is_less_sharp_whatever_its_contrast(pictures: npt.NDArray[np.uint8]) -> None:
    for picture in pictures:
        blurred = cv2.GaussianBlur(picture, (0, 0), 2)
        assert sharpness(blurred) < sharpness(picture) / 2
        assert sharpness((picture // 2).astype(np.uint8)) == pytest.approx(sharpness(picture), rel=0.1)
    assert sharpness(np.full((48, 48), 7, np.uint8)) == 0


def test_the_effective_side_is_the_one_before_enlarging() -> None:
    generator = np.random.default_rng(2)
    for side in (12, 16, 24):
        small = cv2.GaussianBlur(generator.integers(0, 256, (side, side), np.uint8), (0, 0), 0.6)
        enlarged = np.asarray(cv2.resize(small, (48, 48), interpolation=cv2.INTER_CUBIC), np.uint8)
        assert side - 4 <= effective_side(enlarged) <= side + 6
    assert effective_side(generator.integers(0, 256, (48, 48), np.uint8)) == 48


def test_slices_hold_all_faces_in_order_and_count_what_is_right() -> None:
    values = np.arange(100.0)
    found = slices(values, slice_of(values), values >= 60)
    assert [one.rows for one in found] == [20] * 5
    assert [one.accuracy for one in found] == [0, 0, 0, 1, 1]
    assert found[0].high < found[1].low
    assert all(one.interval[0] <= one.accuracy <= one.interval[1] for one in found)
    alike = np.repeat([1.0, 2.0], (90, 10))
    assert [one.rows for one in slices(alike, slice_of(alike), alike > 1)] == [90, 10]


def test_the_size_is_the_file_s_where_it_is_known(pictures: npt.NDArray[np.uint8]) -> None:
    sides = np.array([40, 50, 60, 70, 80, 90])
    size = measures(pictures, sides)[1]
    assert size.values.tolist() == sides.tolist()
    assert "file" in size.how
    assert "effective" in measures(pictures, None)[1].how
    assert measures(pictures, None)[2].values == pytest.approx(pictures.mean(axis=(1, 2)))
