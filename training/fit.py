"""Train a float network from one YAML file, into one folder; carry on where a killed run stopped."""

import csv
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from rich.console import Console
from tensorboard.summary import Writer

from edge.errors import EmotionEdgeError
from training.augment import Augment
from training.average import WeightAverage, load_state, save_state
from training.backend import jit_compile, reseed, set_up
from training.config import AFFECT, TrainingConfig, read_config, write_config
from training.datasets.dataset import Dataset, clean_training
from training.datasets.pixels import in_memory
from training.distill import read_soft_labels
from training.evaluate import NETWORK_FILE
from training.networks import build_network
from training.objectives import Arrays, head_sizes, losses, targets
from training.progress import counted, say_epoch
from training.scores import accuracy

CONFIG_FILE = "config.yaml"
STATE_FILE = "state.npz"
HISTORY_FILE = "history.csv"
BOARD_FOLDER = "tensorboard"
CHOSEN_BY = "public"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Batches:
    """The training faces in batches of one size, in an order that depends on the seed and the epoch alone.

    images: uint8 [n, h, w, c]. targets: by head, as `objectives.targets` gives them. A rest that fills no batch waits
    for another epoch.
    """

    images: npt.NDArray[np.uint8]
    targets: Arrays
    size: int
    seed: int
    mixup: float = 0.0

    @property
    def steps(self) -> int:
        """Batches an epoch."""
        return len(self.images) // self.size

    def epoch(self, number: int) -> Iterator[tuple[npt.NDArray[Any], Arrays]]:
        """The batches of an epoch, counted from 0."""
        generator = np.random.default_rng((self.seed, number))
        order = generator.permutation(len(self.images))
        for index in np.split(order[: self.steps * self.size], self.steps):
            images: npt.NDArray[Any] = self.images[index]
            batch = {head: values[index] for head, values in self.targets.items()}
            yield self._mixed(images, batch, generator) if self.mixup else (images, batch)

    def _mixed(
        self, images: npt.NDArray[Any], batch: Arrays, generator: np.random.Generator
    ) -> tuple[npt.NDArray[Any], Arrays]:
        """Each image laid over another of the batch, and its targets likewise (Zhang et al. 2018)."""
        part = generator.beta(self.mixup, self.mixup, len(images)).astype(np.float32)
        part = np.maximum(part, 1 - part)[:, None]
        other = generator.permutation(len(images))
        pixels = part[..., None, None] * images + (1 - part[..., None, None]) * images[other]
        mixed = {head: part * values + (1 - part) * values[other] for head, values in batch.items()}
        return np.rint(pixels).astype(np.uint8), mixed


