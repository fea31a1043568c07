"""`emotion-train predict`: tables of predictions by a run, a released model and a committee."""

import csv
import re
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest

from edge.errors import EmotionEdgeError
from edge.labels import circumplex_of, labels_of
from edge.reading import Image
from tests.support.fer2013_files import TINY, pattern
from training.cli import main
from training.config import NETWORK_FILE, TrainingConfig, write_config
from training.evaluation.figures import read_network
from training.networks import build_network
from training.submission import read_submission

MODELS = Path(__file__).resolve().parents[2] / "models"
SEVEN = labels_of("fer7")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with random weights."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    folder.mkdir()
    config = TrainingConfig.model_validate({**TINY, "epochs": 1, "heads": {"fer7": 1.0, "affect": 0.5}})
    keras.utils.set_random_seed(3)
    build_network(config.network, keras, (48, 48, 1), {"fer7": 7, "affect": 2}, config.options).save(
        folder / NETWORK_FILE
    )
    write_config(config, folder / "config.yaml")
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """140 pictures of patterns, of which one cannot be read."""
    folder = tmp_path_factory.mktemp("test_kaggle")
    generator = np.random.default_rng(4)
    for row in range(140):
        assert cv2.imwrite(str(folder / f"{row}.png"), pattern(row % 7, generator))
    (folder / "7.png").write_bytes(b"no image")
    return folder


def table(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_a_run_predicts_each_image_in_batches(run: Path, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "submission.csv"
    assert main(["predict", str(run), str(images), "--out", str(out), "--scores"]) == 0
    header, *lines = table(out)
    assert header == ["image_path", "emotion", *SEVEN]
    assert len(lines) == 140
    pixels = np.stack([cv2.imread(str(images / line[0]), cv2.IMREAD_GRAYSCALE) for line in lines if line[1]])
    logits = read_network(run / NETWORK_FILE).predict(pixels[..., None] / np.float32(255), verbose=0)["fer7"]
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    read = [line for line in lines if line[1]]
    assert [line[0] for line in lines if not line[1]] == ["7.png"]
    assert [line[1] for line in read] == [SEVEN[index] for index in logits.argmax(axis=1)]
    np.testing.assert_allclose(np.array([line[2:] for line in read], float), scores, atol=1e-5)
    assert list(tmp_path.iterdir()) == [out]


def test_a_sample_gives_rows_columns_and_names(run: Path, images: Path, tmp_path: Path) -> None:
    sample, out = tmp_path / "sample_submission.csv", tmp_path / "out.csv"
    names = ["5.png", f"{images.name}/3.png", "12"]
    sample.write_text(
        "\n".join(["id,label", *(f"{name},{label}" for name, label in zip(names, ("Anger", 1, 1), strict=True))])
    )
    mapping = tmp_path / "names.yaml"
    mapping.write_text("\n".join(f"'{index}': {name}" for index, name in enumerate(SEVEN)))
    arguments = ["predict", str(run), str(images), "--sample", str(sample), "--out", str(out)]
    assert main(arguments) == 0
    assert [line[0] for line in table(out)] == ["id", *names]
    assert {line[1] for line in table(out)[1:]} <= {"Anger", *SEVEN[1:]}
    assert main([*arguments, "--mapping", str(mapping)]) == 0
    assert {line[1] for line in table(out)[1:]} <= set("0123456")


def test_a_sample_with_a_column_a_class_gets_probabilities(tmp_path: Path) -> None:
    sample = tmp_path / "sample.csv"
    sample.write_text("image,Anger,Happiness,Sad\n1.jpg,0,0,0\n")
    form = read_submission(sample, None, None, False)
    assert (form.file_column, form.label_column) == ("image", "")
    assert form.score_columns == {"angry": "Anger", "happy": "Happiness", "sad": "Sad"}


def test_valence_and_arousal_are_the_network_s_own_or_derived(
    run: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "affect.csv"
    assert main(["predict", str(run), str(images), "--out", str(out), "--affect"]) == 0
    header, *lines = table(out)
    assert header == ["image_path", "emotion", "valence", "arousal"]
    assert [line for line in lines if not line[1]] == [["7.png", "", "", ""]]
    read = [line for line in lines if line[1]]
    pixels = np.stack([cv2.imread(str(images / line[0]), cv2.IMREAD_GRAYSCALE) for line in read])
    network = read_network(run / NETWORK_FILE)
    own = np.clip(network.predict(pixels[..., None] / np.float32(255), verbose=0)["affect"], -1, 1)
    np.testing.assert_allclose(np.array([line[2:] for line in read], float), own, atol=1e-5)

    alone = tmp_path / "alone"
    alone.mkdir()
    keras.Model(network.inputs[0], {"affect": network.output["affect"]}).save(alone / NETWORK_FILE)
    sample = tmp_path / "sample.csv"
    sample.write_text("image,valence,arousal\n3.png,0,0\n5.png,0,0\n")
    assert main(["predict", str(alone), str(images), "--out", str(out), "--sample", str(sample)]) == 0
    chosen = {line[0]: line[2:] for line in read}
    assert table(out) == [["image", "valence", "arousal"], ["3.png", *chosen["3.png"]], ["5.png", *chosen["5.png"]]]
    capsys.readouterr()

    labels = tmp_path / "labels"
    labels.mkdir()
    keras.Model(network.inputs[0], {"fer7": network.output["fer7"]}).save(labels / NETWORK_FILE)
    assert main(["predict", str(labels), str(images), "--out", str(out), "--affect", "--scores"]) == 0
    scores = np.array([line[2:] for line in table(out)[1:] if line[1]], float)
    np.testing.assert_allclose(scores[:, 7:], scores[:, :7] @ circumplex_of(SEVEN), atol=1e-4)


@pytest.mark.parametrize("model", ["emotion-nano", "committee"])
def test_a_released_model_predicts_as_on_the_board(model: str, astronaut: Image, tmp_path: Path) -> None:
    folder, out = tmp_path / "photographs", tmp_path / "out.csv"
    folder.mkdir()
    assert cv2.imwrite(str(folder / "astronaut.png"), astronaut)
    assert (
        main(["predict", str(MODELS / model), str(folder), "--out", str(out), "--columns", "file,label", "--affect"])
        == 0
    )
    header, (name, label, valence, arousal) = table(out)
    assert header == ["file", "label", "valence", "arousal"]
    assert (name, label) == ("astronaut.png", "happy")
    assert float(valence) > 0.3
    assert -1 <= float(arousal) <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--head", "fer9"], "no head 'fer9' \\(it has .*fer7"),
        (["--sample", "sample.csv"], "which column names the image"),
        (["--sample", "missing.csv"], "1 of 1 images of the submission are not there, the first: 999.png"),
        (["--sample", "sample.csv", "--columns", "a,z"], "no column z \\(found: a, b, c\\)"),
    ],
)
def test_refusals(
    run: Path, images: Path, tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("sample.csv").write_text("a,b,c\n1,2,3\n")
    Path("missing.csv").write_text("id,label\n999.png,happy\n")
    assert main(["predict", str(run), str(images), "--out", "out.csv", *arguments]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not Path("out.csv").exists()


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmotionEdgeError, match="no image in it"):
        read_submission(None, None, None, False).files(tmp_path, [])
