"""`python -m training.compare`: accuracy of each network after the same budget of processor time.

Every network is trained alike (heads, augmentation, AdamW, the same batches in the same order) until this process has
spent the given processor time, all threads together, and is then judged on PublicTest. A small network sees more images
than a large one: the result tells which to start with on a machine, not which is best in the end.
"""

import argparse
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras

from edge.errors import EmotionEdgeError
from training.augment import augmentation
from training.backend import jit_compile
from training.batches import Batches
from training.config import AFFECT, TrainingConfig
from training.cost import multiply_adds, parameters
from training.datasets import read_dataset
from training.datasets.dataset import Dataset, clean_training
from training.datasets.pixels import in_memory
from training.fit import trainable
from training.networks import NETWORKS, build_network
from training.objectives import build_losses, head_sizes, losses, targets
from training.validation import validate

WARMUP = 0.05
"""Part of the budget in which the learning rate rises to its peak; it falls to zero along a cosine after that."""

MOMENTUM = 0.9
"""Momentum of the batch normalization statistics; low, as a large network makes few steps in a short budget."""

CLIP = 1.0
"""Largest norm of the gradient, so that the network without normalization tolerates the common learning rate."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Result of one network.

    accuracy: on PublicTest by head, 0 to 1. images: number of training images processed. rate: images per second of
    processor time.
    """

    name: str
    accuracy: Mapping[str, float]
    parameters: int
    multiply_adds: int
    images: int
    rate: float


def recipe(data: Dataset) -> TrainingConfig:
    """Settings shared by all networks; the heads are those that the data set has labels for."""
    wanted = {head: weight for head, weight in (("ferplus8", 1.0), ("fer7", 1.0)) if head in data.labels}
    heads = wanted or {next(iter(data.labels)): 1.0}
    if data.affect is not None:
        heads[AFFECT] = 0.5
    settings = {"name": "compare", "heads": heads, "epochs": 1, "batch_size": 64, "learning_rate": 1e-3}
    return TrainingConfig.model_validate(settings)


def compare(name: str, data: Dataset, seconds: float, config: TrainingConfig) -> Compared:
    """Train a network for some seconds of processor time and evaluate it.

    data: data set with the splits Training and PublicTest, images in memory. The clock starts after the first batch, so
    that building the graph does not count.
    """
    keras.backend.clear_session()
    keras.utils.set_random_seed(config.seed)
    training, validation = data.part("Training"), data.part("PublicTest")
    heads = head_sizes(config, data)
    network = build_network(name, keras, config.input.shape, heads, {})
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = MOMENTUM
    model = trainable(network, augmentation(config.augment, config.seed))
    optimizer = keras.optimizers.AdamW(config.learning_rate, config.weight_decay, global_clipnorm=CLIP)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(optimizer, loss=losses(config), loss_weights=dict(config.heads), jit_compile=jit_compile())
    build_losses(model, heads)
    images = training.pixels.reshape(len(training), *config.input.shape)
    size = min(config.batch_size, len(training))
    seen, spent = _train(
        model, Batches(images, targets(config, training, {}), size, config.seed), config.learning_rate, seconds
    )
    figures = validate(network, validation, list(heads))
    accuracy = {head: figures[f"public_{head}"] for head in heads if head != AFFECT}
    return Compared(name, accuracy, parameters(network), multiply_adds(network), seen, seen / spent)


def _train(model: Any, batches: Batches, peak: float, seconds: float) -> tuple[int, float]:
    """Train until the processor time is spent; returns the number of images and the time in seconds."""
    seen, epoch, begun, spent = -batches.size, 0, 0.0, 0.0
    while True:
        for pixels, wanted in batches.epoch(epoch):
            model.optimizer.learning_rate = peak * _share(spent / seconds)
            model.train_on_batch(pixels, wanted)
            seen += len(pixels)
            if seen == 0:
                begun = time.process_time()
            spent = time.process_time() - begun
            if seen and spent >= seconds:
                return seen, spent
        epoch += 1


