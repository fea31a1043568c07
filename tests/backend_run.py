"""`python -m tests.backend_run FOLDER` under KERAS_BACKEND: what tests/test_training_backends.py looks at.

FOLDER/killed and FOLDER/whole hold data, `tiny.yaml` and, the first, a run that was killed.
"""

import os
import sys
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt

from training.backend import set_up
from training.cli import main


def run(folder: Path) -> None:
    """Carry on with the killed run, do the other whole, and write what the network and batch normalization say."""
    for name in ("killed", "whole"):
        os.chdir(folder / name)
        assert main(["fit", "tiny.yaml"]) == 0
    images = np.random.default_rng(3).random((6, 48, 48, 1), np.float32)
    outputs = keras.models.load_model("runs/tiny/network.keras").predict(images, verbose=0)
    np.savez(folder / "outputs.npz", images=images, **outputs)
    if keras.backend.backend() == "torch":
        np.savez(folder / "normalized.npz", **_normalized())


def _normalized() -> dict[str, npt.NDArray[np.float32]]:
    """Forward and gradients of one step of batch normalization, Keras's own and ours, and the statistics after it."""
    import torch

    set_up("float32", 0)
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


if __name__ == "__main__":
    run(Path(sys.argv[1]))
