"""Data sets, read into one shape: `Dataset`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.datasets.dataset import Dataset


def read_dataset(
    path: Path,
    format: str = "auto",
    *,
    label_set: str | None = None,
    mapping: Path | None = None,
    votes: str = "distribution",
    seed: int = 0,
) -> Dataset:
    """The data set at a path, whatever its layout; images are the files they are in where the source has files.

    path: a folder or a file. format: `auto`, which looks at what is there, or one of `recognise.FORMATS`. label_set:
    the one that matters (`edge.labels.labels_of`); the data set's own where not given. mapping: a YAML file of
    `own class name: emotion` lines, for the formats folder, csv and npy. votes: what of FER+'s votes is learned, one of
    `fer2013.VOTES`. seed: of the splits that are cut where the source has none.

    What was recognised is said in the log. Raises EmotionEdgeError where nothing is, with what was looked for; and for
    anything wrong in the files, with its place.
    """
    # Here, not above: every reader is imported through this package, which would not be there yet.
    from training.datasets.assemble import Choices
    from training.datasets.formats import read

    return read(path, format, Choices(label_set, mapping, votes, seed))
