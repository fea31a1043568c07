"""`emotion-train conditions`: the measurement on distant, dim and rolled faces."""

import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from edge.config import Settings
from edge.errors import EmotionEdgeError
from edge.reading import Image
from tests.support.moving import heads
from training.cli import main
from training.evaluation.conditions import Faces, draw_rows, measure, plot, read_json, read_zip, table
from training.synthetic.conditions import CONDITIONS, Condition, compose


@pytest.fixture(scope="module")
def chips() -> list[Image]:
    """Face crops, as in data sets, of the two women of the clip."""
    return [
        np.asarray(cv2.resize(head.image[round(0.14 * len(head.image)) : round(0.86 * len(head.image))], (128, 128)))
        for head in heads()
    ]


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.name)
def test_a_frame_is_the_same_for_the_same_seed_and_as_the_condition_says(
    chips: list[Image], condition: Condition
) -> None:
    one, box = compose(chips[0], condition, np.random.default_rng(3))
    two, _ = compose(chips[0], condition, np.random.default_rng(3))
    assert np.array_equal(one, two)
    assert one.shape == (condition.size[1], condition.size[0], 3)
    assert box.width == pytest.approx(1.2 * condition.width)
    assert box.x + box.width / 2 == condition.size[0] / 2
    clean, _ = compose(chips[0], replace(condition, gain=1, noise=0), np.random.default_rng(3))
    assert one.mean() == pytest.approx(clean.mean() * condition.gain, rel=0.1, abs=3)


def test_rolled_faces_turn_clockwise() -> None:
    white = np.zeros((120, 120, 3), np.uint8)
    white[:60] = 255  # the upper half
    image, box = compose(white, Condition("", roll=45), np.random.default_rng(0))
    x, y, away = 320, 240, round(0.3 * box.width)
    assert image[y - away, x + away].min() > 250
    assert image[y + away, x - away].max() < 5


def test_the_figures_count_faces_that_were_not_found_as_wrong(chips: list[Image]) -> None:
    blank = np.full((128, 128, 3), 90, np.uint8)
    conditions = (CONDITIONS[0], Condition("tiny", width=8))
    faces = Faces("three", [*chips, blank], ["happy", "happy", "happy"])
    clean, tiny = measure(faces, Settings(), conditions)
    assert clean.found == clean.same == pytest.approx(2 / 3)
    assert clean.right in (pytest.approx(1 / 3), pytest.approx(2 / 3))  # at least one of them smiles
    assert (tiny.found, tiny.right) == (0, 0)
    assert clean.intervals["found"][0] < 2 / 3 < clean.intervals["found"][1]
    lines = list(table([clean, tiny]))
    assert len({line.count("|") for line in lines}) == 1
    assert plot([clean, tiny], [clean, tiny]).axes


def test_classes_are_drawn_as_evenly_as_they_can_be() -> None:
    labels = [*["happy"] * 50, *["fear"] * 3, None, *["sad"] * 20]
    drawn = [labels[row] for row in draw_rows(labels, 23, 1)]
    assert {label: drawn.count(label) for label in ("happy", "fear", "sad")} == {"happy": 10, "fear": 3, "sad": 10}
    assert len(draw_rows(labels, 500, 1)) == 73


def test_the_command_writes_figures_that_it_reads_again(
    tmp_path: Path, chips: list[Image], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("training.evaluation.conditions.measure.__defaults__", (CONDITIONS[:2], 0, lambda _: None))
    archive = tmp_path / "faces.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for number, chip in enumerate(chips):
            file.writestr(f"{number}.png", cv2.imencode(".png", chip)[1].tobytes())
        file.writestr("labels.csv", "file")
    out, picture = tmp_path / "out.json", tmp_path / "plot.svg"
    assert main(["conditions", str(archive), "--out", str(out), "--plot", str(picture), "--detector.score", "0.4"]) == 0
    assert "| 120 px, clean | 100.0% |" in capsys.readouterr().out
    assert json.loads(out.read_text())["detector"]["score"] == 0.4
    assert [row.condition for row in read_json(out)] == [condition.name for condition in CONDITIONS[:2]]
    svg = picture.read_text()
    assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    used, defined = set(re.findall(r"var\((--[\w-]+)\)", svg)), set(re.findall(r"(--[\w-]+):", svg))
    assert "--series-1" in used <= defined, "colours of a page that the file alone does not have"


def test_what_holds_no_faces_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.zip").write_text("text")
    with pytest.raises(EmotionEdgeError, match="zip archive"):
        read_zip(tmp_path / "no.zip", 5, 0)
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as file:
        file.writestr("labels.csv", "file")
    with pytest.raises(EmotionEdgeError, match="no JPEG or PNG"):
        read_zip(tmp_path / "empty.zip", 5, 0)
    with pytest.raises(EmotionEdgeError, match="no figures"):
        read_json(tmp_path / "no.zip")
