"""From a trained network to an int8 file with its card, as a user runs it, on a network that trains in seconds."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from edge.card import EmotionCard, read_card
from edge.labels import LABEL_SETS
from edge.runtime import installed
from quantize.calibration import calibration_images
from quantize.interpreters import run_in
from tests.fer2013_files import TINY, write_files
from training.datasets.fer2013 import read_fer2013

pytest.importorskip("tensorflow_model_optimization", reason="the training extra is not installed")


def run(folder: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the project in a folder."""
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data/ and the finished runs/tiny."""
    folder = tmp_path_factory.mktemp("workplace")
    write_files(folder / "data")
    (folder / "tiny.yaml").write_text(yaml.safe_dump({**TINY, "epochs": 24}))
    done = run(folder, "training.cli", "fit", "tiny.yaml")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def model(workplace: Path) -> Path:
    """models/tiny, quantized after training."""
    done = run(workplace, "quantize.cli", "ptq", "runs/tiny", "--out", "models/tiny")
    assert done.returncode == 0, done.stderr
    return workplace / "models" / "tiny"


def accuracy_of(card: EmotionCard, precision: str, output: str) -> float:
    return float(
        next(
            metric["accuracy"]
            for metric in card.metrics
            if metric["precision"] == precision and metric["output"] == output and metric["split"] == "PublicTest"
        )
    )


@pytest.mark.parametrize("how", [("ptq",), ("qat", "--epochs", "2")], ids=["ptq", "qat"])
def test_a_run_becomes_an_int8_file_that_says_what_the_float_network_says(
    workplace: Path, how: tuple[str, ...]
) -> None:
    name = f"tiny-{how[0]}"
    done = run(workplace, "quantize.cli", how[0], "runs/tiny", "--out", f"models/{name}", *how[1:])
    assert done.returncode == 0, done.stderr
    folder = workplace / "models" / name
    card = read_card(EmotionCard, folder)
    assert card.name == name
    assert card.input.name == "image"
    assert (card.input.height, card.input.width, card.input.channels) == (48, 48, 1)
    np.testing.assert_array_equal(card.input.lookup(), np.arange(256) - 128)
    assert {output.name: output.labels for output in card.outputs} == {
        "fer7": LABEL_SETS["fer7"],
        "ferplus8": LABEL_SETS["ferplus8"],
    }
    assert card.primary.name == "fer7"
    assert f"emotion-quantize {how[0]} runs/tiny --out models/{name}" in card.command
    assert accuracy_of(card, "float32", "fer7") > 0.9
    assert accuracy_of(card, "int8", "fer7") > 0.85
    assert accuracy_of(card, "int8", "ferplus8") > 0.85
    assert not any(metric["split"] == "PrivateTest" for metric in card.metrics)
    text = (folder / "CARD.md").read_text()
    assert card.sha256 in text
    assert card.command in text
    assert "$" not in text
    for runtime in installed():
        assert runtime in done.stdout
        assert runtime in text


def test_the_file_runs_whole_batches_as_it_runs_single_images(workplace: Path, model: Path) -> None:
    images = read_fer2013(workplace / "data").part("PublicTest").images
    for runtime in installed():
        together = run_in(runtime, model / "model.tflite", images)
        alone = [run_in(runtime, model / "model.tflite", image[None]) for image in images[:3]]
        for head in ("fer7", "ferplus8"):
            np.testing.assert_array_equal(
                together.outputs[head][:3], np.concatenate([one.outputs[head] for one in alone])
            )


def test_verify_shows_one_table_and_the_test_split_only_when_asked(workplace: Path, model: Path) -> None:
    plain = run(workplace, "quantize.cli", "verify", "models/tiny", "--run", "runs/tiny")
    assert plain.returncode == 0, plain.stderr
    assert "float32, keras" in plain.stdout
    assert "Private" not in plain.stdout
    final = run(workplace, "quantize.cli", "verify", "models/tiny", "--run", "runs/tiny", "--final")
    assert "Private fer7" in final.stdout
    damaged = shutil.copytree(model, workplace / "models" / "damaged")
    content = bytearray((damaged / "model.tflite").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (damaged / "model.tflite").write_bytes(bytes(content))
    refused = run(workplace, "quantize.cli", "verify", "models/damaged", "--run", "runs/tiny")
    assert refused.returncode == 2
    assert "SHA-256" in refused.stderr


def test_a_run_that_is_not_finished_is_said(workplace: Path) -> None:
    done = run(workplace, "quantize.cli", "ptq", "runs/none", "--out", "models/none")
    assert done.returncode == 2
    assert "network.keras: not there; train it first" in done.stderr
    assert not (workplace / "models" / "none").exists()


def test_another_network_than_the_configuration_builds_is_refused(workplace: Path) -> None:
    run_folder = shutil.copytree(workplace / "runs" / "tiny", workplace / "runs" / "changed")
    config = yaml.safe_load((run_folder / "config.yaml").read_text())
    config["options"]["widths"] = [16, 32]
    (run_folder / "config.yaml").write_text(yaml.safe_dump(config))
    done = run(workplace, "quantize.cli", "ptq", "runs/changed", "--out", "models/changed")
    assert done.returncode == 2
    assert "weights are not those its configuration builds" in done.stderr


def test_calibration_takes_training_images_alone(workplace: Path) -> None:
    data = read_fer2013(workplace / "data")
    taken = calibration_images(data, samples=50)
    training = {image.tobytes() for image in data.part("Training").images}
    assert len(taken) == 50
    assert all(image.tobytes() in training for image in taken)
    assert (taken[0].min(), taken[0].max()) == (0, 255)
