"""FER-2013 (`fer2013.csv`) and its FER+ votes (`fer2013new.csv`, where it lies beside it)."""

import csv
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError
from edge.labels import LABEL_SETS
from training.datasets.dataset import SPLITS, Dataset

SIDE = 48
FACES_FILE = "fer2013.csv"
VOTES_FILE = "fer2013new.csv"
# In the order of ferplus8, then the two that are no emotion.
VOTE_COLUMNS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")
# Rows (from 0) whose pixels are not those the voters saw.
ROWS_WITHOUT_VOTES = (5274, 33200)

_log = logging.getLogger(__name__)


def read_fer2013(path: Path) -> Dataset:
    """Every face of FER-2013, in file order.

    path: fer2013.csv or the folder that holds it. Votes come from fer2013new.csv in the same folder; without that file
    `votes` and `majority` are None. Raises EmotionEdgeError, with the line, for a file that is not FER-2013's.
    """
    faces = path if path.suffix == ".csv" else path / FACES_FILE
    images, labels, split = _read_faces(faces)
    counts = _read_votes(faces.with_name(VOTES_FILE), split) if faces.with_name(VOTES_FILE).exists() else None
    if counts is None:
        _log.warning("%s: not there, so there are no FER+ votes", faces.with_name(VOTES_FILE))
        votes = majority = None
    else:
        votes, majority = ferplus_targets(counts)
        rows = [row for row in ROWS_WITHOUT_VOTES if row < len(labels)]
        votes[rows], majority[rows] = 0.0, -1
    return Dataset(images, labels, votes, majority, split, np.arange(len(labels)))


def ferplus_targets(counts: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """FER+ votes to a distribution [n, 8] and a majority label [n], after Barsoum et al. 2016.

    counts: votes [n, 10] in the order of VOTE_COLUMNS. A class with a single vote is dropped as an outlier; what is
    left for `unknown` and `NF` is then dropped too, and the rest divided by its sum (a row of zeros where nothing is
    left). The majority label is the emotion with more than half of the votes left after the first step, else -1.
    """
    kept = np.where(counts > 1, counts, 0)
    emotions = kept[:, : len(LABEL_SETS["ferplus8"])]
    total = emotions.sum(axis=1, keepdims=True)
    votes = (emotions / np.maximum(total, 1)).astype(np.float32)
    decided = 2 * emotions.max(axis=1) > kept.sum(axis=1)
    return votes, np.where(decided, emotions.argmax(axis=1), -1)


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    """Line number (from 1, the header) and the wanted columns of each row."""
    if not path.is_file():
        raise EmotionEdgeError(f"{path}: not there; give the folder that holds {FACES_FILE}")
    with path.open(newline="") as file:
        reader = csv.reader(file)
        header = [name.strip() for name in next(reader, [])]
        missing = [name for name in columns if name not in header]
        if missing:
            raise EmotionEdgeError(
                f"{path}: no column {', '.join(missing)} (found: {', '.join(header) or 'an empty file'})"
            )
        wanted = [header.index(name) for name in columns]
        for row in reader:
            if len(row) < len(header):
                raise EmotionEdgeError(f"{path}, line {reader.line_num}: {len(row)} columns instead of {len(header)}")
            yield reader.line_num, [row[column] for column in wanted]


def _split_index(path: Path, line: int, usage: str) -> int:
    if usage not in SPLITS:
        raise EmotionEdgeError(f"{path}, line {line}: Usage {usage!r} is none of {', '.join(SPLITS)}")
    return SPLITS.index(usage)


def _read_faces(path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    images, labels, split = [], [], []
    for line, (label, pixels, usage) in _rows(path, ("emotion", "pixels", "Usage")):
        if not label.isdecimal() or int(label) >= len(LABEL_SETS["fer7"]):
            raise EmotionEdgeError(f"{path}, line {line}: emotion {label!r} is no number from 0 to 6")
        try:
            values = np.array(pixels.split(), dtype=np.int32)
        except (ValueError, OverflowError):
            values = np.array([-1])
        if values.size and not 0 <= values.min() <= values.max() <= 255:
            raise EmotionEdgeError(f"{path}, line {line}: a pixel is no number from 0 to 255")
        if values.size != SIDE * SIDE:
            raise EmotionEdgeError(f"{path}, line {line}: {values.size} pixels instead of {SIDE * SIDE}")
        images.append(values.astype(np.uint8))
        labels.append(int(label))
        split.append(_split_index(path, line, usage))
    if not images:
        raise EmotionEdgeError(f"{path}: no rows after the header")
    return np.stack(images).reshape(-1, SIDE, SIDE), np.array(labels, np.int64), np.array(split, np.int64)


def _read_votes(path: Path, split: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    counts: list[list[int]] = []
    for line, (usage, *votes) in _rows(path, ("Usage", *VOTE_COLUMNS)):
        if not all(vote.isdecimal() for vote in votes):
            raise EmotionEdgeError(f"{path}, line {line}: a vote is no whole number")
        row = len(counts)
        if row >= len(split) or split[row] != _split_index(path, line, usage):
            raise EmotionEdgeError(f"{path}, line {line}: not the same rows as {FACES_FILE}, from here on")
        counts.append([int(vote) for vote in votes])
    if len(counts) != len(split):
        raise EmotionEdgeError(f"{path}: {len(counts)} rows, but {FACES_FILE} has {len(split)}")
    return np.array(counts, np.int64)
