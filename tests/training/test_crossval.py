"""Cross-validation by people, resuming interrupted folds, and the table of runs."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from edge.errors import EmotionEdgeError
from edge.labels import LABEL_SETS
from tests.support.fer2013_files import TINY, pattern
from training.datasets.dataset import SPLITS, Dataset, one_hot

pytest.importorskip("keras", reason="the training extra is not installed")

import keras

from training import crossval
from training.cli import main
from training.config import TrainingConfig, write_config
from training.crossval import cross_validate, folds_of
from training.evaluation.figures import load_network, predict
from training.history import write_history

CONFIG = TrainingConfig.model_validate({**TINY, "heads": {"fer7": 1.0}, "epochs": 6, "batch_size": 14})


def faces(count: int = 84, people: int | None = 6) -> Dataset:
    """Images of patterns in seven classes of equal size; every person has all classes."""
    generator = np.random.default_rng(3)
    judged = np.arange(count) % 7
    who = None if people is None else np.arange(count) // 7 % people
    images = np.stack([pattern(int(label), generator) for label in judged])
    labels = {"fer7": one_hot(LABEL_SETS["fer7"], judged)}
    return Dataset("patterns", images, labels, None, False, np.zeros(count, np.int64), np.arange(count), who)


def test_folds_hold_each_face_once_and_people_together() -> None:
    data = faces()
    for folds in (3, None):
        cuts = folds_of(data, "fer7", folds, 0)
        assert len(cuts) == (folds or 6)
        assert sorted(np.concatenate(list(cuts.values())).tolist()) == list(range(84))
        assert data.people is not None
        who = [set(data.people[rows].tolist()) for rows in cuts.values()]
        assert sum(map(len, who)) == 6
    alone = folds_of(faces(people=None), "fer7", 4, 0)
    counts = [np.bincount(np.arange(84)[rows] % 7, minlength=7) for rows in alone.values()]
    assert {int(count) for row in counts for count in row} == {3}


@pytest.mark.parametrize(
    ("people", "folds", "message"),
    [
        (None, None, "0 people are known, and leaving one out takes 3 or more"),
        (2, None, "2 people are known"),
        (2, 3, "there are only 2 people"),
        (None, 13, "must be 2 to 12, the faces of the smallest class"),
    ],
)
def test_too_few_are_refused(people: int | None, folds: int | None, message: str) -> None:
    with pytest.raises(EmotionEdgeError, match=message):
        folds_of(faces(people=people), "fer7", folds, 0)


def untrained(config: TrainingConfig, run: Path) -> Path:
    """Write a run of one epoch with random weights, in place of training; weights differ between folds."""
    keras.utils.set_random_seed(int(run.name[-1]))
    image = keras.Input((48, 48, 1))
    outputs = {"fer7": keras.layers.Dense(7, name="fer7")(keras.layers.Flatten()(image))}
    run.mkdir(parents=True)
    write_config(config, run / "config.yaml")
    write_history(run, 0, {"public": 0.1 * int(run.name[-1]), "seconds": 1.0})
    keras.Model(image, outputs).save(run / "network.keras")
    return run / "network.keras"


def test_every_face_is_judged_by_strangers_and_a_stopped_evaluation_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Training is replaced by random networks, as only the folds are tested."""
    data = faces(people=3)
    fitted: list[str] = []

    def watched(config: TrainingConfig, cut: Dataset, run: Path) -> Path:
        assert cut.people is not None
        held_out = set(cut.people[cut.split == SPLITS.index("PrivateTest")].tolist())
        assert len(held_out) == 1
        assert not held_out & set(cut.people[cut.split != SPLITS.index("PrivateTest")].tolist())
        assert (cut.split == SPLITS.index("PublicTest")).any()
        fitted.append(run.name)
        if len(fitted) == 2:
            raise KeyboardInterrupt
        return untrained(config, run)

    monkeypatch.setattr(crossval, "fit", watched)
    out = tmp_path / "runs" / "tiny"
    with pytest.raises(KeyboardInterrupt):
        cross_validate(CONFIG, data, out, None)
    result = cross_validate(CONFIG, data, out, None)
    assert fitted == ["person-0", "person-1", "person-1", "person-2"]
    assert [fold.faces for fold in result.folds] == [28, 28, 28]
    with (out / "crossval.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = LABEL_SETS["fer7"]
    for number in range(3):
        judged = data.take(np.asarray(data.people) == number)
        classes = predict(load_network(out / f"person-{number}"), judged.pixels)["fer7"].argmax(axis=1)
        mine = [row for row in rows if row["fold"] == f"person-{number}"]
        assert [row["predicted"] for row in mine] == [names[one] for one in classes]
        assert {row["person"] for row in mine} == {str(number)}
    right = sum(row["label"] == row["predicted"] for row in rows)
    assert right == int(np.trace(result.matrix)) == sum(fold.right for fold in result.folds)
    assert result.matrix.sum() == len(rows) == 84
    text = result.text()
    assert f"all faces together: {right} right of 84" in text
    assert "over the 3 people" in text
    assert json.loads((out / "crossval.json").read_text())["accuracy"] == round(right / 84, 4)

    moved = replace(data, people=np.roll(np.asarray(data.people), 1))
    with pytest.raises(EmotionEdgeError, match="was cut from other faces"):
        cross_validate(CONFIG, moved, out, None)

    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert main(["runs", "--csv", "table.csv"]) == 0
    assert capsys.readouterr().out.count("\n") == 5
    with Path("table.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["PublicTest"] for row in table] == ["20.00%", "10.00%", "0.00%"]
    assert table[0]["epochs"] == "1 of 6"


def test_runs_show_the_settings_in_which_they_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    histories = {"one": ("0.70", "1.0"), "two": ("0.60", "0.8"), "new": ()}
    for name, figures in histories.items():
        run = tmp_path / "runs" / name
        run.mkdir(parents=True)
        augment = {"erase": 0.5} if name == "two" else {}
        (run / "config.yaml").write_text(yaml.safe_dump({"name": name, "epochs": 9, "augment": augment, "mixup": 0.2}))
        if figures:
            public, loss = figures
            (run / "history.csv").write_text(f"epoch,public,public_loss,seconds\n1,0.1,2.0,30\n2,{public},{loss},30\n")
    assert main(["runs"]) == 0
    header, rule, *rows = capsys.readouterr().out.splitlines()
    assert "augment.erase" in header
    assert "mixup" not in header
    assert rule.startswith("|--")
    assert [row.split("|")[1].strip() for row in rows] == ["runs/one", "runs/two", "runs/new"]
    assert "70.00%" in rows[0]
    assert "2 of 9" in rows[0]
    assert main(["runs", "nowhere"]) == 2
    assert "nowhere: not there; give runs" in capsys.readouterr().err
