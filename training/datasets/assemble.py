"""Builds a `Dataset` from the faces that a reader found; used by all readers of image files."""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from edge.cameras.images import is_passed_over
from edge.errors import EmotionEdgeError
from edge.labels import labels_of, own_label
from training.datasets.dataset import SPLITS, Dataset
from training.datasets.names import labels_from
from training.datasets.splits import complete

SUFFIXES: Final = frozenset((".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm"))

UNLABELLED: Final = "fer7"
"""Label set given to a data set that has only valence and arousal, as every data set must have one; no face has a
label.
"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """One face as a reader found it.

    file: image file. emotion: one of `edge.labels`, or None. split: index into SPLITS, or None if the source gives
    none. person: identifier of the person, or "". affect: valence and arousal, -1 to 1, or None. box: x, y, width,
    height of the face in pixels, or None for the whole image.
    """

    file: Path
    emotion: str | None
    split: int | None = None
    person: str = ""
    affect: tuple[float, float] | None = None
    box: tuple[int, int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class Choices:
    """Options of all readers, as the arguments of `training.datasets.read_dataset`.

    own: True keeps class names that are not emotions as classes of their own.
    """

    label_set: str | None = None
    mapping: Path | None = None
    votes: str = "distribution"
    seed: int = 0
    own: bool = False

    def own_class(self, name: str) -> str | None:
        """Label for a class name that is not an emotion; None unless `own` or `label_set` admits it."""
        label = own_label(name)
        wanted = self.own or (self.label_set is not None and label in labels_of(self.label_set))
        return label if wanted else None


def image_files(folder: Path) -> list[Path]:
    """List the image files in a folder and its subfolders, sorted by name.

    Omitted are hidden files and folders, and folders in which other programs keep copies, such as __MACOSX.
    """
    return sorted(path for path in _files_below(folder) if path.suffix.lower() in SUFFIXES)


def passed_over(folders: Iterable[Path]) -> str:
    """Describe the files in folders that are not images, counted by suffix: `12 .heic, 1 without suffix`."""
    files = (path for folder in folders for path in _files_below(folder) if path.suffix.lower() not in SUFFIXES)
    counts = Counter(path.suffix.lower() or "without suffix" for path in files)
    return ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common())


def log_folders_left_out(path: Path) -> None:
    """Log the subfolders of a data set that `is_passed_over` excludes: hidden ones and other programs' copies."""
    names: Counter[str] = Counter()
    for _, folders, _ in os.walk(path):
        names.update(name for name in folders if is_passed_over(name))
        folders[:] = [name for name in folders if not is_passed_over(name)]
    if names:
        listed = ", ".join(f"{count} {name}" for name, count in sorted(names.items()))
        _log.info("%s: folders left out as hidden or as copies of another program: %s", path, listed)


def folders_in(folder: Path) -> list[Path]:
    """List the direct subfolders of a folder, sorted by name, without hidden ones and other programs' copies."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_passed_over(path.name))


def _files_below(folder: Path) -> Iterator[Path]:
    for base, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not is_passed_over(name)]
        yield from (path for name in files if not name.startswith(".") and (path := Path(base, name)).is_file())


def assemble(name: str, path: Path, found: Sequence[Found], choices: Choices) -> Dataset:
    """Build a data set from the faces found, in the same order; missing splits are cut from Training.

    Faces with neither emotion nor affect are omitted. If no face has an emotion but some have affect, the label set is
    UNLABELLED and no face has a label. Raises EmotionEdgeError if no face is left.
    """
    if not found:
        raise EmotionEdgeError(f"{path}: no image found ({', '.join(sorted(SUFFIXES))})")
    label_set = choices.label_set
    if label_set is None and any(it.affect for it in found) and not any(it.emotion for it in found):
        label_set = UNLABELLED
        _log.info("%s: no face has a label, only valence and arousal: a network learns these beside a label", path)
    labels = labels_from([it.emotion for it in found], label_set, str(path))
    judged = next(iter(labels.values())).judged
    affect = None
    if any(it.affect for it in found):
        affect = np.array([it.affect or (np.nan, np.nan) for it in found], np.float32)
    people = None
    if any(it.person for it in found):
        numbers = {person: number for number, person in enumerate(sorted({it.person for it in found} - {""}))}
        people = np.array([numbers.get(it.person, -1) for it in found], np.int64)
    boxes = None
    if any(it.box for it in found):
        boxes = np.array([it.box or (0, 0, 0, 0) for it in found], np.int64)
    data = Dataset(
        name,
        tuple(it.file for it in found),
        labels,
        affect,
        False,
        np.array([it.split or 0 for it in found], np.int64),
        np.arange(len(found)),
        people,
        boxes,
    )
    known = judged >= 0 if affect is None else (judged >= 0) | ~np.isnan(affect).any(axis=1)
    if not known.any():
        raise EmotionEdgeError(f"{path}: no face has a label of {', '.join(labels)}")
    if not known.all():
        _log.info("%s: %d faces without a label are left out", path, np.count_nonzero(~known))
    return with_splits(data.take(known), path, choices.seed)


def with_splits(data: Dataset, path: Path, seed: int) -> Dataset:
    """Return the data set with the splits that it lacks cut from Training, and log their sizes."""
    judged = next(iter(data.labels.values())).judged
    split = complete(data.split, judged, data.people, seed)
    counts = ", ".join(f"{name} {np.count_nonzero(split == index)}" for index, name in enumerate(SPLITS))
    cut = "" if np.array_equal(split, data.split) else f" (cut from Training, seed {seed})"
    _log.info("%s: %d faces, %s%s", path, len(data), counts, cut)
    return replace(data, split=split)
