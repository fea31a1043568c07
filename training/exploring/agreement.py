"""Agreement between two label sets on the same faces, and between annotators."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.datasets.dataset import Dataset, Labels
from training.datasets.fer2013 import VOTE_COLUMNS, VOTES_FILE


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of two label sets, over the faces that have a class under both.

    faces: number of such faces. same: number with the same class name under both. table: counts, int64 [classes of the
    first, classes of the second].
    """

    both: int
    equal: int
    table: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class VoteAgreement:
    """Agreement of raw FER+ votes with the labels of FER-2013, as shares from 0 to 1.

    most: share of all rows whose label got the most votes of the ten choices (the first in a tie). rows: number of rows
    with more than 5 votes for one class of FER-2013. clear: share of `rows` where that class is the label.
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
    """Entropy of each row of [n, classes], in bits; 0 if all votes are for one class."""
    logs = np.log2(probabilities, where=probabilities > 0, out=np.zeros(probabilities.shape))
    return np.asarray(np.abs((probabilities * logs).sum(axis=1)))


def vote_agreement(data: Dataset, source: Path | None) -> VoteAgreement | None:
    """Compare the FER+ votes with the labels of FER-2013; None if either is missing."""
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
