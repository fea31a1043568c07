"""`emotion-train crossval`: k-fold cross-validation of one network on a data set.

For small data sets, whose single split says little: k folds, stratified by class and with a person's faces in one fold,
or a fold for each person (leave one subject out). Every fold is a run of its own, and an interrupted one is resumed.
"""

import csv
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError
from training.config import TrainingConfig
from training.datasets.dataset import FINAL, SPLITS, Dataset
from training.datasets.pixels import in_memory_or_on_disk
from training.datasets.splits import complete, groups_of
from training.evaluation.figures import load_network, predict
from training.evaluation.metrics import (
    Counts,
    Interval,
    bootstrap_rows,
    confusion,
    macro_f1,
    matrix_accuracy,
    recall,
    wilson,
)
from training.fit import fit

FOLDS: Final = 5
RESULT_FILE: Final = "crossval.json"
PREDICTIONS_FILE: Final = "crossval.csv"
FINISHED_FILE: Final = "judged.npz"
"""File in the folder of a finished fold, with the rows evaluated and their predicted classes."""

Indices = npt.NDArray[np.int64]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fold:
    """Result of one fold. name: name of the run. right: number of right predictions among `faces` evaluated ones."""

    name: str
    faces: int
    right: int


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """Figures over all folds; every face was evaluated by a network that was not trained on it.

    names: the classes. matrix: counts [true, predicted] of all folds together. interval: 95% interval of the accuracy:
    by bootstrap over people if they are known, since faces of one person are similar, else Wilson's.
    """

    folds: tuple[Fold, ...]
    names: tuple[str, ...]
    matrix: Counts
    interval: Interval
    people: int | None

    def text(self) -> str:
        """A table with a row for each fold, and the figures of all together."""
        shares = np.array([fold.right / fold.faces for fold in self.folds])
        spread = f", standard deviation {100 * shares.std(ddof=1):.2f} points" if len(shares) > 1 else ""
        low, high = self.interval
        over = "over the faces" if self.people is None else f"over the {self.people} people"
        rows = [f"| {fold.name} | {fold.faces} | {fold.right / fold.faces:.2%} |" for fold in self.folds]
        lines = [
            "| fold | faces | accuracy |",
            "|---|---:|---:|",
            *rows,
            "",
            f"mean of {len(shares)} folds {shares.mean():.2%}{spread}",
            f"all faces together: {int(np.trace(self.matrix)):,} right of {int(self.matrix.sum()):,}, "
            f"{float(matrix_accuracy(self.matrix)):.2%} (95% interval {low:.1%} to {high:.1%}, {over}), "
            f"macro-F1 {float(macro_f1(self.matrix)):.2%}",
            "recall: "
            + ", ".join(f"{name} {part:.1%}" for name, part in zip(self.names, recall(self.matrix), strict=True)),
        ]
        return "\n".join(lines)


