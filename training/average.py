"""Averaged weights, and the state of a run on disk."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import EmotionEdgeError

EVERY = 4
"""Steps from one update of the average to the next: as good as each, and cheaper."""


class WeightAverage:
    """Keeps `averaged`, a network of the same build, at the exponential moving average of `network`'s weights, batch
    statistics included.

    momentum: per step; smaller in the first steps, so that the random start is soon forgotten.
    """

    def __init__(self, network: Any, averaged: Any, momentum: float) -> None:
        self.momentum = momentum
        paired = zip(averaged.weights, network.weights, strict=True)
        self.pairs = [(mean, weight) for mean, weight in paired if mean.dtype.startswith("float")]

    def update(self, step: int) -> None:
        """After each step, counted from 1 over the whole run."""
        if step % EVERY:
            return
        momentum = min(self.momentum, (1 + step) / (10 + step)) ** EVERY
        for mean, weight in self.pairs:
            mean.assign(mean + (1.0 - momentum) * (weight - mean))


def save_state(path: Path, variables: Mapping[str, list[Any]], epoch: int) -> None:
    """Write lists of variables and the number of epochs done, whole or not at all."""
    arrays: dict[str, Any] = {
        f"{group}/{i}": np.asarray(v.numpy() if hasattr(v, "numpy") else v)
        for group, items in variables.items()
        for i, v in enumerate(items)
    }
    partial = path.with_name(path.stem + ".partial.npz")
    np.savez(partial, epoch=epoch, **arrays)
    partial.replace(path)


def load_state(path: Path, variables: Mapping[str, list[Any]]) -> int:
    """Put saved values into the variables; gives the epochs done. Raises EmotionEdgeError for another network's
    state.
    """
    with np.load(path) as arrays:
        wanted = {f"{group}/{i}": v for group, items in variables.items() for i, v in enumerate(items)}
        fits = set(arrays.files) == {*wanted, "epoch"} and all(
            arrays[k].shape == tuple(v.shape) for k, v in wanted.items()
        )
        if not fits:
            raise EmotionEdgeError(
                f"{path}: of another network or optimizer; remove {path.parent} or take another name"
            )
        for key, variable in wanted.items():
            variable.assign(arrays[key])
        return int(arrays["epoch"])
