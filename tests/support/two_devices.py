"""`python -m tests.support.two_devices FOLDER`: trains on FOLDER/data with JAX; prints the number of devices."""

import sys
from pathlib import Path

import keras

from tests.support.fer2013_files import TINY
from training.backend import devices
from training.config import TrainingConfig
from training.datasets import read_dataset
from training.fit import fit


def run(folder: Path) -> None:
    """Train, and print the number of devices that shared each batch."""
    settings = {**TINY, "heads": {"fer7": 1.0}, "epochs": 2, "augment": {"shift": 0.0}}
    fit(TrainingConfig.model_validate(settings), read_dataset(folder / "data"), folder / "run")
    print(f"{keras.backend.backend()}: {devices()} devices")


if __name__ == "__main__":
    run(Path(sys.argv[1]))
