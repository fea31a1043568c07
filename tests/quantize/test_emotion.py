"""From a trained network to an int8 file with its card, as a user runs it, on a network that trains in seconds."""

import contextlib
import io
import json
import re
import shutil
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml

from edge.emotion.committee import open_local
from edge.labels import LABEL_SETS
from edge.models.card import EmotionCard, read_card
from edge.models.runtime import choose, installed
from quantize.card_text import evenness_text
from quantize.card_update import write_into
from quantize.interpreters import run_in
from tests.support.fer2013_files import TINY, write_files
from training.datasets.fer2013 import read_fer2013
from training.evaluation.parity import VIEWS, Row, as_json

pytest.importorskip("tensorflow_model_optimization", reason="the training extra is not installed")

from quantize.card import ReleasedCard


def quantize(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Run emotion-quantize in a folder, in this process; returns exit status, standard output and error."""
    from quantize.cli import main

    out, error = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        return main(arguments), out.getvalue(), error.getvalue()


def made(folder: Path, *arguments: str) -> str:
    """Run a command that must succeed; returns its output."""
    status, out, error = quantize(folder, *arguments)
    assert status == 0, error
    return out


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data/ and the finished runs/tiny."""
    folder = tmp_path_factory.mktemp("workplace")
    write_files(folder / "data")
    heads = {"ferplus8": 1.0, "fer7": 1.0, "affect": 0.5}
    (folder / "tiny.yaml").write_text(yaml.safe_dump({**TINY, "heads": heads, "epochs": 24}, sort_keys=False))
    command = [sys.executable, "-m", "training.cli", "fit", "tiny.yaml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not re.search("cuda|cuInit|oneDNN|absl", done.stderr, re.IGNORECASE), done.stderr
    return folder


@pytest.fixture(scope="module")
def model(workplace: Path) -> Path:
    """Folder models/tiny, quantized after training, with the command's output in printed.txt."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", r"\s*Warning: tf\.lite\.Interpreter is deprecated")
        printed = made(workplace, "ptq", "runs/tiny", "--out", "models/tiny")
    folder = workplace / "models" / "tiny"
    (folder / "printed.txt").write_text(printed)
    return folder


def accuracy_of(card: EmotionCard, precision: str, output: str) -> float:
    return float(
        next(
            metric["accuracy"]
            for metric in card.metrics
            if metric["precision"] == precision and metric["output"] == output and metric["split"] == "PublicTest"
        )
    )


def test_after_training_a_run_becomes_an_int8_file_that_says_what_the_float_network_says(
    workplace: Path, model: Path
) -> None:
    assert_as_good_as_float(workplace, model, "ptq", (model / "printed.txt").read_text())


def test_quantization_aware_training_does_so_too(workplace: Path) -> None:
    printed = made(workplace, "qat", "runs/tiny", "--out", "models/tiny-qat", "--epochs", "2", "--samples", "60")
    assert "epoch 2/2" in printed
    assert_as_good_as_float(workplace, workplace / "models" / "tiny-qat", "qat", printed)


def assert_as_good_as_float(workplace: Path, folder: Path, how: str, printed: str) -> None:
    from quantize.card_text import CARD_TEXT

    card = read_card(EmotionCard, folder)
    assert card.name == folder.name
    assert card.input.name == "image"
    assert (card.input.height, card.input.width, card.input.channels) == (48, 48, 1)
    np.testing.assert_array_equal(card.input.lookup(), np.arange(256) - 128)
    assert {output.name: output.labels for output in card.outputs} == {
        "ferplus8": LABEL_SETS["ferplus8"],
        "fer7": LABEL_SETS["fer7"],
        "affect": (),
    }
    assert card.primary.name == "ferplus8"
    assert {output.name: output.kind for output in card.outputs}["affect"] == "valence_arousal"
    assert f"emotion-quantize {how} runs/tiny --out models/{folder.name}" in card.command
    assert accuracy_of(card, "float32", "fer7") > 0.9
    assert accuracy_of(card, "int8", "fer7") > 0.85
    assert accuracy_of(card, "int8", "ferplus8") > 0.85
    assert not any(metric["split"] == "PrivateTest" for metric in card.metrics)
    facts = json.loads((folder / "card.json").read_text())
    ways = {way["runtime"].split()[0]: way for way in facts["verification"]["ways"] if way["precision"] == "int8"}
    assert set(ways) == set(installed())
    assert all(way["agreement"]["ferplus8"] > 0.9 for way in ways.values())
    assert all(way["logit_error"]["fer7"]["largest"]["happy"] < 1 for way in ways.values())
    assert facts["verification"]["of_float"] < 0.6
    assert facts["verification"]["affect"][0]["derived"]
    training = read_fer2013(workplace / "data").part("Training").rows
    assert set(facts["calibration"]["indices"]) <= set(training.tolist())
    text = (folder / "CARD.md").read_text()
    assert card.sha256 in text
    assert card.command in text
    assert "$" not in text
    assert "FER-2013's labels are noisy" in text
    assert "of FER-2013 (140 faces)" in text
    assert "blank ones: 140 faces. FER-2013's labels and the FER+ votes are learned together." in text
    assert "part of all faces of PublicTest to which the file gives" in text
    assert "FER-2013" not in CARD_TEXT.template
    for runtime in installed():
        assert runtime in printed
        assert runtime in text


def test_the_file_runs_whole_batches_as_it_runs_single_images(workplace: Path, model: Path) -> None:
    images = read_fer2013(workplace / "data").part("PublicTest").pixels
    for runtime in installed():
        together = run_in(runtime, model / "model.tflite", images)
        alone = [run_in(runtime, model / "model.tflite", image[None]) for image in images[:3]]
        for head in ("fer7", "ferplus8", "affect"):
            np.testing.assert_array_equal(
                together.outputs[head][:3], np.concatenate([one.outputs[head] for one in alone])
            )


def test_labels_and_card_travel_inside_the_file(workplace: Path, model: Path) -> None:
    with zipfile.ZipFile(model / "model.tflite") as archive:
        assert archive.read("labels_fer7.txt").decode().split() == list(LABEL_SETS["fer7"])
        inside = json.loads(archive.read("card.json"))
    card = read_card(EmotionCard, model)
    assert inside["name"] == "tiny"
    assert EmotionCard.model_validate({**inside, "sha256": card.sha256}).outputs == card.outputs
    shown = made(workplace, "show", "models/tiny")
    assert f"fer7: {', '.join(LABEL_SETS['fer7'])}" in shown


def test_verify_shows_one_table_and_the_test_split_only_when_asked(workplace: Path, model: Path) -> None:
    assert "Private" not in (model / "printed.txt").read_text()
    final = made(workplace, "verify", "models/tiny", "--run", "runs/tiny", "--final", "--layers")
    assert "float32, keras" in final
    assert "Private fer7" in final
    assert "not run: emulated aarch64" in final
    assert "FULLY_CONNECTED" in final


def test_a_damaged_file_is_refused(workplace: Path, model: Path) -> None:
    damaged = shutil.copytree(model, workplace / "models" / "damaged")
    content = bytearray((damaged / "model.tflite").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (damaged / "model.tflite").write_bytes(bytes(content))
    status, _, error = quantize(workplace, "verify", "models/damaged", "--run", "runs/tiny")
    assert status == 2
    assert "SHA-256" in error


def section_of(text: str, heading: str) -> str:
    """A section of CARD.md without its heading, up to the next one."""
    return text.split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0].strip()


def test_a_card_is_written_anew_with_what_was_known_of_the_file(workplace: Path, model: Path) -> None:
    folder = shutil.copytree(model, workplace / "models" / "again")
    made(workplace, "balance", "models/again", "--data", "data")
    made(workplace, "mirror", "models/again", "--data", "data")
    row = Row("all", 9, (1.0, (0.7, 1.0)), dict.fromkeys(VIEWS, (0.8889, (0.565, 0.98))), 0.5, 0.0, {"happy": 1.0})
    write_into(folder, "card.json", {"parity": json.loads(as_json([row], "again"))}, evenness_text([row]))
    before, text = json.loads((folder / "card.json").read_text()), (folder / "CARD.md").read_text()
    printed = made(workplace, "card", "models/again", "--run", "runs/tiny", "--final")
    after = json.loads((folder / "card.json").read_text())
    assert "kept from before: balance, mirror_image, parity" in printed
    for key in ("outputs", "balance", "mirror_below", "mirror_image", "parity", "self_test"):
        assert after[key] == before[key]
    for heading in ("Rare emotions", "Mirror images", "Evenness"):
        assert section_of(text, heading) == section_of((folder / "CARD.md").read_text(), heading)
    assert read_card(EmotionCard, folder).name == "again"
    assert after["calibration"] == before["calibration"]
    assert after["command"] == before["command"] + " --final"
    assert any(metric["split"] == "PrivateTest" for metric in after["metrics"])


def test_a_model_may_look_at_each_face_twice(workplace: Path, model: Path) -> None:
    folder = shutil.copytree(model, workplace / "models" / "twice")
    once = json.loads((folder / "card.json").read_text())
    assert not once["mirror"]
    printed = made(workplace, "card", "models/twice", "--run", "runs/tiny", "--mirror")
    card = json.loads((folder / "card.json").read_text())
    assert card["mirror"]
    assert card["command"] == once["command"] + " --mirror"
    assert all(metric["protocol"].endswith("the mean of each image and its mirror image") for metric in card["metrics"])
    assert "and run again on its mirror image" in (folder / "CARD.md").read_text()
    # The figures for one view must be those that the file had without the mirror image.
    before = {metric["output"]: metric["accuracy"] for metric in once["metrics"] if metric["precision"] == "int8"}
    alone = f"Public ferplus8 {before['ferplus8']:.2%}, Public fer7 {before['fer7']:.2%}"
    assert f"mirror image; of the face alone: {alone}" in printed
    verified = made(workplace, "verify", "models/twice", "--run", "runs/tiny")
    assert f"mirror image; of the face alone: {alone}" in verified
    part = read_fer2013(workplace / "data").part("PublicTest")
    judged = part.labels["ferplus8"].judged
    with contextlib.chdir(workplace):
        said = open_local("models/twice", choose()).classify(part.pixels[..., None]).probabilities.argmax(axis=1)
    now = [m["accuracy"] for m in card["metrics"] if (m["precision"], m["output"]) == ("int8", "ferplus8")]
    assert float(np.mean((said == judged)[judged >= 0])) == pytest.approx(now[0], abs=1e-4)


def test_models_become_a_committee_that_is_measured_as_the_board_runs_it(workplace: Path, model: Path) -> None:
    names = ["one", "two", "three"]
    for name in names:
        folder = shutil.copytree(model, workplace / "models" / name, dirs_exist_ok=True)
        card = json.loads((folder / "card.json").read_text())
        (folder / "card.json").write_text(json.dumps(card | {"name": name}))
    folders = [f"models/{name}" for name in names]
    printed = made(workplace, "committee", *folders, "--out", "models/council", "--mirror", "--mean", "--final")
    content = json.loads((workplace / "models/council/committee.json").read_text())
    assert (content["mirror"], content["rule"]) == (True, "mean")
    assert "--mirror --mean --model-version 1.0.0 --final" in content["command"]
    accuracy = {(metric["split"], metric["output"]): metric["accuracy"] for metric in content["metrics"]}
    assert f"| committee | {accuracy['PublicTest', 'fer7']:.2%} |" in printed
    card = (workplace / "models/council/CARD.md").read_text()
    assert "most probable in the mean of them all" in " ".join(card.split())
    for words in (card, *(metric["protocol"] for metric in content["metrics"])):
        assert "the mean of each image and its mirror image" in words
        assert "one view" not in words
    part = read_fer2013(workplace / "data").part("PrivateTest")
    with contextlib.chdir(workplace):
        council = open_local("models/council", choose())
    said = council.classify(part.pixels[..., None]).probabilities.argmax(axis=1)
    judged = part.labels["ferplus8"].judged
    counts = judged >= 0
    assert float(np.mean(said[counts] == judged[counts])) == pytest.approx(
        accuracy["PrivateTest", "ferplus8"], abs=1e-4
    )


@pytest.mark.usefixtures("model")
def test_a_committee_of_one_is_refused(workplace: Path) -> None:
    status, _, error = quantize(workplace, "committee", "models/tiny", "--out", "models/alone")
    assert status == 2
    assert "wants two members or more" in error
    assert not (workplace / "models/alone").exists()


def test_float16_halves_the_file_and_keeps_a_float_input(workplace: Path) -> None:
    folder = workplace / "models" / "half"
    made(workplace, "float", "runs/tiny", "--precision", "float16", "--out", "models/half")
    card = read_card(ReleasedCard, folder)
    assert (card.input.dtype, card.input.scale) == ("float32", 1)
    assert accuracy_of(card, "float16", "fer7") > 0.85
    assert card.command.startswith("emotion-train fit runs/tiny/config.yaml\nemotion-quantize float runs/tiny ")
    made(workplace, "card", "models/half", "--run", "runs/tiny")
    assert accuracy_of(read_card(EmotionCard, folder), "float16", "fer7") == accuracy_of(card, "float16", "fer7")
    shutil.copy(workplace / "runs/tiny/network.keras", folder)
    assert "float16, " in made(workplace, "verify", "models/half")
    assert json.loads((folder / "card.json").read_text())["verification"]["of_float"] < 0.7


@pytest.mark.slow
@pytest.mark.parametrize("slimmer", [("--prune", "0.3"), ("--cluster", "8")], ids=["prune", "cluster"])
def test_a_slim_file_compresses_better(workplace: Path, model: Path, slimmer: tuple[str, str]) -> None:
    name = f"slim{slimmer[0]}"
    made(workplace, "ptq", "runs/tiny", "--out", f"models/{name}", *slimmer)
    facts, plain = (json.loads((workplace / "models" / it / "card.json").read_text()) for it in (name, model.name))
    assert facts["verification"]["compressed"] < 0.95 * plain["verification"]["compressed"]
    assert " ".join(slimmer) in facts["command"]
    assert accuracy_of(EmotionCard.model_validate(facts), "int8", "ferplus8") > 0.5
