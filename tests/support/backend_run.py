"""`python -m tests.support.backend_run FOLDER` under KERAS_BACKEND: what tests/training/test_backends.py looks at.

FOLDER/killed and FOLDER/whole hold data and `tiny.yaml`; the former also holds a run that was killed.
"""

import os
import resource
import sys
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt

from training.backend import set_up
from training.cli import main


def run(folder: Path) -> None:
    """Resume the killed run, train the other without interruption, and write the outputs to compare."""
    for name in ("killed", "whole"):
        os.chdir(folder / name)
        assert main(["fit", "tiny.yaml"]) == 0
    images = np.random.default_rng(3).random((6, 48, 48, 1), np.float32)
    outputs = keras.models.load_model("runs/tiny/network.keras").predict(images, verbose=0)
    np.savez(folder / "outputs.npz", images=images, **outputs)
    if keras.backend.backend() == "torch":
        set_up("float32", 0)
        np.savez(folder / "torch.npz", pages=_pages_cleared(), **_normalized())


def _normalized() -> dict[str, npt.NDArray[np.float32]]:
    """Outputs, gradients and statistics of one step of batch normalization, by Keras and by our replacement."""
    import torch

    found: dict[str, npt.NDArray[np.float32]] = {}
    generator = np.random.default_rng(4)
    images = generator.normal(2, 3, (16, 5, 7, 12)).astype(np.float32)
    wanted = torch.tensor(generator.normal(0, 1, images.shape).astype(np.float32))
    for name in ("keras", "ours"):
        layer = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-3)
        layer.build(images.shape)
        layer.gamma.assign(np.linspace(0.5, 2, 12))
        layer.beta.assign(np.linspace(-1, 1, 12))
        x = torch.tensor(images, requires_grad=True)
        out = layer(x, training=True) if name == "ours" else layer.unfused_call(x, training=True)
        (out * wanted).sum().backward()
        arrays = {"out": out, "x": x.grad, "gamma": layer.gamma.value.grad, "beta": layer.beta.value.grad}
        arrays |= {"mean": layer.moving_mean.value, "variance": layer.moving_variance.value}
        found |= {f"{name}/{key}": value.detach().numpy() for key, value in arrays.items()}
    return found


def _pages_cleared() -> float:
    """Allocate and free a tensor forty times; returns the page faults per page of it in the last twenty."""
    import torch

    faults = []
    for _ in range(40):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.empty(10_000_000).fill_(1.0)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    # Not counted: the heap grows at first.
    return sum(faults[20:]) * resource.getpagesize() / 40e6


if __name__ == "__main__":
    run(Path(sys.argv[1]))
