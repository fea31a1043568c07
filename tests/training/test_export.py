"""`emotion-train export`: each format in its own runtime gives the network's outputs; the data as NumPy files."""

import json
import re
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

from edge.labels import labels_of
from tests.support.fer2013_files import TINY, write_files
from training.cli import main
from training.config import NETWORK_FILE, TrainingConfig, write_config
from training.datasets import read_dataset
from training.networks import build_network

ROOT = Path(__file__).resolve().parents[2]
HEADS = {"fer7": 7, "ferplus8": 8, "affect": 2}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with random weights, and FER-2013's files that it learned from."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    write_files(folder / "data", 28, 7)
    settings = {**TINY, "epochs": 1, "heads": dict.fromkeys(HEADS, 1.0), "data": {"path": str(folder / "data")}}
    config = TrainingConfig.model_validate(settings)
    keras.utils.set_random_seed(3)
    build_network(config.network, keras, (48, 48, 1), HEADS, config.options).save(folder / NETWORK_FILE)
    write_config(config, folder / "config.yaml")
    return folder


def in_keras(file: Path, images: Any) -> dict[str, Any]:
    return dict(keras.models.load_model(file, compile=False).predict(images, verbose=0))


def in_tensorflow(folder: Path, images: Any) -> dict[str, Any]:
    return {
        name: one.numpy()
        for name, one in tf.saved_model.load(str(folder)).signatures["serving_default"](image=images).items()
    }


def in_onnx_runtime(file: Path, images: Any) -> dict[str, Any]:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    session = runtime.InferenceSession(str(file))
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"image": images}), strict=True))


def in_opencv(file: Path, images: Any) -> dict[str, Any]:
    network = cv2.dnn.readNetFromONNX(str(file))
    found: dict[str, list[Any]] = {name: [] for name in network.getUnconnectedOutLayersNames()}
    for image in images:
        network.setInput(image[None])
        for name in found:
            found[name].append(network.forward(name)[0])
    return {name: np.array(rows) for name, rows in found.items()}


@pytest.mark.parametrize(
    ("kind", "name", "runtimes"),
    [
        ("keras", "mine.keras", [in_keras]),
        ("h5", "mine.h5", [in_keras]),
        ("savedmodel", "mine", [in_tensorflow]),
        ("onnx", "mine.onnx", [in_onnx_runtime, in_opencv]),
    ],
)
def test_each_format_gives_the_network_s_outputs_in_its_own_runtime(
    run: Path, tmp_path: Path, kind: str, name: str, runtimes: list[Any]
) -> None:
    if kind == "onnx":
        pytest.importorskip("tf2onnx", reason="tf2onnx is not installed")
    out = tmp_path / name
    assert main(["export", str(run), "--to", kind, "--out", str(out)]) == 0
    images = np.random.default_rng(1).random((5, 48, 48, 1), np.float32)
    wanted = in_keras(run / NETWORK_FILE, images)
    for runtime in runtimes:
        found = runtime(out, images)
        assert set(found) == set(HEADS)
        for head, values in wanted.items():
            np.testing.assert_allclose(found[head], values, atol=1e-5)
    about = json.loads((tmp_path / "mine.json").read_text())
    assert about["outputs"]["fer7"]["labels"] == list(labels_of("fer7"))
    assert about["input"]["shape"] == ["n", 48, 48, 1]
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([name, "mine.json"])


def test_the_data_as_numpy_files_are_read_as_the_same_data_set(run: Path, tmp_path: Path) -> None:
    assert main(["export", str(run), "--to", "npy-data", "--out", str(tmp_path / "npy")]) == 0
    there, here = read_dataset(run / "data"), read_dataset(tmp_path / "npy", label_set="fer7")
    np.testing.assert_array_equal(here.pixels, there.pixels)
    np.testing.assert_array_equal(here.split, there.split)
    np.testing.assert_array_equal(here.labels["fer7"].judged, there.labels["fer7"].judged)
    assert (tmp_path / "npy" / "classes.txt").read_text().split() == list(labels_of("fer7"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "h5", "--out", "mine.keras"], "a file of the format h5 ends in .h5"),
        (["--to", "keras", "--out", "folder.keras"], "is a folder; give another name"),
    ],
)
def test_refusals(
    run: Path, tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("folder.keras").mkdir()
    assert main(["export", str(run), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_the_python_examples_of_the_page_run(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/export.md: Keras, TensorFlow Lite and ONNX Runtime name the same emotion for a face."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("tf2onnx", reason="tf2onnx is not installed")
    monkeypatch.chdir(tmp_path)
    small = ROOT / "models" / "emotion-small"
    for kind, name in (("keras", "mine.keras"), ("onnx", "mine.onnx")):
        assert main(["export", str(small), "--to", kind, "--out", name]) == 0
    Path("models").symlink_to(ROOT / "models")
    face = cv2.imread(str(run / "face.png"), cv2.IMREAD_GRAYSCALE) if (run / "face.png").exists() else None
    if face is None:
        skimage = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
        face = cv2.cvtColor(skimage.astronaut()[60:220, 150:310], cv2.COLOR_RGB2GRAY)
    assert cv2.imwrite("face.png", face)
    page = (ROOT / "docs" / "export.md").read_text()
    examples = re.findall(r"```python\n(.*?)```", page, re.S)
    assert len(examples) == 4
    names: dict[str, Any] = {}
    for example in examples:
        exec(compile(example, "docs/export.md", "exec"), names)
    assert names["keras_label"] == names["tflite_label"] == names["onnx_label"] == "happy"
