"""Averages weights during training, and saves and loads checkpoints."""

import logging
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import EmotionEdgeError
from edge.system.atomic_file import sync

_log = logging.getLogger(__name__)

EVERY = 4
"""Number of training steps between updates of the average; updating at every step is slower and no better."""


class WeightAverage:
    """Updates `averaged`, a copy of `network`, to the moving average of its weights, batch statistics included.

    momentum: momentum of the average per step; it is lower in the first steps, so that the random start is soon
    forgotten.
    """

    def __init__(self, network: Any, averaged: Any, momentum: float) -> None:
        self.momentum = momentum
        paired = zip(averaged.weights, network.weights, strict=True)
        self.pairs = [(mean, weight) for mean, weight in paired if mean.dtype.startswith("float")]

    def update(self, step: int) -> None:
        """Update the average after a training step. step: its number over the whole run, from 1."""
        if step % EVERY:
            return
        momentum = min(self.momentum, (1 + step) / (10 + step)) ** EVERY
        for mean, weight in self.pairs:
            mean.assign(mean + (1.0 - momentum) * (weight - mean))


def save_state(path: Path, variables: Mapping[str, list[Any]], epoch: int) -> None:
    """Write variables and the number of finished epochs atomically; the previous checkpoint is kept too."""
    arrays: dict[str, Any] = {
        f"{group}/{i}": np.asarray(v.numpy() if hasattr(v, "numpy") else v)
        for group, items in variables.items()
        for i, v in enumerate(items)
    }
    partial = path.with_name(path.stem + ".partial.npz")
    with partial.open("wb") as file:
        np.savez(file, epoch=epoch, **arrays)
        file.flush()
        os.fsync(file.fileno())
    if path.exists():
        path.replace(_before(path))
    partial.replace(path)
    sync(path.parent)


def load_state(path: Path, variables: Mapping[str, list[Any]]) -> int:
    """Load a checkpoint into the variables.

    Args:
        path: The file written by `save_state`. If it is damaged or missing, the previous checkpoint is loaded, with a
            warning.
        variables: The variables to assign, grouped and ordered as they were saved.

    Returns:
        The number of finished epochs; 0 if there is no checkpoint.

    Raises:
        EmotionEdgeError: The checkpoint is of another network, or both files are damaged.
    """
    candidates = [file for file in (path, _before(path)) if file.exists()]
    for file in candidates:
        try:
            return _load(file, variables)
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
            _log.warning("%s: damaged (%s)", file, error)
    if candidates:
        raise EmotionEdgeError(f"{path}: damaged, and so is the state before it; remove {path.parent} and begin again")
    return 0


def _before(path: Path) -> Path:
    return path.with_name(f"{path.stem}.before{path.suffix}")


def _load(path: Path, variables: Mapping[str, list[Any]]) -> int:
    with np.load(path) as arrays:
        wanted = {f"{group}/{i}": v for group, items in variables.items() for i, v in enumerate(items)}
        fits = set(arrays.files) == {*wanted, "epoch"} and all(
            arrays[k].shape == tuple(v.shape) for k, v in wanted.items()
        )
        if not fits:
            raise EmotionEdgeError(
                f"{path}: of another network or optimizer; remove {path.parent} or take another name"
            )
        values = {key: arrays[key] for key in wanted}  # read whole before anything is changed
        epoch = int(arrays["epoch"])
    for key, variable in wanted.items():
        variable.assign(values[key])
    return epoch
