"""How far two labellings of the same faces agree, and voters among themselves."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.datasets.dataset import Dataset, Labels
from training.datasets.fer2013 import VOTE_COLUMNS, VOTES_FILE


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two label sets on the faces that have a class under both: how many those are, and how many have the same class,
    by its name, in both. table: int64 [classes of the first, classes of the second], counts."""

    both: int
    equal: int
    table: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class VoteAgreement:
    """Raw FER+ votes against FER's labels, parts of 1.

    most: of all rows, those where the choice with the most votes, of all ten, is the label (the first of them in a
    tie). rows: how many have more than 5 votes for one of FER's classes. clear: of those, where that class is the
    label.
    """

    most: float
    rows: int
    clear: float


def agreement(first: Labels, second: Labels) -> Agreement:
    """Count how often two label sets give the same face the same class."""
    both = (first.judged >= 0) & (second.judged >= 0)
    table = np.zeros((len(first.names), len(second.names)), np.int64)
    np.add.at(table, (first.judged[both], second.judged[both]), 1)
    equal = sum(
        int(table[row, second.names.index(name)]) for row, name in enumerate(first.names) if name in second.names
    )
    return Agreement(int(both.sum()), equal, table)


def entropy(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Of each row [n, classes], in bits: 0 where all votes are for one class."""
    logs = np.log2(probabilities, where=probabilities > 0, out=np.zeros(probabilities.shape))
    return np.asarray(np.abs((probabilities * logs).sum(axis=1)))


def vote_agreement(data: Dataset, source: Path | None) -> VoteAgreement | None:
    """Compare the votes beside FER-2013's file with its labels; None where there are no such votes or labels."""
    if source is None or "fer7" not in data.labels or "ferplus8" not in data.labels:
        return None
    path = (source if source.is_dir() else source.parent) / VOTES_FILE
    if not path.is_file():
        return None
    with path.open(newline="") as file:
        votes = np.array([[int(row[name]) for name in VOTE_COLUMNS] for row in csv.DictReader(file)], np.int64)
    if len(votes) <= data.rows.max():
        return None
    votes = votes[data.rows]
    fer, names = data.labels["fer7"], data.labels["ferplus8"].names
    same = np.array([names.index(name) for name in fer.names])[fer.judged]
    shared = votes[:, [names.index(name) for name in fer.names]]
    clear = shared.max(axis=1) > 5
    return VoteAgreement(
        float(np.mean(votes.argmax(axis=1) == same)),
        int(clear.sum()),
        float(np.mean((shared.argmax(axis=1) == fer.judged)[clear])) if clear.any() else 0.0,
    )
