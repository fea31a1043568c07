"""`python -m training.throughput`: training speed of the backend KERAS_BACKEND, in images per second.

Compares `emotion-train fit` on the small network (own batches, augmentation, averaged weights) with a plain Keras `fit`
of the same network without augmentation. Both run in this process by turns; the best turn of each counts.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from edge.errors import EmotionEdgeError
from training.backend import Workers, jit_compile, reseed, set_up
from training.batches import Batches
from training.config import TrainingConfig
from training.datasets import read_dataset
from training.datasets.dataset import clean_training
from training.datasets.pixels import in_memory
from training.fit import build, learn, optimizer_for
from training.networks import build_network
from training.objectives import losses

BACKENDS: Final = ("tensorflow", "jax", "torch")
PRECISIONS: Final = ("float32", "mixed_bfloat16")
TURNS: Final = 3
HEADS: Final = {"ferplus8": 8, "fer7": 7}
HEADER: Final = (
    "| backend | precision | images a second | of plain Keras | ratio | images a CPU-second | of plain Keras |\n"
    "|---|---|---:|---:|---:|---:|---:|"
)


@dataclass(frozen=True, slots=True)
class Rate:
    """Images per second, and per second of processor time of all threads."""

    wall: float
    processor: float


def measure(precision: str, images: Any) -> tuple[Rate, Rate]:
    """Rates of this project's training loop and of a plain Keras one. images: uint8 [n, 48, 48, 1]."""
    settings = {"name": "throughput", "heads": dict.fromkeys(HEADS, 1.0), "epochs": TURNS + 1, "precision": precision}
    config = TrainingConfig.model_validate(settings)
    generator = np.random.default_rng(0)
    targets = {}
    for head, size in HEADS.items():
        classes = np.eye(size, dtype=np.float32)[generator.integers(size, size=len(images))]
        targets[head] = np.concatenate([classes, np.ones((len(images), 1), np.float32)], axis=1)
    batches = Batches(images, targets, config.batch_size, config.seed)
    parts = build(config, HEADS, batches.steps, Workers())

    def ours(turn: int) -> None:
        reseed((parts.augment, parts.model), config.seed, turn)
        learn(parts, batches.epoch(turn), turn * batches.steps)

    set_up(precision, config.seed)
    plain = build_network(config.network, keras, config.input.shape, HEADS, config.options)
    optimizer = optimizer_for(plain, config.learning_rate, 1.0, config.weight_decay, 100, 10)
    plain.compile(optimizer, loss=losses(config), loss_weights=dict(config.heads), jit_compile=jit_compile())
    keras.config.set_dtype_policy("float32")
    pixels = images / np.float32(255)
    count = batches.steps * batches.size

    def keras_own(_: int) -> None:
        plain.fit(pixels[:count], {k: v[:count] for k, v in targets.items()}, batch_size=batches.size, verbose=0)

    rates: dict[str, list[Rate]] = {"ours": [], "plain": []}
    for turn in range(TURNS + 1):
        for name, run in (("ours", ours), ("plain", keras_own)):
            rates[name].append(_timed(run, turn, count))
    # The first turn builds and compiles.
    best = [
        Rate(max(rate.wall for rate in found[1:]), max(rate.processor for rate in found[1:]))
        for found in rates.values()
    ]
    return best[0], best[1]


def _timed(run: Callable[[int], None], turn: int, count: int) -> Rate:
    wall, processor = time.perf_counter(), time.process_time()
    run(turn)
    return Rate(count / (time.perf_counter() - wall), count / (time.process_time() - processor))


def row(precision: str, images: Any) -> str:
    """A row of the table of throughput, in Markdown."""
    ours, plain = measure(precision, images)
    return (
        f"| {keras.backend.backend()} | {precision} | {ours.wall:.0f} | {plain.wall:.0f} | "
        f"{ours.wall / plain.wall:.2f} | {ours.processor:.0f} | {plain.processor:.0f} |"
    )


def every_backend(arguments: Sequence[str]) -> None:
    """Print a table of all installed backends, each measured in a process of its own."""
    print(HEADER)
    for name in BACKENDS:
        if importlib.util.find_spec(name) is None:
            print(f"{name}: not installed", file=sys.stderr)
            continue
        done = subprocess.run(
            [sys.executable, "-m", "training.throughput", *arguments], env={**os.environ, "KERAS_BACKEND": name},
            stdout=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise EmotionEdgeError(f"{name}: ended with status {done.returncode}; see above")
        print("\n".join(line for line in done.stdout.splitlines() if line.startswith(f"| {name}")), flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, or 2 after an error of the user, printed as one line on standard error."""
    parser = argparse.ArgumentParser(prog="python -m training.throughput", description=__doc__)
    parser.add_argument("--data", type=Path, help="a data set (random pixels, which take as long)")
    parser.add_argument("--images", type=int, default=2560, help="in each turn, at least 128 (2560)")
    parser.add_argument("--all", action="store_true", help="every backend that is installed")
    options = parser.parse_args(arguments)
    try:
        if options.images < 128:
            raise EmotionEdgeError(f"--images {options.images}: must be at least 128, a batch")
        if options.all:
            data = [] if options.data is None else ["--data", str(options.data)]
            every_backend([*data, "--images", str(options.images)])
            return 0
        images = _images(options.data, options.images)
        print(HEADER)
        for precision in PRECISIONS:
            print(row(precision, images), flush=True)
    except EmotionEdgeError as error:
        print(f"throughput: {error}", file=sys.stderr)
        return 2
    return 0


def _images(path: Path | None, count: int) -> Any:
    """At most `count` Training faces, uint8 [n, 48, 48, 1]; random pixels if there is no data set."""
    if path is None:
        return np.random.default_rng(0).integers(0, 256, (count, 48, 48, 1), np.uint8)
    training = clean_training(in_memory(read_dataset(path), 48, 48, 1)).part("Training")
    if len(training) < 128:
        raise EmotionEdgeError(f"{path}: has {len(training)} Training faces; a batch is 128")
    return training.pixels[:count].reshape(-1, 48, 48, 1)


if __name__ == "__main__":
    sys.exit(main())
