"""`emotion-quantize keras`: from a user's Keras model and a folder of images to a full int8 file."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.models.runtime import choose
from quantize.cli import main
from quantize.flatbuffer import read_graph
from tests.conftest import ROOT

keras = pytest.importorskip("keras", reason="the training extra is not installed")

from quantize.keras_file import Outcome, Output, text  # noqa: E402
from quantize.keras_reader import objects_of  # noqa: E402


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Forty images of noise without black or white, in two folders, and a file that is not an image."""
    generator = np.random.default_rng(0)
    for number in range(40):
        path = tmp_path / "images" / ("left" if number % 2 else "right") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), generator.integers(20, 230, (40, 50, 3), np.uint8))
    (tmp_path / "images" / "broken.jpg").write_bytes(b"nothing")
    return tmp_path / "images"


def network(outputs: Callable[[Any], Any], rescale: bool = False, activation: str = "relu") -> Any:
    """Build a network for colour images of 32x32 with a convolution, a batch normalization and these outputs."""
    keras.utils.set_random_seed(1)
    image = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 255)(image) if rescale else image
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(16, 3, activation=activation)(x))
    return keras.Model(image, outputs(keras.layers.GlobalAveragePooling2D()(x)))


def classes(x: Any) -> Any:
    return keras.layers.Dense(5, activation="softmax", name="kind")(x)


@pytest.mark.parametrize("low_high", [("0", "255"), ("-1", "1")])
def test_a_model_of_somebody_s_own_becomes_int8_and_says_the_same(
    tmp_path: Path, images: Path, capsys: pytest.CaptureFixture[str], low_high: tuple[str, str]
) -> None:
    low, high = map(float, low_high)
    float_network = network(classes, rescale=high == 255)
    float_network.save(tmp_path / "own.keras")
    arguments = ["keras", str(tmp_path / "own.keras"), "--images", str(images), "--samples", "30"]
    out = tmp_path / "new" / "own.tflite"
    assert main([*arguments, "--out", str(out), "--value-range", *low_high]) == 0
    said = capsys.readouterr().out
    assert "int8 ranges from 30 images, compared on 10 (others)" in said
    assert {tensor.dtype for each in read_graph(out).operations for tensor in each.outputs} == {"INT8"}
    # Like on a board, the stored value is pixel - 128, whatever the float network's input range.
    photograph = cv2.cvtColor(cv2.imread(str(images / "left" / "1.png")), cv2.COLOR_BGR2RGB)
    photograph = cv2.resize(photograph, (32, 32), interpolation=cv2.INTER_AREA)
    runner = choose("ai-edge-litert").interpreter(model_path=str(out)).get_signature_runner()
    (stored,) = runner(image=(photograph[None].astype(np.int16) - 128).astype(np.int8)).values()
    scale, zero_point = runner.get_output_details()["kind"]["quantization"]
    wanted = float_network.predict(photograph[None] / 255 * (high - low) + low, verbose=0)
    np.testing.assert_allclose((stored.astype(float) - zero_point) * scale, wanted, atol=0.01)


