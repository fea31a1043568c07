"""`Dataset`, the common type that all readers return."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError
from training.datasets.disk_images import DiskImages

SPLITS = ("Training", "PublicTest", "PrivateTest")
"""Names of the splits, as in FER-2013: to train on, to make choices on (validation), and for the final figure
(test).
"""
TRAINING, VALIDATION, FINAL = SPLITS

PREPARED = " (prepared)"
"""Suffix of the name of a data set made by `emotion-train prepare`, which lacks some faces of the original."""

Index = npt.NDArray[np.int64] | npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels of n faces under one label set.

    names: class names in logit order. probabilities: training targets, float32 [n, classes]; a row is one-hot, a
    distribution of votes that sums to 1, or zeros for a face without a label. judged: int64 [n], the class used in
    evaluation, or -1 if the face is not evaluated.
    """

    names: tuple[str, ...]
    probabilities: npt.NDArray[np.float32]
    judged: npt.NDArray[np.int64]

    def take(self, index: Index) -> "Labels":
        """Select faces by an index array or a boolean mask."""
        return Labels(self.names, self.probabilities[index], self.judged[index])


def one_hot(names: tuple[str, ...], judged: npt.NDArray[np.int64]) -> Labels:
    """Build Labels from class indexes, int64 [n]; -1 for a face without a label."""
    probabilities = np.zeros((len(judged), len(names)), np.float32)
    known = np.flatnonzero(judged >= 0)
    probabilities[known, judged[known]] = 1.0
    return Labels(names, probabilities, judged)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Faces with their labels and metadata.

    name: name of the data set. images: paths of image files; or, once `training.datasets.pixels` has loaded them, uint8
    [n, h, w] grey or [n, h, w, 3] BGR, in memory or mapped from a file. labels: by name of the label set, the primary
    one first. affect: valence and arousal, float32 [n, 2], -1 to 1, a row of NaN if unknown; None if the data set has
    none. affect_derived: True if valence and arousal were computed from the labels (by their place on the circumplex),
    not measured. split: int64 [n], index into SPLITS. rows: int64 [n], position of each face in the source, from 0.
    people: int64 [n], person number, or -1; None if the data set has none. boxes: int64 [n, 4], x, y, width and height
    of the face in pixels of the upright image, zeros for the whole image; None if the images are faces already.
    """

    name: str
    images: npt.NDArray[np.uint8] | DiskImages | tuple[Path, ...]
    labels: Mapping[str, Labels]
    affect: npt.NDArray[np.float32] | None
    affect_derived: bool
    split: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    people: npt.NDArray[np.int64] | None = None
    boxes: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.split)

    @property
    def pixels(self) -> npt.NDArray[np.uint8]:
        """The images as an array in memory. Raises TypeError if they are files or on the disk (a programming error)."""
        if not isinstance(self.images, np.ndarray):
            raise TypeError(f"{self.name}: its images are not in memory; read them with in_memory first")
        return self.images

    def take(self, index: Index) -> "Dataset":
        """Select faces by an index array or a boolean mask."""
        images = self.images
        if isinstance(images, tuple):
            images = tuple(images[i] for i in np.arange(len(self))[index])
        else:
            images = images.take(index) if isinstance(images, DiskImages) else images[index]
        return replace(
            self,
            images=images,
            labels={name: labels.take(index) for name, labels in self.labels.items()},
            affect=None if self.affect is None else self.affect[index],
            split=self.split[index],
            rows=self.rows[index],
            people=None if self.people is None else self.people[index],
            boxes=None if self.boxes is None else self.boxes[index],
        )

    def part(self, split: str) -> "Dataset":
        """Select the faces of one split. Raises EmotionEdgeError if the split is empty."""
        part = self.take(self.split == SPLITS.index(split))
        if not len(part):
            raise EmotionEdgeError(f"data set {self.name}: the split {split} has no faces; use the whole data set")
        return part


def source_of(name: str) -> str:
    """Return the name of a data set without the suffix that `emotion-train prepare` appends."""
    return name.removesuffix(PREPARED)


def clean_training(data: Dataset) -> Dataset:
    """Remove blank Training faces, and those with a pixel-identical copy in PublicTest or PrivateTest.

    Such copies would bias the evaluation. The other splits are unchanged. One image is in memory at a time.
    """
    images = data.images
    if isinstance(images, tuple):
        raise TypeError(f"{data.name}: its images are files; read them first")
    training = data.split == SPLITS.index(TRAINING)
    held_out = {_digest(images[row]) for row in np.flatnonzero(~training)}
    kept = np.ones(len(data), np.bool_)
    for row in np.flatnonzero(training):
        image = images[row]
        kept[row] = image.min() != image.max() and _digest(image) not in held_out
    return data.take(kept)


def _digest(image: npt.NDArray[np.uint8]) -> bytes:
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()
