"""What every data set is read into: `Dataset`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError

SPLITS = ("Training", "PublicTest", "PrivateTest")
"""What is learned from, what choices are made on, and what the final figure is from: FER-2013's own names."""
TRAINING, VALIDATION, FINAL = SPLITS

PREPARED = " (prepared)"
"""At the end of the name of a data set that `emotion-train prepare` made of another: it has not all of its faces."""

Index = npt.NDArray[np.int64] | npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of n faces under one label set.

    names: of the classes, in logit order. probabilities: float32 [n, classes], the training targets: a row is one-hot,
    a distribution of votes that sums to 1, or zeros for a face without a label. judged: int64 [n], the class that
    evaluation counts, or -1 where the face does not count.
    """

    names: tuple[str, ...]
    probabilities: npt.NDArray[np.float32]
    judged: npt.NDArray[np.int64]

    def take(self, index: Index) -> "Labels":
        """The faces at an index array or under a mask."""
        return Labels(self.names, self.probabilities[index], self.judged[index])


def one_hot(names: tuple[str, ...], judged: npt.NDArray[np.int64]) -> Labels:
    """Labels of faces that have one class each, or none (-1)."""
    probabilities = np.zeros((len(judged), len(names)), np.float32)
    known = np.flatnonzero(judged >= 0)
    probabilities[known, judged[known]] = 1.0
    return Labels(names, probabilities, judged)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Faces with what is known of them.

    name: of the data set. images: uint8 [n, h, w] grey or [n, h, w, 3] BGR; or the files they are in, until
    `training.datasets.pixels.in_memory` reads them. labels: by label set, the one that matters most first. affect:
    float32 [n, 2], valence and arousal of -1 to 1, a row of NaN where unknown; None where the data set has none.
    affect_derived: true where they are computed from labels on the circumplex instead of measured. split: int64 [n],
    index into SPLITS. rows: int64 [n], where in the source the face is, from 0. people: int64 [n], who it is, or -1;
    None where the data set does not say. boxes: int64 [n, 4], the face in its image file as x, y, width and height in
    pixels of the upright image, a row of zeros for all of it; None where images are faces already.
    """

    name: str
    images: npt.NDArray[np.uint8] | tuple[Path, ...]
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
        """The images as an array. Raises TypeError where they are still files: a mistake of the program."""
        if isinstance(self.images, tuple):
            raise TypeError(f"{self.name}: its images are files; read them with in_memory first")
        return self.images

    def take(self, index: Index) -> "Dataset":
        """The faces at an index array or under a mask."""
        images = self.images
        return replace(
            self,
            images=tuple(images[i] for i in np.arange(len(self))[index])
            if isinstance(images, tuple)
            else images[index],
            labels={name: labels.take(index) for name, labels in self.labels.items()},
            affect=None if self.affect is None else self.affect[index],
            split=self.split[index],
            rows=self.rows[index],
            people=None if self.people is None else self.people[index],
            boxes=None if self.boxes is None else self.boxes[index],
        )

    def part(self, split: str) -> "Dataset":
        """The faces of one split. Raises EmotionEdgeError where there are none."""
        part = self.take(self.split == SPLITS.index(split))
        if not len(part):
            raise EmotionEdgeError(f"data set {self.name}: the split {split} has no faces; use the whole data set")
        return part


def source_of(name: str) -> str:
    """The name of the data set that a prepared one was made of; of another its own."""
    return name.removesuffix(PREPARED)


def clean_training(data: Dataset) -> Dataset:
    """Without the Training faces that no honest figure may rest on: blank ones, and those that PublicTest or
    PrivateTest hold too, pixel for pixel. The other splits stay whole."""
    flat = data.pixels.reshape(len(data), -1)
    blank = flat.min(axis=1) == flat.max(axis=1)
    training = data.split == SPLITS.index("Training")
    held_out = {image.tobytes() for image in flat[~training]}
    seen = np.array([image.tobytes() in held_out for image in flat], np.bool_)
    return data.take(~(training & (blank | seen)))
