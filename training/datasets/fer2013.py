"""FER-2013 (`fer2013.csv`), with its FER+ votes if `fer2013new.csv` is in the same folder."""

import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError
from edge.labels import LABEL_SETS, circumplex_of
from training.datasets.dataset import SPLITS, Dataset, Labels, one_hot
from training.datasets.tables import header_of, is_csv, rows, tables_in

NAME = "FER-2013"
SIDE = 48
FACES_FILE = "fer2013.csv"
VOTES_FILE = "fer2013new.csv"
# In the order of ferplus8, then the two non-emotion columns.
VOTE_COLUMNS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")
VOTES = ("distribution", "majority", "multilabel")
ENOUGH = 0.3
"""Least share of the votes with which a class is a target in `multilabel`; from the program of Barsoum et al. 2016."""
# Rows (from 0) whose pixels differ from the images that the FER+ annotators voted on.
ROWS_WITHOUT_VOTES = (5274, 33200)
_COLUMNS = ("emotion", "pixels", "Usage")

_log = logging.getLogger(__name__)


def is_fer2013(path: Path) -> bool:
    """Return True for a CSV file with the columns of FER-2013, or a folder that directly contains one.

    A single file may lack the column Usage, so that the reader can say that it is missing.
    """
    if path.is_dir():
        return (path / FACES_FILE).is_file() or bool(tables_in(path, _has_faces))
    return is_csv(path) and {"emotion", "pixels"} <= {name.casefold() for name in header_of(path)}


def _has_faces(file: Path) -> bool:
    return {name.casefold() for name in _COLUMNS} <= {name.casefold() for name in header_of(file)}


def _faces_file(path: Path) -> Path:
    """Return a path to a file; in a folder find fer2013.csv, else the only CSV file with FER-2013's columns."""
    faces = path if is_csv(path) else path / FACES_FILE
    others = tables_in(path, _has_faces) if path.is_dir() and not faces.is_file() else []
    if len(others) > 1:
        names = ", ".join(file.name for file in others)
        raise EmotionEdgeError(f"{path}: not one CSV file of FER-2013, but {names}; name the one to read")
    if not others and not faces.is_file():
        raise EmotionEdgeError(f"{faces}: not there; give the folder that holds {FACES_FILE}")
    return others[0] if others else faces


def read_fer2013(path: Path, votes: str = "distribution") -> Dataset:
    """Read all faces of FER-2013, in file order, with the labels `fer7` and, if there are votes, `ferplus8`.

    Votes come from fer2013new.csv in the same folder; without it there is neither `ferplus8` nor affect. Valence and
    arousal are the mean place of the votes on the circumplex. Whatever `votes` is, evaluation uses the majority class.

    Args:
        path: fer2013.csv, or the folder that holds it under this or another name (icml_face_data.csv).
        votes: Training target, one of VOTES (Barsoum et al. 2016). `distribution`: shares of the votes. `majority`: the
            majority class, zeros if there is none. `multilabel`: equal shares of all classes with enough votes (see
            `multilabel_targets`); the paper accepts a prediction of any of them as right.

    Raises:
        EmotionEdgeError: The file is not FER-2013's (with the line), or `votes` is unknown.
    """
    if votes not in VOTES:
        raise EmotionEdgeError(f"votes {votes!r}: not known (known: {', '.join(VOTES)})")
    faces = _faces_file(path)
    images, judged, split = _read_faces(faces)
    labels = {"fer7": one_hot(LABEL_SETS["fer7"], judged)}
    affect = None
    if faces.with_name(VOTES_FILE).exists():
        counts = _read_votes(faces.with_name(VOTES_FILE), split)
        labels["ferplus8"], affect = labels_of_votes(counts, np.arange(len(judged)), votes)
    else:
        _log.warning("%s: not there, so there are no FER+ votes", faces.with_name(VOTES_FILE))
    return Dataset(NAME, images, labels, affect, affect is not None, split, np.arange(len(judged)))


def labels_of_votes(
    counts: npt.NDArray[np.int64], rows_in_fer2013: npt.NDArray[np.int64], votes: str
) -> tuple[Labels, npt.NDArray[np.float32]]:
    """Convert FER+ votes to labels and to valence and arousal.

    Args:
        counts: Votes [n, 10] in the order of VOTE_COLUMNS.
        rows_in_fer2013: Row of each face in FER-2013, from 0; rows whose votes belong to other pixels get no label.
        votes: One of VOTES.

    Returns:
        Labels of the set `ferplus8`; valence and arousal, float32 [n, 2], a row of NaN if unknown.
    """
    names = LABEL_SETS["ferplus8"]
    distribution, majority = ferplus_targets(counts)
    several = multilabel_targets(counts)
    unseen = np.isin(rows_in_fer2013, ROWS_WITHOUT_VOTES)
    distribution[unseen], majority[unseen], several[unseen] = 0.0, -1, 0.0
    labels = {
        "distribution": Labels(names, distribution, majority),
        "majority": one_hot(names, majority),
        "multilabel": Labels(names, several, majority),
    }[votes]
    affect = np.asarray(distribution @ circumplex_of(names), np.float32)
    affect[~distribution.any(axis=1)] = np.nan
    return labels, affect


