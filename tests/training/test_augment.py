"""Augmentation steps that imitate a room: the effect of each, and that a disabled one changes nothing."""

import numpy as np
import numpy.typing as npt
import pytest

from tests.support.fer2013_files import pattern

pytest.importorskip("keras", reason="the training extra is not installed")

from training.augment import DARKEST, Augment, resampling

OFF = dict.fromkeys(
    ("shift", "scale", "rotate", "contrast", "brightness", "gamma", "side_light", "blur", "noise", "erase"), 0.0
)
Floats = npt.NDArray[np.float32]


def faces(count: int = 40) -> npt.NDArray[np.uint8]:
    generator = np.random.default_rng(2)
    return np.stack([pattern(row % 7, generator) for row in range(count)])[..., None]


def varied(images: npt.NDArray[np.uint8], **settings: float) -> Floats:
    """Augment images by these settings, and undo the mirroring, which is always on."""
    seen = np.asarray(Augment(seed=1, **OFF | settings)(images, training=True))
    both = np.stack([seen, seen[:, :, ::-1]])
    distance = np.abs(both - images / 255).mean(axis=(2, 3, 4))
    return np.asarray(both[distance.argmin(axis=0), np.arange(len(images))], np.float32)


def test_steps_for_a_room_are_off_by_default_and_draw_no_random_numbers() -> None:
    images = faces(4)
    plain = np.asarray(Augment(seed=5)(images, training=True))
    off = Augment(seed=5, roll=0.0, cover=0.0, motion=0.0, distance=0.0, dim=0.0, jpeg=0.0)
    np.testing.assert_array_equal(np.asarray(off(images, training=True)), plain)


@pytest.mark.parametrize("step", ["cover", "motion", "distance", "dim", "jpeg"])
def test_a_step_changes_the_part_of_a_batch_that_its_setting_says(step: str) -> None:
    images = faces()
    changed = np.abs(varied(images, **{step: 0.25}) - images / 255).max(axis=(1, 2, 3)) > 0.01
    assert 5 <= np.count_nonzero(changed) <= 10


def test_a_dim_face_has_down_to_a_tenth_of_the_light_and_half_of_them_are_brightened_again() -> None:
    images = np.full((400, 48, 48, 1), 120, np.uint8)
    seen = varied(images, dim=1.0)
    light = seen.mean(axis=(1, 2, 3)) / (120 / 255)
    assert 0.9 * DARKEST < light.min() < 1.3 * DARKEST
    assert 0.4 < np.mean(np.abs(light - 1) < 0.1) < 0.75
    # Brightened images have the same noise in relation to their light as others.
    assert seen.std(axis=(1, 2, 3))[np.abs(light - 1) < 0.05].max() > 0.1


def test_motion_blurs_along_one_line() -> None:
    images = np.zeros((200, 48, 48, 1), np.uint8)
    images[:, 24, 24] = 255
    seen = varied(images, motion=1.0)[..., 0] - 0.001  # the least that gamma leaves
    assert np.all(np.abs(seen.sum(axis=(1, 2)) - 1) < 0.02)
    rows, columns = np.mgrid[:48, :48] - 24.0
    spread = np.stack([(seen * each).sum(axis=(1, 2)) for each in (rows**2, columns**2, rows * columns)])
    assert spread[0].max() > 2
    assert spread[1].max() > 2
    longest = np.argmax(spread[0] + spread[1])
    assert spread[2, longest] ** 2 > 0.7 * (spread[0, longest] - 0.2) * (spread[1, longest] - 0.2)


@pytest.mark.parametrize("small", [16, 24, 37, 48])
def test_few_pixels_are_what_opencv_makes_of_them(small: int) -> None:
    cv2 = pytest.importorskip("cv2")
    image = cv2.GaussianBlur(faces(1)[0, :, :, 0], (0, 0), 1.0).astype(np.float32)
    matrix = np.asarray(resampling(np.array([small], np.float32), 48))[0]
    few = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
    expected = cv2.resize(few, (48, 48), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(matrix @ image @ matrix.T, expected, atol=0.5)


def test_jpeg_loses_about_what_a_jpeg_file_loses() -> None:
    cv2 = pytest.importorskip("cv2")
    images = faces(60)
    lost = np.abs(varied(images, jpeg=1.0) - images / 255).mean(axis=(1, 2, 3))
    said = []
    for quality in (20, 80):
        coded = [cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality))[1] for image in images]
        decoded = np.stack([cv2.imdecode(each, cv2.IMREAD_GRAYSCALE) for each in coded])[..., None]
        said.append(np.abs(decoded / 255 - images / 255).mean())
    assert said[1] < lost.mean() < said[0]


def test_a_face_is_rolled_by_up_to_thirty_degrees() -> None:
    images = np.zeros((200, 48, 48, 1), np.uint8)
    images[:, 10:38, 23:25] = 255
    seen = np.asarray(Augment(seed=1, **OFF | {"roll": 1.0})(images, training=True))[..., 0]
    rows, columns = np.mgrid[:48, :48] - 23.5
    cross = (seen * rows * columns).sum(axis=(1, 2))
    along = (seen * (rows**2 - columns**2)).sum(axis=(1, 2))
    degrees = np.degrees(0.5 * np.arctan2(2 * cross, along))
    assert 25 < np.abs(degrees).max() < 31
    assert abs(degrees.mean()) < 4
