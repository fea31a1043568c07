"""Dark frames and crops are brightened for the networks, without flicker; bright ones are unchanged."""

import numpy as np
import pytest

from edge.config import DetectorSettings, Settings
from edge.faces.crop import face_crops
from edge.faces.detector import open_detector
from edge.faces.exposure import Exposure, brighten_crop
from edge.faces.search import FaceSearch
from edge.models.card import CropSpec, InputSpec
from edge.models.runtime import choose
from edge.pipeline import open_pipeline
from edge.reading import Frame, Image
from tests.support.moving import At, Head, backdrop, compose, heads

SIZE = (320, 256)


@pytest.fixture(scope="module")
def cast() -> list[Head]:
    return heads()


def dim(image: Image, factor: float, noise: float, seed: int = 0) -> Image:
    """Darken a picture like a sensor that gets less light, with read noise."""
    drawn = np.random.default_rng(seed).normal(0, noise, image.shape)
    return np.asarray(np.clip(np.rint(image * factor + drawn), 0, 255), np.uint8)


def test_a_bright_frame_is_left_as_it_is(cast: list[Head]) -> None:
    for image in (compose(backdrop(), [At(cast[0], 320, 240)]), np.full((1, 1, 3), 200, np.uint8)):
        seen, ratio = Exposure()(image, 0.0, SIZE)
        assert seen is image
        assert ratio == 1


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("shape", [(480, 640), (9, 12), (9, 640)])
def test_frames_of_any_shape_are_brightened(shape: tuple[int, int], grey: bool) -> None:
    image = np.full(shape if grey else (*shape, 3), 20, np.uint8)
    bright, ratio = Exposure()(image, 0.0, SIZE)
    assert bright.ndim == image.ndim
    assert int(bright.mean()) == 120
    assert image.shape[1] == round(bright.shape[1] * ratio)


def test_the_gain_does_not_flicker_and_follows_a_lamp_at_once(cast: list[Head]) -> None:
    image = compose(backdrop(), [At(cast[0], 320, 240)])
    exposure = Exposure()

    def gain(seen: Image, now: float) -> float:
        exposure(seen, now, SIZE)
        return exposure.gain

    noisy = [gain(dim(image, 0.3, 4, seed=n), n / 20) for n in range(20)]
    assert noisy[0] > 1.3
    assert np.ptp(noisy) < 0.05 * noisy[0]
    assert gain(dim(image, 0.1, 2), 1.05) > 2 * noisy[-1]
    assert gain(image, 1.1) == 1
    assert exposure(image, 1.2, SIZE)[0] is image


@pytest.mark.parametrize(("factor", "noise"), [(0.25, 6), (0.1, 6), (0.1, 2)])
@pytest.mark.parametrize("region", [None, (0.25, 0.1, 0.75, 0.9)])
def test_faces_in_the_dark_are_found_where_they_are(
    cast: list[Head], factor: float, noise: float, region: tuple[float, float, float, float] | None
) -> None:
    placed = [At(cast[0], 250, 240, 100), At(cast[1], 470, 240, 110)]
    frame = Frame(dim(compose(backdrop(), placed), factor, noise), 0.0, 0.0, 0)
    settings = DetectorSettings(region=region)
    found = FaceSearch(open_detector(settings, choose(), 1), settings)(frame, ())
    assert len(found) == 2
    for at in placed:
        assert max(face.box.iou(at.box) for face in found) > 0.6


def test_the_label_in_the_dark_is_that_in_the_light(astronaut: Image) -> None:
    dark = dim(astronaut, 0.1, 3)
    before = dark.copy()
    (face,) = open_pipeline(Settings(), choose(), 1).analyse(Frame(dark, 0.0, 0.0, 0)).faces
    assert face.emotion == "happy"
    assert np.array_equal(dark, before), "what is shown stays as the camera gave it"


def test_a_face_against_the_light_gets_an_exposure_of_its_own(cast: list[Head]) -> None:
    lit = compose(backdrop(), [At(cast[0], 320, 240)])
    spec = InputSpec(
        name="image", height=48, width=48, channels=1, dtype="int8", scale=1 / 255, zero_point=-128, value_range=(0, 1)
    )
    box = At(cast[0], 320, 240).box
    dark = np.asarray(lit // 5, np.uint8)
    dark[:, :100] = 250
    assert Exposure()(dark, 0.0, SIZE)[0] is dark
    (crop,) = face_crops(dark, [box], CropSpec(), spec)
    (as_lit,) = face_crops(lit, [box], CropSpec(), spec)
    assert np.percentile(crop, 99) > 4 * np.percentile(lit // 5, 50)
    assert np.corrcoef(crop.ravel(), as_lit.ravel())[0, 1] > 0.98


def test_a_bright_crop_keeps_its_pixels_and_a_black_one_does_no_harm() -> None:
    bright = np.random.default_rng(0).integers(0, 256, (48, 48, 1)).astype(np.uint8)
    assert brighten_crop(bright) is bright
    assert brighten_crop(np.zeros((48, 48, 1), np.uint8)).max() == 0
