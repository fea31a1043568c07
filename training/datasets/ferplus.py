"""FER+ as its official script writes it: a folder of images for each split, with the votes in `label.csv`."""

import csv
import re
from pathlib import Path
from typing import Final

import numpy as np

from edge.errors import EmotionEdgeError
from training.datasets.assemble import Choices
from training.datasets.dataset import Dataset
from training.datasets.fer2013 import VOTE_COLUMNS, VOTES, labels_of_votes

FOLDERS: Final = ("FER2013Train", "FER2013Valid", "FER2013Test")
"""Folder of each split, in the order of SPLITS."""

LABELS: Final = "label.csv"
_NAME: Final = re.compile(r"fer(\d{7})\.png")
_COLUMNS: Final = 2 + len(VOTE_COLUMNS)
"""Number of columns of `label.csv`, which has no header: name of the image, face box, votes."""


def is_ferplus(path: Path) -> bool:
    """Return True if a folder contains FER+ as its official script writes it."""
    return any((path / folder / LABELS).is_file() for folder in FOLDERS)


def read_ferplus(path: Path, choices: Choices) -> Dataset:
    """Read the faces listed in `label.csv`, with the label set `ferplus8` and affect derived from the votes.

    Raises:
        EmotionEdgeError: A list is not FER+'s (with its line), an image is missing, or `votes` is unknown.
    """
    if choices.votes not in VOTES:
        raise EmotionEdgeError(f"votes {choices.votes!r}: not known (known: {', '.join(VOTES)})")
    images: list[Path] = []
    counts: list[list[int]] = []
    splits: list[int] = []
    for split, folder in enumerate(FOLDERS):
        file = path / folder / LABELS
        if not file.is_file():
            continue
        for line, fields in enumerate(csv.reader(file.read_text(encoding="utf-8-sig").splitlines()), 1):
            if not any(fields):
                continue
            votes = [field.strip() for field in fields[2:_COLUMNS]]
            name = _NAME.fullmatch(fields[0].strip())
            if not name or len(votes) != len(VOTE_COLUMNS) or not all(vote.isdecimal() for vote in votes):
                raise EmotionEdgeError(
                    f'{file}, line {line}: {",".join(fields)!r} is not like `fer0000000.png,"(0, 0, 48, 48)",` and '
                    f"{len(VOTE_COLUMNS)} numbers of votes"
                )
            images.append(path / folder / fields[0].strip())
            counts.append([int(vote) for vote in votes])
            splits.append(split)
    if not images:
        raise EmotionEdgeError(f"{path}: no image in {LABELS} of {', '.join(FOLDERS)}")
    if missing := [image for image in images if not image.is_file()]:
        raise EmotionEdgeError(
            f"{missing[0]}: not there, but {LABELS} names it ({len(missing)} of {len(images)} images)"
        )
    # The number in an image's name is not its row in FER-2013: rows without a face were not counted.
    unknown = np.full(len(images), -1)
    labels, affect = labels_of_votes(np.array(counts, np.int64), unknown, choices.votes)
    index = np.arange(len(images))
    return Dataset("FER+", tuple(images), {"ferplus8": labels}, affect, True, np.array(splits, np.int64), index)
