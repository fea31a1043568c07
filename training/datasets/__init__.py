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
    """Read the data set at a path. Images stay files where the source has files; the recognised format is logged.

    Args:
        path: A folder or a file.
        format: `auto` to recognise the layout, or one of `formats.FORMATS`.
        label_set: The primary label set (`edge.labels.labels_of`); None: the data set's own; `own`: likewise, and
            class names that are no emotion are classes.
        mapping: YAML file of `class name: emotion` lines, for the formats folder, csv and npy.
        votes: Training target made of the FER+ votes, one of `fer2013.VOTES`.
        seed: Seed of the splits that are cut if the source lacks them.

    Raises:
        EmotionEdgeError: No format was recognised (the message lists what was looked for), or a file has an error (with
            its place).
    """
    # Imported here because the readers import this package.
    from training.datasets.assemble import Choices
    from training.datasets.formats import read
    from training.datasets.names import OWN

    own = label_set == OWN
    return read(path, format, Choices(None if own else label_set, mapping, votes, seed, own))
