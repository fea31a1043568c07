"""A network trained on more than the face gets a card with which the board crops in the same way."""

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("tensorflow_model_optimization", reason="the training extra is not installed")

from edge.api.analyser import Analyser
from edge.faces.crop import face_crops
from edge.models.card import CropSpec, EmotionCard, InputSpec, read_card
from edge.reading import Image
from quantize.cli import main
from tests.support.fer2013_files import TINY
from training.cleaning.face_crops import open_cutter
from training.cleaning.framing import crop_of
from training.config import TrainingConfig
from training.datasets import read_dataset
from training.datasets.dataset import Dataset
from training.datasets.pixels import in_memory
from training.fit import fit


def scene(face: Image, place: tuple[int, int], size: int, emotion: str) -> Image:
    """Draw a picture [240, 320, 3] of stripes, horizontal for happy and vertical for sad, with a face pasted in."""
    rows, columns = np.mgrid[:240, :320]
    stripes = (rows if emotion == "happy" else columns) // 20 % 2
    image = np.repeat(np.asarray(60 + 130 * stripes, np.uint8)[:, :, None], 3, axis=2)
    x, y = place
    image[y : y + size + 40, x : x + size + 40] = 140
    image[y + 20 : y + size + 20, x + 20 : x + size + 20] = cv2.resize(face, (size, size), interpolation=cv2.INTER_AREA)
    return image


def dataset(images: list[Image]) -> Dataset:
    rows = np.arange(len(images))
    return Dataset("pictures", np.stack(images), {}, None, False, rows * 0, rows)


def test_a_network_of_whole_pictures_sees_whole_pictures_on_the_board(
    tmp_path: Path, astronaut: Image, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The label depends only on the background, which a face crop does not show."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(2)
    face = astronaut[20:250, 110:340]
    for number in range(50):
        size = int(generator.integers(60, 100))
        place = int(generator.integers(0, 280 - size)), int(generator.integers(0, 200 - size))
        emotion = ("happy", "sad")[number % 2]
        path = tmp_path / "data" / emotion / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), scene(face, place, size, emotion))
    settings = {**TINY, "heads": {"happy-sad": 1.0}, "epochs": 8, "augment": {}, "batch_size": 12}
    fit(TrainingConfig.model_validate(settings), read_dataset(Path("data")), Path("runs/tiny"))
    assert main(["ptq", "runs/tiny", "--out", "models/tiny"]) == 0
    assert "the network sees whole pictures, on the board too" in caplog.text
    assert read_card(EmotionCard, Path("models/tiny")).crop.area == "image"
    assert "one whole grey picture, 48x48" in " ".join(Path("models/tiny/CARD.md").read_text().split())
    with Analyser("models/tiny") as analyser:
        for emotion in ("happy", "sad"):
            (seen,) = analyser.read(scene(face, (60, 50), 80, emotion)).faces
            assert seen.scores[emotion] > 0.6


def test_portraits_are_cropped_as_wide_as_they_were_taken(astronaut: Image) -> None:
    """The board's crop of a portrait must be the whole portrait."""
    images = [np.asarray(cv2.resize(astronaut[:300, 80:380], (side, side)), np.uint8) for side in (240,) * 4]
    data = dataset(images)
    cutter = open_cutter()
    crop = crop_of(data, 1, cutter)
    assert crop.area == "face"
    assert 2 < crop.scale < 4
    spec = InputSpec(name="i", height=48, width=48, channels=1, dtype="int8", scale=1 / 255, zero_point=-128,
                     value_range=(0, 1))  # fmt: skip
    wanted = in_memory(data, 48, 48, 1).pixels[0].astype(float)
    found = face_crops(images[0], cutter.detector.detect(images[0])[:1], crop, spec)[0, :, :, 0].astype(float)
    assert np.corrcoef(wanted.ravel(), found.ravel())[0, 1] > 0.98
    usual = face_crops(images[0], cutter.detector.detect(images[0])[:1], CropSpec(), spec)[0, :, :, 0].astype(float)
    assert np.corrcoef(wanted.ravel(), usual.ravel())[0, 1] < 0.7


def test_face_crops_and_pictures_without_a_face_have_the_standard_crop(astronaut: Image) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    close = np.asarray(cv2.resize(astronaut[60:200, 165:305], (96, 96)), np.uint8)
    for image in (noise, close):
        assert crop_of(dataset([image] * 4), 3) == CropSpec(colour="bgr")
