"""Consistency regularisation: an altered face should get the probabilities that the unaltered face gets.

The averaged network is the teacher of the network that learns (Tarvainen and Valpola, "Mean teachers are better role
models", 2017), and sees each face and its mirror image without augmentation, so that its probabilities are the same for
both. No gradient passes through it. Cross-entropy is linear in its target, so the loss is the weighted sum of the loss
on the labels and, but for a constant, the Kullback-Leibler divergence from the teacher's distribution.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from training.config import AFFECT
from training.distill import means
from training.evaluation.metrics import softmax
from training.objectives import Arrays


def consistent_batches(
    batches: Iterator[tuple[npt.NDArray[Any], Arrays]], averaged: Any, part: float
) -> Iterator[tuple[npt.NDArray[Any], Arrays]]:
    """Yield batches whose targets are mixed with the probabilities of the averaged network.

    Args:
        batches: Images uint8 [n, h, w, c] without augmentation, and their targets as from `objectives.targets`. Rows of
            faces without any label hold zeros and a weight.
        averaged: The averaged network, with its weights at the time of each batch.
        part: Weight of its probabilities in each target, 0 to 1. A target of zeros becomes one that sums to `part`, so
            that a face without a label weighs that much less.
    """
    for images, wanted in batches:
        seen = images.astype(np.float32) / 255
        said = means([_probabilities(averaged, view) for view in (seen, seen[:, :, ::-1])])
        mixed = dict(wanted)
        for head, probabilities in said.items():
            own, weight = wanted[head][:, :-1], wanted[head][:, -1:]
            mixed[head] = np.concatenate([(1 - part) * own + part * probabilities, weight], axis=1).astype(np.float32)
        yield images, mixed


def _probabilities(network: Any, images: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.float64]]:
    outputs = network.predict_on_batch(np.ascontiguousarray(images))
    return {head: softmax(values) for head, values in outputs.items() if head != AFFECT}
