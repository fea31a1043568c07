"""Networks and data that are refused, with the reason, before a file is written."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.errors import EmotionEdgeError
from edge.models.runtime import installed
from quantize.atomic_folder import arriving
from quantize.calibration import calibration_set, pinned_calibration_set, read_rows, write_rows
from quantize.cli import main
from tests.conftest import ROOT
from tests.support.fer2013_files import TINY, write_files
from training.config import TrainingConfig, write_config
from training.datasets.dataset import SPLITS, Dataset
from training.datasets.fer2013 import read_fer2013

tf_keras = pytest.importorskip("tf_keras", reason="the training extra is not installed")

from quantize.calibration import representative  # noqa: E402
from quantize.convert import to_float, to_int8, write_file  # noqa: E402
from quantize.qat import quantized  # noqa: E402
from quantize.tf_keras_copy import carry_weights  # noqa: E402

HEADS = {"fer7": 7}
SHAPE = (16, 16, 1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return read_fer2013(write_files(tmp_path_factory.mktemp("data"), training=28, test=7))


def network(keras: Any, layer: Callable[[Any], Any], units: int = 8) -> Any:
    """Build a network that contains one unsupported layer."""
    image = keras.Input(SHAPE, name="image")
    x = keras.layers.Conv2D(units, 3, activation="relu")(image)
    x = keras.layers.GlobalAveragePooling2D()(layer(x))
    return keras.Model(image, {"fer7": keras.layers.Dense(7, name="fer7")(x)})


def test_a_calibration_set_is_of_training_faces_and_can_be_pinned(data: Dataset, tmp_path: Path) -> None:
    drawn = calibration_set(data, samples=20)
    training = set(data.part("Training").rows.tolist())
    assert len(drawn.rows) == 20
    assert len(set(drawn.rows.tolist())) == 20
    assert set(drawn.rows.tolist()) <= training
    assert (drawn.images[0].min(), drawn.images[0].max()) == (0, 255)
    write_rows(drawn, tmp_path / "rows.txt")
    pinned = pinned_calibration_set(data, read_rows(tmp_path / "rows.txt"))
    np.testing.assert_array_equal(pinned.images, drawn.images)
    assert pinned.sha256 == drawn.sha256
    assert pinned.sha256 != calibration_set(data, samples=20, seed=1).sha256


@pytest.mark.parametrize("split", ["PublicTest", "PrivateTest"])
def test_a_calibration_set_that_overlaps_a_test_split_is_refused(data: Dataset, split: str) -> None:
    row = int(data.part(split).rows[0])
    with pytest.raises(EmotionEdgeError, match=f"row {row} is of {split}"):
        pinned_calibration_set(data, np.array([0, 1, row]))


def test_a_training_face_that_a_test_split_holds_too_is_refused(data: Dataset) -> None:
    images = data.pixels.copy()
    tested = int(np.flatnonzero(data.split == SPLITS.index("PrivateTest"))[0])
    images[3] = images[tested]
    twice = Dataset(data.name, images, data.labels, data.affect, data.affect_derived, data.split, data.rows)
    with pytest.raises(EmotionEdgeError, match="row 3 is pixel for pixel a face of a test split"):
        pinned_calibration_set(twice, np.array([1, 2, 3]))
    assert 3 not in calibration_set(twice, samples=100).rows


@pytest.mark.parametrize(
    ("rows", "reason"),
    [([0, 999_999], "row 999999 is not in FER-2013"), ([1, 1], "comes twice")],
)
def test_other_rows_that_cannot_be(data: Dataset, rows: list[int], reason: str) -> None:
    with pytest.raises(EmotionEdgeError, match=reason):
        pinned_calibration_set(data, np.array(rows))


def shaded(data: Dataset, images: Any) -> Dataset:
    return Dataset(data.name, images, data.labels, data.affect, data.affect_derived, data.split, data.rows)


def test_calibration_needs_black_and_white_but_not_in_one_image(data: Dataset) -> None:
    images = np.clip(data.pixels, 10, 200)
    images[3, 0, 0], images[5, 0, 0] = 0, 255
    for chosen in (
        calibration_set(shaded(data, images), samples=9),
        pinned_calibration_set(shaded(data, images), np.array([2, 3, 4, 5])),
    ):
        assert {3, 5} <= set(chosen.rows.tolist())
        np.testing.assert_array_equal(chosen.images, images[chosen.rows])


def test_of_calibration_images_without_black_or_white_one_is_stretched(data: Dataset) -> None:
    images = np.clip(data.pixels, 30, 100)
    images[4] = np.clip(data.pixels[4], 20, 220)
    pinned = pinned_calibration_set(shaded(data, images), np.array([1, 4, 2]))
    assert (pinned.images[1].min(), pinned.images[1].max()) == (0, 255)
    np.testing.assert_array_equal(pinned.images[[0, 2]], images[[1, 2]])
    assert np.corrcoef(pinned.images[1].ravel(), images[4].ravel())[0, 1] > 0.999
    drawn = calibration_set(shaded(data, images), samples=5)
    assert (drawn.images.min(), drawn.images.max(), len(drawn.rows)) == (0, 255, 5)
    with pytest.raises(EmotionEdgeError, match="every image is of one shade"):
        pinned_calibration_set(
            shaded(data, np.full_like(images, 7) + data.split.astype(np.uint8)[:, None, None]), np.array([1, 4])
        )


def test_black_in_one_image_and_white_in_another_make_the_promised_input_scale(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    images = np.random.default_rng(0).integers(60, 190, (4, *SHAPE[:2]), np.uint8)
    images[0, 0, 0], images[3, 0, 0] = 0, 255
    write_file(to_int8(network(tf_keras, lambda x: x), representative(images)), tmp_path / "model", HEADS, SHAPE)
    printed = "".join(capfd.readouterr())
    assert "fully_quantize" not in printed, "the converter's line"
    assert "deprecated" not in printed


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1\ntwo\n", "line 2: 'two' is no row number"),
        (f"{2**63}\n", "line 1: '9223372036854775808' is no row"),
        ("", "empty"),
        (None, "rows.txt"),
    ],
)
def test_a_file_of_rows_that_is_none(tmp_path: Path, text: str | None, reason: str) -> None:
    path = tmp_path / "rows.txt"
    if text is not None:
        path.write_text(text)
    with pytest.raises(EmotionEdgeError, match=reason):
        read_rows(path)


def samples(count: int = 4) -> Any:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, *SHAPE[:2]), np.uint8)
    images[0, 0, 0], images[0, 0, 1] = 0, 255
    return representative(images)


def test_an_operation_without_an_int8_form_is_named() -> None:
    odd = network(tf_keras, lambda x: tf_keras.layers.Lambda(lambda v: __import__("tensorflow").math.erf(v))(x))
    with pytest.raises(EmotionEdgeError, match=r"(?i)erf"):
        to_int8(odd, samples())


def test_a_layer_that_cannot_be_trained_under_int8_is_named() -> None:
    odd = network(tf_keras, lambda x: tf_keras.layers.GroupNormalization(4, name="grouped")(x))
    with pytest.raises(EmotionEdgeError, match=r"grouped.*ptq"):
        quantized(odd)


def test_a_float_input_that_would_silently_stay_float_is_refused(tmp_path: Path) -> None:
    plain = to_float(network(tf_keras, lambda x: x))
    with pytest.raises(EmotionEdgeError, match="would stay FLOAT32; the board needs int8"):
        write_file(plain, tmp_path / "model", HEADS, SHAPE)
    assert not (tmp_path / "model").exists()
    write_file(plain, tmp_path / "float", HEADS, SHAPE, int8=False)
    assert (tmp_path / "float" / "model.tflite").exists()


def test_a_float_operation_between_int8_ends_is_refused_by_its_name(tmp_path: Path) -> None:
    odd = to_int8(network(tf_keras, tf_keras.layers.ELU()), samples())
    with pytest.raises(EmotionEdgeError, match=r"quantize: ELU \(.*\) would stay FLOAT32"):
        write_file(odd, tmp_path / "model", HEADS, SHAPE)
    assert not (tmp_path / "model").exists()


def test_an_operation_that_one_interpreter_has_not_got_is_named(tmp_path: Path) -> None:
    if len(installed()) < 2:
        pytest.skip("only one interpreter is installed")
    odd = to_int8(network(tf_keras, tf_keras.layers.Activation("softplus")), samples())
    with pytest.raises(EmotionEdgeError, match=r"tflite-runtime does not run it: .*opcode 'LOG'"):
        write_file(odd, tmp_path / "model", HEADS, SHAPE)


def test_another_input_scale_and_other_outputs_are_refused(tmp_path: Path) -> None:
    dim = representative(np.full((4, 16, 16), 100, np.uint8))
    with pytest.raises(EmotionEdgeError, match="input scale"):
        write_file(to_int8(network(tf_keras, lambda x: x), dim), tmp_path / "dim", HEADS, SHAPE)
    good = to_int8(network(tf_keras, lambda x: x), samples())
    with pytest.raises(EmotionEdgeError, match="outputs"):
        write_file(good, tmp_path / "other", {"fer7": 7, "affect": 2}, SHAPE)
    assert write_file(good, tmp_path / "good", HEADS, SHAPE).exists()


def test_a_twin_of_another_shape_or_of_other_values_is_refused() -> None:
    import keras

    same = network(keras, lambda x: x)
    assert carry_weights(same, network(tf_keras, lambda x: x)) is not None
    with pytest.raises(EmotionEdgeError, match="not those its configuration builds"):
        carry_weights(same, network(tf_keras, lambda x: x, units=12))
    with pytest.raises(EmotionEdgeError, match="differ by"):
        carry_weights(same, network(tf_keras, lambda x: tf_keras.layers.ReLU(max_value=0.01)(x)))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["ptq", "--samples", "0"], "'0' is no whole number of 1 or more"),
        (["ptq", "--cluster", "1"], "'1' is no whole number of 2 or more"),
        (["ptq", "--prune", "1.5"], "'1.5' is no number between 0 and 1"),
        (["qat", "--epochs", "-1"], "'-1' is no whole number"),
        (["qat", "--learning-rate", "-1"], "'-1' is no number above 0"),
        (["qat", "--learning-rate", "nan"], "'nan' is no number above 0"),
    ],
)
def test_a_number_that_cannot_be_is_said_before_anything_is_read(
    capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "runs/none", "--out", "m"])
    assert stopped.value.code == 2
    assert reason in capsys.readouterr().err


def test_a_folder_is_made_as_a_whole_or_stays_as_it_was(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "card.json").write_text("old")
    (model / "network.keras").write_text("kept")

    def broken_off() -> None:
        with arriving(model) as coming:
            (coming / "card.json").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()
    assert (model / "card.json").read_text() == "old"
    with arriving(model) as coming:
        assert coming.name == "model"
        (coming / "card.json").write_text("new")
    assert {path.name: path.read_text() for path in model.iterdir()} == {"card.json": "new", "network.keras": "kept"}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    with pytest.raises(EmotionEdgeError, match="is a file; a model is a folder"), arriving(model / "card.json"):
        pass


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["ptq", "runs/none", "--out", "m"], "config.yaml: not there"),
        (["verify", "models/none", "--run", "runs/none"], "card.json is missing"),
        (["edgetpu", "none.tflite"], "none.tflite: not there"),
        (["show", "none.tflite"], "none.tflite: not there"),
    ],
)
def test_a_missing_file_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


def test_a_run_that_is_not_finished_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "begun").mkdir()
    write_config(TrainingConfig.model_validate({**TINY, "epochs": 1}), tmp_path / "begun" / "config.yaml")
    assert main(["ptq", "begun", "--out", "m"]) == 2
    assert "network.keras: not there; train it first" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["ptq", "qat"])
def test_bit_is_refused_in_int8(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {**TINY, "epochs": 1, "network": "bit_m_r50x1", "options": {}}
    write_config(TrainingConfig.model_validate(settings), tmp_path / "config.yaml")
    assert main([command, str(tmp_path), "--out", str(tmp_path / "m")]) == 2
    assert "group normalization is not supported in int8; train `resnet50`" in capsys.readouterr().err


def test_data_without_the_labels_that_a_network_learned_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import keras

    files, run = write_files(tmp_path / "data", training=28, test=7), tmp_path / "mine"
    run.mkdir()
    write_config(TrainingConfig.model_validate({**TINY, "epochs": 1, "heads": {"happy-sad": 1.0}}), run / "config.yaml")
    other = network(keras, lambda x: x)
    keras.Model(other.input, {"happy-sad": other.output["fer7"]}).save(run / "network.keras")
    for command in ("ptq", "qat", "float"):
        assert main([command, str(run), "--data", str(files), "--out", str(tmp_path / "m")]) == 2
        assert "head 'happy-sad': data set FER-2013 has no such labels (it has" in capsys.readouterr().err


def test_verify_says_what_it_wants_instead_of_a_model_that_has_its_network_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in ("card.json", "model.tflite"):
        shutil.copy(ROOT / "models" / "emotion-nano" / file, tmp_path)
    for model, reason in (
        (tmp_path, "has no network.keras in it; give the run it was made from as --run"),
        (ROOT / "models" / "committee", "is a committee; verify its members"),
    ):
        assert main(["verify", str(model)]) == 2
        assert reason in capsys.readouterr().err


def test_files_that_are_no_model_or_carry_no_card_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"no model at all")
    bare = tmp_path / "bare.tflite"
    bare.write_bytes(to_int8(network(tf_keras, lambda x: x), samples()))
    for command, path, reason in (
        ("edgetpu", broken, "is no TFLite file"),
        ("show", broken, "is no TFLite file"),
        ("show", bare, "carries no card"),
    ):
        assert main([command, str(path)]) == 2
        assert reason in capsys.readouterr().err


def test_an_earlier_run_that_cannot_be_read_is_named_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = tmp_path / "runs" / "first", tmp_path / "runs" / "second"
    for folder in (first, second):
        folder.mkdir(parents=True)
    (first / "config.yaml").write_text("name: first\n")
    settings = {**TINY, "epochs": 1, "continue_from": "runs/first/network.keras"}
    write_config(TrainingConfig.model_validate(settings), second / "config.yaml")
    # The second run has no network either, which would be the next error.
    assert main(["ptq", "runs/second", "--out", "m"]) == 2
    assert "runs/first/config.yaml: epochs: is missing" in capsys.readouterr().err