def ferplus_targets(counts: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Convert FER+ votes to class distributions [n, 8] and majority labels [n], after Barsoum et al. 2016.

    Classes with a single vote are dropped as outliers. Then the votes for `unknown` and `NF` are dropped, and the rest
    is normalised (a row of zeros if nothing is left). The majority label is the emotion with more than half of the
    votes left after the first step, else -1.

    Args:
        counts: Votes [n, 10] in the order of VOTE_COLUMNS.
    """
    kept = np.where(counts > 1, counts, 0)
    emotions = kept[:, : len(LABEL_SETS["ferplus8"])]
    total = emotions.sum(axis=1, keepdims=True)
    votes = (emotions / np.maximum(total, 1)).astype(np.float32)
    decided = 2 * emotions.max(axis=1) > kept.sum(axis=1)
    return votes, np.where(decided, emotions.argmax(axis=1), -1)


def multilabel_targets(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Convert FER+ votes to equal shares [n, 8] of every class with enough votes, after Barsoum et al. 2016.

    Single votes are dropped, as in `ferplus_targets`. Each class with at least the share ENOUGH of the remaining votes
    is a target. A row is zeros if these classes together hold at most half of the votes, or if `unknown` or `NF` has
    the most.

    Args:
        counts: Votes [n, 10] in the order of VOTE_COLUMNS.
    """
    kept = np.where(counts > 1, counts, 0)
    emotions = len(LABEL_SETS["ferplus8"])
    total = kept.sum(axis=1, keepdims=True)
    enough = (kept >= ENOUGH * total) & (kept > 0)
    clear = 2 * np.where(enough, kept, 0).sum(axis=1, keepdims=True) > total
    clear &= kept.argmax(axis=1, keepdims=True) < emotions
    shares = np.asarray((enough & clear)[:, :emotions], np.float32)
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1)
    return shares


def _split_index(path: Path, line: int, usage: str) -> int:
    if usage not in SPLITS:
        raise EmotionEdgeError(f"{path}, line {line}: Usage {usage!r} is none of {', '.join(SPLITS)}")
    return SPLITS.index(usage)


def _read_faces(path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    images, labels, split = [], [], []
    for line, (label, pixels, usage) in rows(path, _COLUMNS):
        if not label.isdecimal() or int(label) >= len(LABEL_SETS["fer7"]):
            raise EmotionEdgeError(f"{path}, line {line}: emotion {label!r} is no number from 0 to 6")
        values = _pixels(pixels)
        if values is None:
            raise EmotionEdgeError(f"{path}, line {line}: a pixel is no number from 0 to 255")
        if values.size != SIDE * SIDE:
            raise EmotionEdgeError(f"{path}, line {line}: {values.size} pixels instead of {SIDE * SIDE}")
        images.append(values)
        labels.append(int(label))
        split.append(_split_index(path, line, usage))
    if not images:
        raise EmotionEdgeError(f"{path}: no rows after the header")
    return np.stack(images).reshape(-1, SIDE, SIDE), np.array(labels, np.int64), np.array(split, np.int64)


def _pixels(text: str) -> npt.NDArray[np.uint8] | None:
    """Parse the space-separated pixels of a row; None if one is not a number from 0 to 255."""
    if not text.isascii() or not text.replace(" ", "").isdecimal():
        return None
    values = np.fromstring(text, np.int64, sep=" ")
    return values.astype(np.uint8) if values.max() <= 255 else None


def _read_votes(path: Path, split: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    counts: list[list[int]] = []
    for line, (usage, *votes) in rows(path, ("Usage", *VOTE_COLUMNS)):
        if not all(vote.isdecimal() for vote in votes):
            raise EmotionEdgeError(f"{path}, line {line}: a vote is no whole number")
        row = len(counts)
        if row >= len(split) or split[row] != _split_index(path, line, usage):
            raise EmotionEdgeError(f"{path}, line {line}: not the same rows as {FACES_FILE}, from here on")
        counts.append([int(vote) for vote in votes])
    if len(counts) != len(split):
        raise EmotionEdgeError(f"{path}: {len(counts)} rows, but {FACES_FILE} has {len(split)}")
    return np.array(counts, np.int64)
