"""Train a float network from one YAML file, into one folder; carry on where a killed run stopped."""

import csv
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edge.errors import EmotionEdgeError
from training.augment import Augment
from training.average import WeightAverage, load_state, save_state
from training.config import TrainingConfig, read_config, write_config
from training.datasets.dataset import Dataset, clean_training
from training.networks import build_network
from training.objectives import losses, targets
from training.progress import ProgressBar
from training.scores import accuracy, majority_accuracy

CONFIG_FILE = "config.yaml"
STATE_FILE = "state.npz"
HISTORY_FILE = "history.csv"
NETWORK_FILE = "network.keras"

_log = logging.getLogger(__name__)


def fit(config: TrainingConfig, data: Dataset, run: Path) -> Path:
    """Train on Training, choose the epoch on PublicTest by fer7 accuracy of the averaged weights.

    run: the folder of the run; a run that was stopped there carries on after its last whole epoch. Writes
    config.yaml, history.csv (a line an epoch), state.npz (to carry on) and network.keras (the chosen averaged
    network), and gives the path of the last. Raises EmotionEdgeError where the folder holds a run with other
    settings.
    """
    _claim(run, config)
    keras.utils.set_random_seed(config.seed)
    cleaned = clean_training(data)
    training, validation = cleaned.part("Training"), cleaned.part("PublicTest")
    network = build_network(config.network, keras, config.options)
    averaged = build_network(config.network, keras, config.options)
    averaged.set_weights(network.get_weights())
    model = trainable(network, Augment(**config.augment, seed=config.seed))
    steps = -(-len(training) // config.batch_size)
    optimizer = optimizer_for(
        model, config.learning_rate, config.warmup_epochs, config.weight_decay, steps * config.epochs, steps
    )
    model.compile(
        optimizer,
        loss=losses(config.label_smoothing),
        loss_weights={"fer7": 1.0, "ferplus8": config.ferplus_weight},
        jit_compile=jit_compile(),
    )
    groups = {"network": network.weights, "averaged": averaged.weights, "optimizer": optimizer.variables}
    done = load_state(run / STATE_FILE, groups) if (run / STATE_FILE).exists() else 0
    if done:
        _log.info("%s: carrying on after epoch %d", run, done)
    # A resumed run must not repeat the order and the augmentation of the first epochs.
    keras.utils.set_random_seed(config.seed + done)
    labels, weights = targets(training)
    model.fit(
        training.images[..., None],
        labels,
        sample_weight=weights,
        batch_size=config.batch_size,
        initial_epoch=done,
        epochs=config.epochs,
        verbose=0,
        callbacks=[
            WeightAverage(network, averaged, config.average_momentum, done * steps),
            _EpochEnd(run, averaged, validation, groups),
            ProgressBar(),
        ],
    )
    return run / NETWORK_FILE


def trainable(network: Any, augment: Any) -> Any:
    """The network behind augmentation: uint8 pixels [n, 48, 48, 1] in, the network's outputs out."""
    pixels = keras.Input(network.input_shape[1:], dtype="uint8", name="pixels")
    return keras.Model(pixels, network(augment(pixels)))


def optimizer_for(
    model: Any, peak: float, warmup_epochs: float, decay: float, total_steps: int, epoch_steps: int
) -> Any:
    """AdamW along a cosine with warm-up; no decay of biases and normalisation (Loshchilov and Hutter 2019)."""
    warmup = int(warmup_epochs * epoch_steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        peak / 100, max(1, total_steps - warmup), alpha=0.005, warmup_target=peak, warmup_steps=warmup
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    optimizer.build(model.trainable_variables)
    return optimizer


def jit_compile() -> bool | str:
    """TensorFlow's jit halves the speed of these networks on a CPU: 187 against 371 images a second on two cores."""
    return False if keras.backend.backend() == "tensorflow" else "auto"


def _claim(run: Path, config: TrainingConfig) -> None:
    run.mkdir(parents=True, exist_ok=True)
    path = run / CONFIG_FILE
    if path.exists() and read_config(path) != config:
        raise EmotionEdgeError(f"{run}: holds a run with other settings (see {path}); remove it or change `name`")
    write_config(config, path)


class _EpochEnd(keras.callbacks.Callback):  # type: ignore[misc]
    """After each epoch: figures of the averaged network, history, the best network so far, the state to carry on
    from.
    """

    def __init__(self, run: Path, averaged: Any, validation: Dataset, groups: Mapping[str, list[Any]]) -> None:
        super().__init__()
        self.run, self.averaged, self.validation, self.groups = run, averaged, validation, groups
        self.begun = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:  # noqa: ARG002
        self.begun = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logs = {} if logs is None else logs
        outputs = self.averaged.predict(self.validation.images[..., None] / np.float32(255), batch_size=512, verbose=0)
        logs["public_fer7"] = accuracy(outputs["fer7"], self.validation.labels)
        if self.validation.majority is not None:
            logs["public_ferplus8"] = majority_accuracy(outputs["ferplus8"], self.validation.majority)
        logs["seconds"] = time.monotonic() - self.begun
        best = max((float(row["public_fer7"]) for row in read_history(self.run)), default=-1.0)
        if logs["public_fer7"] > best:
            self.averaged.save(self.run / NETWORK_FILE)
        self._write_history(epoch, logs)
        save_state(self.run / STATE_FILE, self.groups, epoch + 1)

    def _write_history(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Add the epoch's line; lines of epochs that are now done again, after a kill, are dropped."""
        rows = [row for row in read_history(self.run) if int(row["epoch"]) <= epoch]
        rows.append({"epoch": str(epoch + 1), **{name: f"{value:.5f}" for name, value in logs.items()}})
        with (self.run / HISTORY_FILE).open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[-1].keys())
            writer.writeheader()
            writer.writerows(rows)


def read_history(run: Path) -> list[dict[str, str]]:
    """The lines of history.csv; none before the first epoch."""
    path = run / HISTORY_FILE
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