def test_a_sequential_model_and_one_with_several_outputs_do_as_well(
    tmp_path: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layers = keras.layers
    plain = [keras.Input((16, 16, 1)), layers.Conv2D(16, 3), layers.Flatten(), layers.Dense(3, name="three")]
    keras.Sequential(plain).save(tmp_path / "plain.keras")
    network(lambda x: {"kind": classes(x), "age": layers.Dense(1)(x)}).save(tmp_path / "two.keras")
    network(lambda x: [classes(x), layers.Dense(1, name="years")(x)]).save(tmp_path / "list.keras")
    for name, outputs in (("plain", {"three"}), ("two", {"kind", "age"}), ("list", {"kind", "years"})):
        out = tmp_path / f"{name}.tflite"
        assert main(["keras", str(tmp_path / f"{name}.keras"), "--images", str(images), "--out", str(out)]) == 0
        assert "(the same that set them)" in capsys.readouterr().out
        runner = choose("ai-edge-litert").interpreter(model_path=str(out)).get_signature_runner()
        assert set(runner.get_output_details()) == outputs


def test_what_cannot_be_is_said_in_a_line_and_nothing_is_written(
    tmp_path: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network(classes, activation="elu").save(tmp_path / "elu.keras")
    twin = keras.layers.Dense(5, name="kind")
    network(lambda x: [twin(x), twin(2 * x)]).save(tmp_path / "twice.keras")
    (tmp_path / "cut.keras").write_bytes((tmp_path / "elu.keras").read_bytes()[:500])
    (tmp_path / "other.keras").write_bytes(b"TFL3")
    (tmp_path / "empty").mkdir()
    for name, folder, reason in (
        ("elu.keras", images, "ELU ("),
        ("twice.keras", images, "two of its outputs have the same name (kind, kind)"),
        ("cut.keras", images, "cut.keras: Keras cannot read it"),
        ("none.keras", images, "none.keras: not there"),
        ("other.keras", images, "other.keras: Keras cannot read it: it is no .keras file"),
        ("elu.keras", tmp_path / "empty", "no image in it"),
        ("elu.keras", tmp_path / "nowhere", "nowhere: not there; give a folder"),
        ("elu.keras", images / "left" / "1.png", "1.png: is a file; give a folder"),
    ):
        arguments = ["keras", str(tmp_path / name), "--images", str(folder), "--out", str(tmp_path / "x.tflite")]
        assert main(arguments) == 2
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("emotion-quantize: ")]
        assert reason in line
        assert not (tmp_path / "x.tflite").exists()


OWN = """
import keras


class Halved(keras.layers.Layer):
    def call(self, x):
        return 0.5 * x
"""


def test_layers_of_its_own_come_from_a_module_or_a_file(
    tmp_path: Path, images: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "halving.py").write_text(OWN)
    halved = objects_of(["halving.py"])["Halved"]
    network(lambda x: classes(halved()(x))).save("own.keras")
    arguments = ["keras", "own.keras", "--images", str(images), "--samples", "20", "--out"]
    assert main([*arguments, "none.tflite"]) == 2
    assert "name their module as --import" in capsys.readouterr().err
    for module in ("halving.py", "halving"):
        assert main([*arguments, f"{module}.tflite", "--import", module]) == 0
        assert "same largest value as float 1" in capsys.readouterr().out
    assert main([*arguments, "x.tflite", "--import", "nowhere"]) == 2
    assert "--import nowhere: ModuleNotFoundError" in capsys.readouterr().err


def test_a_file_that_hardly_ever_agrees_is_an_error(
    tmp_path: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The network's logits differ by less than one step of int8, so that quantization destroys the order."""
    bias = keras.initializers.Constant(1000.0)
    network(lambda x: keras.layers.Dense(5, bias_initializer=bias, name="kind")(x)).save(tmp_path / "own.keras")
    out = tmp_path / "own.tflite"
    arguments = ["keras", str(tmp_path / "own.keras"), "--images", str(images), "--samples", "20", "--out", str(out)]
    assert main(arguments) == 1
    assert "output kind: the int8 file has the float network's label for only " in capsys.readouterr().err
    assert not out.exists()
    assert main([*arguments, "--force"]) == 0
    assert "kind: NOT the float output" in capsys.readouterr().out
    assert out.exists()


def test_ptq_of_a_keras_file_points_to_the_command_for_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "own.keras"
    path.write_bytes(b"")
    assert main(["ptq", str(path), "--out", str(tmp_path / "out")]) == 2
    assert f"`emotion-quantize keras {path} --images FOLDER --out FILE.tflite`" in capsys.readouterr().err


def test_a_network_is_not_overwritten_by_its_own_file(
    tmp_path: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "own.keras"
    network(classes).save(path)
    before = path.read_bytes()
    for out, reason in ((path, "is the network itself"), (tmp_path, "is a folder; give the file to write")):
        assert main(["keras", str(path), "--images", str(images), "--out", str(out)]) == 2
        assert reason in capsys.readouterr().err
    assert path.read_bytes() == before


def test_a_file_that_seldom_agrees_with_float_is_not_praised() -> None:
    def said(same: float) -> str:
        outputs = {"ai-edge-litert": {"kind": Output(same, 0.5, 0.1, 0.9)}}
        return text(Outcome(30, 10, False, 1000, 4000, outputs, {"ai-edge-litert": 1.0}, 2.0))

    assert "kind: NOT the float output" in said(0.5)
    assert "NOT" not in said(0.95)


def test_the_commands_ask_for_tensorflow_whatever_keras_was_told_to_use() -> None:
    """Commands that need Keras set its backend to TensorFlow; the others do not load it."""
    program = "import sys; from quantize.cli import main; print(main(sys.argv[1:]), 'keras' in sys.modules)"
    command = [sys.executable, "-c", program, "show", "models/emotion-small"]
    told = {**os.environ, "KERAS_BACKEND": "nonsense"}
    done = subprocess.run(command, cwd=ROOT, env=told, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["0 False"], done.stderr