def _share(done: float) -> float:
    """Learning rate as a fraction of its peak, after a fraction of the budget."""
    return max(0.01, done / WARMUP) if done < WARMUP else 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def overview() -> str:
    """Every network of the registry as a Markdown table."""
    lines = [
        "| network | from | parameters | multiply-adds at 48x48, grey | int8 | ImageNet weights |",
        "|---|---|---:|---:|---|---|",
    ]
    for name, architecture in NETWORKS.items():
        about = architecture.about
        lines.append(
            f"| `{name}` | {about.source} | {_thousands(about.parameters)} | {_millions(about.multiply_adds)} | "
            f"{about.int8} | {'yes' if about.imagenet else 'no'} |"
        )
    return "\n".join(lines)


def table(rows: Sequence[Compared]) -> str:
    """The results as a Markdown table, the best first."""
    heads = list(rows[0].accuracy)
    lines = [
        "| network | "
        + " | ".join(f"PublicTest {head}" for head in heads)
        + " | parameters | multiply-adds | images seen | images a CPU-second |",
        "|---" + "|---:" * (len(heads) + 4) + "|",
    ]
    for row in sorted(rows, key=lambda row: -sum(row.accuracy.values())):
        figures = " | ".join(f"{row.accuracy[head]:.1%}" for head in heads)
        lines.append(
            f"| `{row.name}` | {figures} | {_thousands(row.parameters)} | {_millions(row.multiply_adds)} | "
            f"{row.images:,} | {row.rate:.0f} |"
        )
    return "\n".join(lines)


def page(rows: Sequence[Compared], data: Dataset, minutes: float, config: TrainingConfig) -> str:
    """The text of docs/networks.md."""
    height, width, channels = config.input.shape
    return f"""# Networks

Written by `.venv-dev/bin/python -m training.compare`; run it again rather than change it here.

{overview()}

Parameters and multiply-adds are those of the defaults with the heads ferplus8, fer7 and affect. "Edge TPU" means that
every operation is one it runs by Coral's published rules (`emotion-quantize edgetpu` looks at a file).

## After the same budget

{minutes:g} min of processor time each on {data.name} at {height}x{width}x{channels}, from a random start, with the
defaults of each network; heads {", ".join(config.heads)}; batches of {config.batch_size} in the same order, the same
augmentation, AdamW with a peak learning rate of {config.learning_rate:g}. After so little a small network leads because
it has seen more images: this says what to begin with on a processor, not what is best in the end.

{table(rows)}
"""


def _thousands(count: int) -> str:
    return f"{count / 1e3:,.0f} k"


def _millions(count: int) -> str:
    return f"{count / 1e6:,.1f} M"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, or 2 after an error of the user, printed as one line on standard error."""
    parser = argparse.ArgumentParser(prog="python -m training.compare", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("data"), help="a data set (data)")
    parser.add_argument("--minutes", type=float, required=True, help="of processor time for each network")
    parser.add_argument("--networks", default=",".join(NETWORKS), help="names with commas between (all)")
    parser.add_argument("--out", type=Path, help="write the whole page there too, such as docs/networks.md")
    options = parser.parse_args(arguments)
    try:
        names = options.networks.split(",")
        unknown = [name for name in names if name not in NETWORKS]
        if unknown:
            raise EmotionEdgeError(f"networks {', '.join(unknown)}: not known (known: {', '.join(NETWORKS)})")
        if options.minutes <= 0:
            raise EmotionEdgeError(f"--minutes {options.minutes:g}: must be more than 0")
        data = read_dataset(options.data)
        config = recipe(data)
        data = clean_training(in_memory(data, *config.input.shape))
        rows = []
        for name in names:
            rows.append(compare(name, data, 60 * options.minutes, config))
            figures = ", ".join(f"{head} {value:.1%}" for head, value in rows[-1].accuracy.items())
            print(f"{name}: {figures} after {rows[-1].images:,} images", flush=True)
    except EmotionEdgeError as error:
        print(f"compare: {error}", file=sys.stderr)
        return 2
    print(f"\n{table(rows)}")
    if options.out:
        options.out.write_text(page(rows, data, options.minutes, config), encoding="utf-8")
        print(f"wrote {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