def fit(config: TrainingConfig, data: Dataset, run: Path) -> Path:
    """Train on Training, choose the epoch on PublicTest by the averaged weights' accuracy (mean over the heads).

    run: the folder of the run; a run that was stopped there carries on after its last whole epoch, to the same end.
    Writes config.yaml, history.csv (a line an epoch), state.npz (to carry on), tensorboard/ and network.keras (the
    chosen averaged network), and gives the path of the last. Raises EmotionEdgeError where the folder holds a run
    with other settings, or the data set lacks a label, an image or a split that the settings ask for.
    """
    heads = head_sizes(config, data)
    taught = read_soft_labels(config.teacher.soft_labels) if config.teacher else None
    _claim(run, config)
    cleaned = clean_training(in_memory(data, *config.input.shape))
    training, validation = cleaned.part("Training"), cleaned.part("PublicTest")
    said = taught.of(training) if taught else {}
    images = training.pixels.reshape(len(training), *config.input.shape)
    size = min(config.batch_size, len(training))
    batches = Batches(images, targets(config, training, said), size, config.seed, config.mixup)

    set_up("float32", config.seed)
    averaged = build_network(config.network, keras, config.input.shape, heads, config.options)
    set_up(config.precision, config.seed)
    network = build_network(config.network, keras, config.input.shape, heads, config.options)
    averaged.set_weights(network.get_weights())
    model = trainable(network, Augment(**config.augment, seed=config.seed))
    optimizer = optimizer_for(
        model, config.learning_rate, config.warmup_epochs, config.weight_decay, batches.steps * config.epochs,
        batches.steps,
    )  # fmt: skip
    model.compile(optimizer, loss=losses(config), loss_weights=dict(config.heads), jit_compile=jit_compile())

    average = WeightAverage(network, averaged, config.average_momentum)
    groups = {"network": network.weights, "averaged": averaged.weights, "optimizer": optimizer.variables}
    done = load_state(run / STATE_FILE, groups) if (run / STATE_FILE).exists() else 0
    if done:
        _log.info("%s: carrying on after epoch %d", run, done)
    console, writer = Console(), Writer(str(run / BOARD_FOLDER))
    for epoch in range(done, config.epochs):
        if _stale(run, epoch, config.patience):
            _log.info("%s: no better epoch in the last %d; stopped", run, config.patience)
            break
        begun = time.monotonic()
        reseed(model, config.seed, epoch)
        logs: dict[str, float] = {}
        title = f"epoch {epoch + 1}/{config.epochs}"
        for step, (pixels, wanted) in enumerate(counted(batches.epoch(epoch), batches.steps, title, console), 1):
            logs = model.train_on_batch(pixels, wanted, return_dict=True)
            average.update(epoch * batches.steps + step)
        model.reset_metrics()
        figures = {name: float(value) for name, value in logs.items()}
        if not np.isfinite(figures["loss"]):
            raise EmotionEdgeError(f"{run}: the loss of epoch {epoch + 1} is no number; lower `learning_rate`")
        figures |= validate(averaged, validation, list(heads))
        figures["seconds"] = time.monotonic() - begun
        if figures[CHOSEN_BY] > max((float(row[CHOSEN_BY]) for row in read_history(run, epoch)), default=-1.0):
            partial = run / f"partial-{NETWORK_FILE}"
            averaged.save(partial)
            partial.replace(run / NETWORK_FILE)
        _write_history(run, epoch, figures)
        for name, value in figures.items():
            writer.add_scalar(name, value, epoch + 1)
        save_state(run / STATE_FILE, groups, epoch + 1)
        say_epoch(console, epoch + 1, config.epochs, figures)
    writer.close()
    keras.config.set_dtype_policy("float32")
    return run / NETWORK_FILE


def trainable(network: Any, augment: Any) -> Any:
    """The network behind augmentation: uint8 pixels [n, h, w, c] in, the network's outputs out."""
    pixels = keras.Input(network.input_shape[1:], dtype="uint8", name="pixels")
    return keras.Model(pixels, network(augment(pixels)))


def validate(network: Any, validation: Dataset, heads: Sequence[str]) -> dict[str, float]:
    """`public_<head>`: accuracy of each emotion head; `public`: their mean (0 where no head is an emotion)."""
    images = validation.pixels.reshape(len(validation), *network.input_shape[1:])
    outputs = network.predict(images / np.float32(255), batch_size=256, verbose=0)
    found = {}
    for head in heads:
        if head != AFFECT:
            judged = validation.labels[head].judged
            found[f"public_{head}"] = accuracy(np.asarray(outputs[head])[judged >= 0], judged[judged >= 0])
    return {**found, CHOSEN_BY: float(np.mean(list(found.values()))) if found else 0.0}


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


def _claim(run: Path, config: TrainingConfig) -> None:
    run.mkdir(parents=True, exist_ok=True)
    path = run / CONFIG_FILE
    if path.exists() and read_config(path) != config:
        raise EmotionEdgeError(f"{run}: holds a run with other settings (see {path}); remove it or change `name`")
    write_config(config, path)


def _stale(run: Path, done: int, patience: int | None) -> bool:
    """Whether the best epoch is more than `patience` epochs ago."""
    figures = [float(row[CHOSEN_BY]) for row in read_history(run, done)]
    return patience is not None and bool(figures) and done - 1 - int(np.argmax(figures)) >= patience


def _write_history(run: Path, epoch: int, figures: Mapping[str, float]) -> None:
    """Add the epoch's line; lines of epochs that are now done again, after a kill, are dropped."""
    rows = read_history(run, epoch)
    rows.append({"epoch": str(epoch + 1), **{name: f"{value:.5f}" for name, value in figures.items()}})
    partial = run / f"partial-{HISTORY_FILE}"
    with partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[-1].keys())
        writer.writeheader()
        writer.writerows(rows)
    partial.replace(run / HISTORY_FILE)


def read_history(run: Path, epochs: int | None = None) -> list[dict[str, str]]:
    """The lines of history.csv, of the first `epochs` epochs or all; none before the first epoch."""
    path = run / HISTORY_FILE
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [row for row in csv.DictReader(file) if epochs is None or int(row["epoch"]) <= epochs]
