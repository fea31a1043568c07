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
    both may be tensors on an accelerator (`backend.on_accelerator`). size: of a batch, over all workers. Faces that
    fill no whole batch are left for another epoch.
    """

    images: npt.NDArray[np.uint8] | DiskImages
    targets: Arrays
    size: int
    seed: int
    mixup: float = 0.0

    @property
    def steps(self) -> int:
        """Number of batches per epoch."""
        return len(self.images) // self.size

    def epoch(self, number: int, share: slice = slice(None)) -> Iterator[tuple[npt.NDArray[Any], Arrays]]:
        """Iterate over the batches of an epoch (from 0). share: rows of each batch that this worker takes."""
        generator = np.random.default_rng((self.seed, number))
        order = generator.permutation(len(self.images))
        for index in np.split(order[: self.steps * self.size], self.steps):
            images: npt.NDArray[Any] = self.images[index]
            batch = {head: values[index] for head, values in self.targets.items()}
            if self.mixup:
                images, batch = self._mixed(images, batch, generator)
            yield images[share], {head: values[share] for head, values in batch.items()}

    def _mixed(
        self, images: npt.NDArray[Any], batch: Arrays, generator: np.random.Generator
    ) -> tuple[npt.NDArray[Any], Arrays]:
        """Mixup (Zhang et al. 2018): blend each image, and its targets, with another of the batch.

        If only one of the two faces has a label, the target is that label with its share of the weight.
        """
        part = generator.beta(self.mixup, self.mixup, len(images)).astype(np.float32)
        part = np.maximum(part, 1 - part)[:, None]
        other = generator.permutation(len(images))
        pixels = part[..., None, None] * images + (1 - part[..., None, None]) * images[other]
        mixed = {}
        for head, values in batch.items():
            weight = values[:, -1:]
            wanted = weight * values[:, :-1]
            wanted, weight = (part * each + (1 - part) * each[other] for each in (wanted, weight))
            said = np.divide(wanted, weight, out=np.zeros_like(wanted), where=weight > 0)
            mixed[head] = np.concatenate([said, weight], axis=1)
        return np.rint(pixels).astype(np.uint8), mixed
