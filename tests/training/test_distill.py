"""Soft labels are only used for the faces from which they were computed."""

import logging
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import EmotionEdgeError
from tests.conftest import ROOT
from tests.support.fer2013_files import write_files
from training.datasets.dataset import Dataset
from training.datasets.fer2013 import read_fer2013
from training.datasets.pixels import fingerprints, in_memory

keras = pytest.importorskip("keras", reason="the training extra is not installed")

from training.distill import SoftLabels, distill, read_soft_labels  # noqa: E402


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return read_fer2013(write_files(tmp_path / "data", training=14, test=7))


def write(path: Path, training: Dataset, **more: object) -> Path:
    """Write a file of soft labels like `distill`; without `more` in the older format."""
    said = np.eye(7, dtype=np.uint8)[np.arange(len(training)) % 7] * 255
    np.savez_compressed(path, rows=training.rows.astype(np.int32), fer7=said, **more)  # type: ignore[arg-type]
    return path


def soft_labels(path: Path, data: Dataset) -> SoftLabels:
    training = data.part("Training")
    facts = {"data_set": np.array(data.name), "prints": fingerprints(training)}
    return read_soft_labels(write(path, training, **facts))


def test_faces_are_known_again_by_their_pixels(tmp_path: Path, data: Dataset) -> None:
    soft = soft_labels(tmp_path / "soft.npz", data)
    assert soft.data_set == "FER-2013"
    # Faces resized to a network's input, and one face fewer.
    training = in_memory(data, 24, 24, 3).part("Training").take(np.arange(1, 14))
    assert soft.of(training, data)["fer7"].argmax(axis=1).tolist() == [i % 7 for i in range(1, 14)]
    others = data.pixels.copy()
    others[[3, 4]] = others[[4, 3]]
    strangers = replace(data, name="photographs", images=others)
    with pytest.raises(EmotionEdgeError, match=r"2 of 14 training faces are others \(row 3, ...\): made of FER-2013"):
        soft.of(strangers.part("Training"), strangers)


def test_the_same_faces_as_image_files_are_the_same_faces(tmp_path: Path, data: Dataset) -> None:
    soft = soft_labels(tmp_path / "soft.npz", data)
    files = tuple(tmp_path / f"{row}.png" for row in range(len(data)))
    for file, image in zip(files, data.pixels, strict=True):
        assert cv2.imwrite(str(file), image)
    kept = replace(data, images=files)
    assert len(soft.of(kept.part("Training"), kept)["fer7"]) == 14


def test_what_a_run_says_is_kept_with_the_faces_it_said_it_of(tmp_path: Path, data: Dataset) -> None:
    image = keras.Input((24, 24, 1), name="image")
    said = keras.layers.Dense(7, name="fer7")(keras.layers.Flatten()(image))
    (tmp_path / "run").mkdir()
    keras.Model(image, {"fer7": said}).save(tmp_path / "run/network.keras")
    right = distill([tmp_path / "run"], data, tmp_path / "soft.npz")
    soft = read_soft_labels(tmp_path / "soft.npz")
    assert soft.prints is not None
    assert (soft.data_set, len(soft.prints), list(soft.heads)) == ("FER-2013", 14, ["fer7"])
    np.testing.assert_allclose(soft.of(data.part("Training"), data)["fer7"].sum(axis=1), 1, atol=1e-5)
    # A teacher's accuracy is that of the mean of both views, on PublicTest.
    network = keras.models.load_model(tmp_path / "run/network.keras")
    public = data.part("PublicTest")
    faces = in_memory(public, 24, 24, 1).pixels[..., None] / np.float32(255)
    views = [keras.ops.softmax(network.predict(view, verbose=0)["fer7"]) for view in (faces, faces[:, :, ::-1])]
    said = np.mean(views, axis=0).argmax(axis=1)
    assert right == {"fer7": pytest.approx(np.mean(said == public.labels["fer7"].judged))}
    unjudged = replace(data, labels={})
    assert distill([tmp_path / "run"], unjudged, tmp_path / "soft.npz") == {}
    assert distill([tmp_path / "run"], data.part("Training"), tmp_path / "soft.npz") == {}


def test_a_file_of_old_is_read_with_a_warning(tmp_path: Path, data: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    soft = read_soft_labels(write(tmp_path / "soft.npz", data.part("Training")))
    assert set(soft.heads) == {"fer7"}
    with caplog.at_level(logging.WARNING):
        assert len(soft.of(data.part("Training"), data)["fer7"]) == 14
    assert "matched by row number alone" in caplog.text


def test_a_teacher_without_the_heads_is_said(tmp_path: Path, data: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    soft = soft_labels(tmp_path / "soft.npz", data)
    with caplog.at_level(logging.WARNING):
        soft.check_heads(("fer7", "affect"))
        assert not caplog.text
        soft.check_heads(("ferplus8", "fer7"))
    assert "has no output for ferplus8: learned from labels alone" in caplog.text
    with pytest.raises(EmotionEdgeError, match="the teacher has no output for compact4"):
        soft.check_heads(("compact4", "affect"))


def test_what_is_no_file_of_soft_labels_is_said(tmp_path: Path, data: Dataset) -> None:
    whole = write(tmp_path / "soft.npz", data.part("Training")).read_bytes()
    cut = tmp_path / "cut.npz"
    cut.write_bytes(whole[: len(whole) // 2])
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "empty.npz").touch()
    for name in ("cut.npz", "one.npy", "empty.npz"):
        with pytest.raises(EmotionEdgeError, match=f"{name}: no file of soft labels"):
            read_soft_labels(tmp_path / name)


def test_the_released_soft_labels_are_of_fer2013(fer2013: Dataset) -> None:
    data = fer2013
    for name in ("fer2013", "fer2013-two", "fer2013-third"):
        soft = read_soft_labels(ROOT / f"training/soft_labels/{name}.npz")
        assert soft.prints is not None
        assert len(soft.of(data.part("Training"), data)["fer7"]) == 28709