def folds_of(data: Dataset, label_set: str, folds: int | None, seed: int) -> dict[str, Indices]:
    """Divide the faces into folds: row numbers of the faces to evaluate, by name of the fold.

    Args:
        data: The data set; its own splits are ignored.
        label_set: Label set by whose classes the folds are stratified; faces without a label of it are in no fold.
        folds: Number of folds; None: one for each person.
        seed: Seed of the cut.

    Raises:
        EmotionEdgeError: There are too few faces or people.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    labels = data.labels[label_set].judged
    rows = np.flatnonzero(labels >= 0)
    people = None if data.people is None else data.people[rows]
    if folds is None:
        known = [] if people is None else np.unique(people[people >= 0]).tolist()
        if len(known) < 3:
            raise EmotionEdgeError(
                f"data set {data.name}: {len(known)} people are known, and leaving one out takes 3 or more; say who is "
                "who in a column `person` of a CSV file"
            )
        assert people is not None
        return {f"person-{one}": rows[people == one] for one in known}
    counts = np.bincount(labels[rows])
    least = int(counts[counts > 0].min())
    if not 2 <= folds <= least:
        raise EmotionEdgeError(f"--folds {folds}: must be 2 to {least}, the faces of the smallest class")
    if people is None or not (people >= 0).any():
        splitter: Any = StratifiedKFold(folds, shuffle=True, random_state=seed)
        cuts = splitter.split(rows, labels[rows])
    else:
        groups = groups_of(people)
        if len(np.unique(groups)) < folds:
            raise EmotionEdgeError(f"--folds {folds}: there are only {len(np.unique(groups))} people")
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        cuts = splitter.split(rows, labels[rows], groups)
    return {f"fold-{number}": rows[judged] for number, (_, judged) in enumerate(cuts, 1)}


def cross_validate(config: TrainingConfig, data: Dataset, out: Path, folds: int | None) -> CrossValidation:
    """Train and judge a network for each fold, and write the figures and every face's prediction.

    In each fold a tenth of the other faces, of different people if known, selects the epoch.

    Args:
        config: Settings of each run; its first emotion head is judged.
        data: The data set; its own splits are ignored.
        out: Folder of the runs, of crossval.json (figures) and crossval.csv (predictions).
        folds: Number of folds; None: one for each person.

    Raises:
        EmotionEdgeError: There are too few faces or people, or a run cannot be trained.
    """
    head = config.primary
    if head not in data.labels:
        raise EmotionEdgeError(
            f"head {head!r}: data set {data.name} has no such labels (it has {', '.join(data.labels)})"
        )
    labels = data.labels[head]
    found: list[Fold] = []
    predicted, fold_of = np.full(len(data), -1, np.int64), np.full(len(data), -1, np.int64)
    cuts = folds_of(data, head, folds, config.seed)
    for number, (name, judged) in enumerate(cuts.items()):
        _log.info("%s: fold %d of %d, %d faces to judge", name, number + 1, len(cuts), len(judged))
        rows, classes = _fold(config.model_copy(update={"name": f"{config.name}-{name}"}), data, out / name, judged)
        keras.utils.clear_session()
        predicted[rows], fold_of[rows] = classes, number
        found.append(Fold(name, len(rows), int((classes == labels.judged[rows]).sum())))
    known = np.flatnonzero(predicted >= 0)
    right = (predicted[known] == labels.judged[known]).astype(float)
    people = None if data.people is None or (data.people[known] < 0).any() else data.people[known]
    result = CrossValidation(
        tuple(found),
        labels.names,
        confusion(predicted[known], labels.judged[known], len(labels.names)),
        wilson(int(right.sum()), len(right)) if people is None else _over_people(right, people),
        None if people is None else len(np.unique(people)),
    )
    _write(out, data, result, predicted, fold_of, labels.judged, list(cuts))
    return result


def _fold(config: TrainingConfig, data: Dataset, run: Path, judged: Indices) -> tuple[Indices, Indices]:
    """Train a fold and predict its held-out faces; returns the readable rows and their predicted classes."""
    finished = run / FINISHED_FILE
    split = np.full(len(data), SPLITS.index("Training"), np.int64)
    split[judged] = SPLITS.index(FINAL)
    classes = data.labels[config.primary].judged
    cut = replace(data, split=complete(split, classes, data.people, config.seed))
    if not finished.is_file():
        fit(config, cut, run)
        part = replace(cut, rows=np.arange(len(cut))).part(FINAL)
        part = in_memory_or_on_disk(part.take(part.labels[config.primary].judged >= 0), *config.input.shape, run)
        assert not isinstance(part.images, tuple)
        outputs = predict(load_network(run), part.images)
        partial = run / f"partial-{FINISHED_FILE}"
        np.savez(partial, rows=part.rows, classes=outputs[config.primary].argmax(axis=1), judged=judged)
        partial.replace(finished)
    with np.load(finished) as arrays:
        if not np.array_equal(arrays["judged"], judged):
            raise EmotionEdgeError(f"{run}: was cut from other faces; remove it or change `name`")
        return arrays["rows"], arrays["classes"]


def _over_people(right: npt.NDArray[np.float64], people: Indices) -> Interval:
    """The 95% interval of the mean of `right` over faces, by bootstrap over the people."""
    sums = np.array([(right[people == one].sum(), (people == one).sum()) for one in np.unique(people)])
    return bootstrap_rows(lambda hits, faces: float(hits.sum() / faces.sum()), sums[:, 0], sums[:, 1])


def _write(
    out: Path,
    data: Dataset,
    result: CrossValidation,
    predicted: Indices,
    fold_of: Indices,
    true: Indices,
    folds: list[str],
) -> None:
    figures: Mapping[str, Any] = {
        "data_set": data.name,
        "folds": [{"name": fold.name, "faces": fold.faces, "right": fold.right} for fold in result.folds],
        "accuracy": round(float(matrix_accuracy(result.matrix)), 4),
        "interval": [round(end, 4) for end in result.interval],
        "people": result.people,
        "macro_f1": round(float(macro_f1(result.matrix)), 4),
        "labels": list(result.names),
        "confusion": result.matrix.tolist(),
    }
    (out / RESULT_FILE).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    with (out / PREDICTIONS_FILE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("face", "person", "fold", "label", "predicted"))
        for row in np.flatnonzero(predicted >= 0):
            name = data.images[row].as_posix() if isinstance(data.images, tuple) else f"row {data.rows[row]}"
            person = "" if data.people is None or data.people[row] < 0 else int(data.people[row])
            writer.writerow((name, person, folds[fold_of[row]], result.names[true[row]], result.names[predicted[row]]))
