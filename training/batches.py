"""Batches of the training faces, in an order determined by a seed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from training.datasets.disk_images import DiskImages
from training.objectives import Arrays


@dataclass(frozen=True, slots=True)
class Batches:
    """Batches of training faces, in an order that depends on seed and epoch alone.

    images: uint8 [n, h, w, c], in memory or on the disk. targets: by head, as from `objectives.targets`; without mixup
    and cutmix both may be tensors on an accelerator (`backend.on_accelerator`). size: number of faces in a batch, over
    all workers. Faces that fill no whole batch are left for another epoch. mixup, cutmix: alpha of their Beta
    distributions; 0: none. classes: int64 [n], -1 without a label, of which each epoch has equally many; None: each
    face once.
    """

    images: npt.NDArray[np.uint8] | DiskImages
    targets: Arrays
    size: int
    seed: int
    mixup: float = 0.0
    cutmix: float = 0.0
    classes: npt.NDArray[np.int64] | None = None

    @property
    def steps(self) -> int:
        """Number of batches per epoch."""
        return len(self.images) // self.size

    def epoch(self, number: int, share: slice = slice(None)) -> Iterator[tuple[npt.NDArray[Any], Arrays]]:
        """Iterate over the batches of an epoch (from 0). share: rows of each batch that this worker takes."""
        generator = np.random.default_rng((self.seed, number))
        order = generator.permutation(len(self.images)) if self.classes is None else balanced(self.classes, generator)
        for index in np.split(order[: self.steps * self.size], self.steps):
            images: npt.NDArray[Any] = self.images[index]
            batch = {head: values[index] for head, values in self.targets.items()}
            if self.cutmix and (not self.mixup or generator.random() < 0.5):
                images, batch = _cut(images, batch, self.cutmix, generator)
            elif self.mixup:
                images, batch = _blended(images, batch, self.mixup, generator)
            yield images[share], {head: values[share] for head, values in batch.items()}


def balanced(classes: npt.NDArray[np.int64], generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw row numbers with equally many of each class, repeating rare ones; rows of class -1 appear once."""
    known = [np.flatnonzero(classes == one) for one in np.unique(classes[classes >= 0])]
    each = -(-int((classes >= 0).sum()) // max(len(known), 1))
    drawn = [
        np.concatenate([generator.permutation(rows) for _ in range(-(-each // len(rows)))])[:each] for rows in known
    ]
    return generator.permutation(np.concatenate([*drawn, np.flatnonzero(classes < 0)]))


def _blended(
    images: npt.NDArray[Any], batch: Arrays, alpha: float, generator: np.random.Generator
) -> tuple[npt.NDArray[Any], Arrays]:
    """Mixup (Zhang et al. 2018): blend each image, and its targets, with another of the batch."""
    part = generator.beta(alpha, alpha, len(images)).astype(np.float32)
    part = np.maximum(part, 1 - part)[:, None]
    other = generator.permutation(len(images))
    pixels = part[..., None, None] * images + (1 - part[..., None, None]) * images[other]
    return np.rint(pixels).astype(np.uint8), _mixed(batch, part, other)


def _cut(
    images: npt.NDArray[Any], batch: Arrays, alpha: float, generator: np.random.Generator
) -> tuple[npt.NDArray[Any], Arrays]:
    """CutMix (Yun et al. 2019): replace a rectangle of each image by another image's; mix targets by area."""
    count, height, width = images.shape[:3]
    side = np.sqrt(1 - generator.beta(alpha, alpha, count))
    rows, columns = np.arange(height)[None, :, None], np.arange(width)[None, None, :]
    y, x = generator.uniform(0, height, count)[:, None, None], generator.uniform(0, width, count)[:, None, None]
    high, wide = side[:, None, None] * height / 2, side[:, None, None] * width / 2
    inside = (np.abs(rows + 0.5 - y) < high) & (np.abs(columns + 0.5 - x) < wide)
    part = 1 - inside.mean(axis=(1, 2), dtype=np.float32)[:, None]
    other = generator.permutation(count)
    return np.where(inside[..., None], images[other], images), _mixed(batch, part, other)


def _mixed(batch: Arrays, part: npt.NDArray[np.float32], other: npt.NDArray[np.int64]) -> Arrays:
    """Mix targets with those of other rows; if only one row has a label, keep it, with its share of the weight.

    part: share of a row's own target, float32 [n, 1]. other: the other row of each, int64 [n].
    """
    mixed = {}
    for head, values in batch.items():
        weight = values[:, -1:]
        wanted = weight * values[:, :-1]
        wanted, weight = (part * each + (1 - part) * each[other] for each in (wanted, weight))
        said = np.divide(wanted, weight, out=np.zeros_like(wanted), where=weight > 0)
        mixed[head] = np.concatenate([said, weight], axis=1)
    return mixed
