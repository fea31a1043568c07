"""Averaged weights, and the state of a run on disk."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edge.errors import EmotionEdgeError

EVERY = 4


class WeightAverage(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps `averaged`, a network of the same build, at the exponential moving average of `network`'s weights, batch
    statistics included.

    momentum: per step; smaller in the first steps, so that the random start is soon forgotten. The average is brought
    up to date every few steps, which is as good and costs less.
    """

    def __init__(self, network: Any, averaged: Any, momentum: float, steps: int = 0) -> None:
        super().__init__()
        self.momentum, self.steps = momentum, steps
        paired = zip(averaged.weights, network.weights, strict=True)
        self.pairs = [(mean, weight) for mean, weight in paired if mean.dtype.startswith("float")]

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        self.steps += 1
        if self.steps % EVERY:
            return
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()
        momentum = min(self.momentum, (1 + self.steps) / (10 + self.steps)) ** EVERY
        for mean, weight in self.pairs:
            mean.assign(mean + (1.0 - momentum) * (weight - mean))


def save_state(path: Path, variables: Mapping[str, list[Any]], epoch: int) -> None:
    """Write lists of variables and the number of epochs done, whole or not at all."""
    arrays: dict[str, Any] = {
        f"{group}/{i}": np.asarray(v) for group, items in variables.items() for i, v in enumerate(items)
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
