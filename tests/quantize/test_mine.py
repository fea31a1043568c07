"""`emotion-quantize mine`: from some dozens of photographs to a model no worse than the released one."""

import csv
import re
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("keras", reason="the training extra is not installed")

from edge.emotion.local import LocalClassifier
from edge.labels import own_label
from edge.models.card import EmotionCard, read_card
from edge.models.runtime import choose
from quantize.cli import main
from tests.conftest import ROOT

CLASSES = {3: "happy", 6: "neutral", 4: "sad", 5: "surprise"}
Faces = dict[str, npt.NDArray[np.uint8]]


@pytest.fixture(scope="module")
def faces(fer2013_dir: Path) -> Faces:
    """Faces of PublicTest, on which no released network was trained, of four classes: uint8 [100, 48, 48] each."""
    found: dict[str, list[npt.NDArray[np.uint8]]] = {name: [] for name in CLASSES.values()}
    with (fer2013_dir / "fer2013.csv").open() as file:
        for row in csv.DictReader(file):
            name = CLASSES.get(int(row["emotion"]))
            if row["Usage"] == "PublicTest" and name and len(found[name]) < 100:
                found[name].append(np.array(row["pixels"].split(), np.uint8).reshape(48, 48))
    return {name: np.stack(images) for name, images in found.items()}


def right(model: Path, faces: Faces, skip: int) -> float:
    """Accuracy of a model among the four classes, on all but the first `skip` faces of each class."""
    classifier = LocalClassifier(model, choose("auto"))
    columns = [classifier.labels.index(name) for name in faces]
    hits = []
    for place, images in enumerate(faces.values()):
        scores = classifier.classify(images[skip:, :, :, None])
        hits.append(scores.probabilities[:, columns].argmax(axis=1) == place)
    return float(np.mean(np.concatenate(hits)))


def test_forty_photographs_make_a_model_that_is_no_worse(
    faces: Faces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, images in faces.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number, image in enumerate(images[:10]):
            cv2.imwrite(str(tmp_path / "photos" / name / f"{number}.png"), image)
    monkeypatch.chdir(tmp_path)
    assert main(["mine", "photos", "--out", "models/mine"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"30 faces to learn from, 10 to judge by", printed)
    assert "10 faces are too few to judge a network by" in printed
    assert "run it:  emotion-edge run --emotion.model models/mine" in printed
    released = right(ROOT / "models" / "emotion-small", faces, 10)
    assert right(tmp_path / "models" / "mine", faces, 10) >= released - 0.01


def test_too_few_photographs_of_a_class_are_named(
    faces: Faces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, count in (("happy", 12), ("sad", 4)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number, image in enumerate(faces[name][:count]):
            cv2.imwrite(str(tmp_path / "photos" / name / f"{number}.png"), image)
    monkeypatch.chdir(tmp_path)
    assert main(["mine", "photos", "--out", "models/mine"]) == 2
    assert "too few faces to learn from: sad (3)" in capsys.readouterr().err
    assert not (tmp_path / "models" / "mine").exists()


def test_classes_of_ones_own_go_from_folders_to_a_model(
    faces: Faces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"happy": "Very Engaged", "sad": "bored", "surprise": "wink"}
    for emotion, name in names.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number, image in enumerate(faces[emotion][:12]):
            cv2.imwrite(str(tmp_path / "photos" / name / f"{number}.png"), image)
    monkeypatch.chdir(tmp_path)
    assert main(["mine", "photos", "--out", "models/mine"]) == 2
    assert "no known emotion: Very Engaged, bored, wink" in capsys.readouterr().err
    assert main(["mine", "photos", "--label-set", "own", "--out", "models/mine"]) == 0
    card = read_card(EmotionCard, tmp_path / "models" / "mine")
    assert card.primary.labels == ("bored", "very_engaged", "wink")
    here = {own_label(name): faces[emotion] for emotion, name in names.items()}
    # Chance level is a third; nine faces of each class suffice with the features of the released network.
    assert right(tmp_path / "models" / "mine", {str(name): images for name, images in here.items()}, 12) > 0.6
