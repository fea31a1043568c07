"""Readers of data sets; each returns a `Dataset`."""

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
    """Read the data set at a path, and log the format recognised. Image files are listed, not yet loaded.

    Args:
        path: A folder or a file.
        format: `auto` to recognise the layout, or one of `formats.FORMATS`.
        label_set: The primary label set (`edge.labels.labels_of`); None: the one that fits the data set's classes;
            `own`: likewise, and class names that are not emotions become classes of their own.
        mapping: YAML file of `class name: emotion` lines; only for the formats folder, csv and npy.
        votes: How FER+ votes become training targets, one of `fer2013.VOTES`.
        seed: Seed with which splits that the source lacks are cut from Training.

    Raises:
        EmotionEdgeError: No format was recognised (the message lists the known ones), or a file has an error (the
            message names file and line).
    """
    # Imported here because the readers import this package.
    from training.datasets.assemble import Choices
    from training.datasets.formats import read
    from training.datasets.names import OWN

    own = label_set == OWN
    return read(path, format, Choices(None if own else label_set, mapping, votes, seed, own))
