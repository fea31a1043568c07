"""Images that do not fit into memory are kept on the disk, with bit-identical results."""

import csv
from pathlib import Path

import numpy as np
import pytest

from edge.errors import EmotionEdgeError
from tests.support.fer2013_files import TINY, write_files
from training.datasets import disk_images, pixels, read_dataset
from training.datasets.dataset import clean_training
from training.datasets.disk_images import DiskImages, disk_array

pytest.importorskip("keras", reason="the training extra is not installed")

import keras

import training.fit as fitting
from quantize.calibration import calibration_set, pinned_calibration_set
from training.config import TrainingConfig
from training.distill import distill


def state_and_history(run: Path) -> tuple[dict[str, bytes], list[dict[str, str]]]:
    with np.load(run / "state.npz") as arrays:
        state = {name: arrays[name].tobytes() for name in arrays.files}
    with (run / "history.csv").open(newline="") as file:
        rows = [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]
    return state, rows


def test_a_run_from_the_disk_that_was_stopped_ends_as_one_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    data = read_dataset(write_files(tmp_path / "data"))
    config = TrainingConfig.model_validate({**TINY, "heads": {"fer7": 1.0}, "epochs": 2, "mixup": 0.2})
    fitting.fit(config, data, tmp_path / "memory")

    monkeypatch.setattr(pixels, "memory_limit", lambda: 0)

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as at_the_first_epoch, caplog.at_level("INFO"):
        at_the_first_epoch.setattr(fitting, "say_epoch", stopped)
        with pytest.raises(KeyboardInterrupt):
            fitting.fit(config, data, tmp_path / "disk")
    assert "kept on the disk, and read batch by batch" in caplog.text
    fitting.fit(config, data, tmp_path / "disk")
    assert state_and_history(tmp_path / "disk") == state_and_history(tmp_path / "memory")
    files = {path.name for path in (tmp_path / "disk").iterdir()}
    assert files == {path.name for path in (tmp_path / "memory").iterdir()}


def test_soft_labels_and_calibration_are_the_same_from_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = read_dataset(write_files(tmp_path / "data"))
    image = keras.Input((24, 24, 3), name="image")
    head = keras.layers.Dense(7, name="fer7")(keras.layers.Flatten()(image))
    (tmp_path / "run").mkdir()
    keras.Model(image, {"fer7": head}).save(tmp_path / "run/network.keras")
    found = []
    for name, limit in (("memory", 2**30), ("disk", 0)):
        monkeypatch.setattr(pixels, "memory_limit", lambda limit=limit: limit)
        right = distill([tmp_path / "run"], data, tmp_path / f"{name}.npz")
        sized = pixels.in_memory_or_on_disk(data, 24, 24, 3, tmp_path)
        assert isinstance(sized.images, DiskImages) == (limit == 0)
        drawn = calibration_set(sized, 8)
        pinned = pinned_calibration_set(sized, drawn.rows)
        with np.load(tmp_path / f"{name}.npz") as arrays:
            found.append((right, arrays["fer7"].tobytes(), drawn.images.tobytes(), pinned.images.tobytes()))
    assert found[0] == found[1]


def test_images_on_the_disk_are_those_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = read_dataset(write_files(tmp_path / "data"))
    memory = clean_training(pixels.in_memory(data, 40, 40, 3))
    monkeypatch.setattr(pixels, "memory_limit", lambda: 0)
    disk = clean_training(pixels.in_memory_or_on_disk(data, 40, 40, 3, tmp_path / "run"))
    assert isinstance(disk.images, DiskImages)
    assert disk.images.shape == memory.pixels.shape
    some = np.array([5, 3, 3])
    for index in (0, slice(2, 7), some, np.arange(len(disk)) % 2 == 0):
        assert np.array_equal(disk.images[index], memory.pixels[index])
    public = disk.part("PublicTest").take(some).images
    assert isinstance(public, DiskImages)
    assert np.array_equal(public[:], memory.part("PublicTest").take(some).pixels)


def test_a_disk_that_is_too_small_is_said_before(tmp_path: Path) -> None:
    with pytest.raises(EmotionEdgeError, match=r"of images at the network's size do not fit into memory, and the disk"):
        disk_array((10**12, 224, 224, 3), tmp_path)
    assert disk_images.memory_limit() > 2**20
