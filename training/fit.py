"""Trains a float network by the settings of one YAML file into one folder, and resumes interrupted runs."""

import logging
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edge.errors import EmotionEdgeError
from training.augment import augmentation
from training.average import WeightAverage, load_state, save_state
from training.backend import Workers, jit_compile, on_accelerator, reseed, set_up, use_all_devices, workers
from training.batches import Batches
from training.config import AFFECT, CONFIG_FILE, NETWORK_FILE, TrainingConfig, read_config, write_config
from training.consistency import consistent_batches
from training.datasets.dataset import Dataset, clean_training
from training.datasets.derived_affect import with_derived_affect
from training.datasets.disk_images import DiskImages
from training.datasets.pixels import in_memory_or_on_disk
from training.distill import read_soft_labels
from training.evaluation.figures import read_network, save_network
from training.evaluation.metrics import ENOUGH
from training.history import LEARNING_RATE, TRAINING, best_epoch, board, in_short, stale, write_history
from training.networks import build_network
from training.objectives import Arrays, build_losses, head_sizes, losses, sampled_by, targets
from training.preview import PREVIEW_FILE, write_preview
from training.progress import counted, say_epoch, terminal_console
from training.teachers import open_teachers, taught_batches
from training.unlabelled import unlabelled_faces
from training.validation import check_judged, validate

STATE_FILE = "state.npz"
TRAINING_SAMPLE = 2000
"""Most Training faces on which accuracy and loss are measured after each epoch."""

_log = logging.getLogger(__name__)


class DivergedError(EmotionEdgeError):
    """Training diverged: the loss is not a finite number."""


def fit(config: TrainingConfig, data: Dataset, run: Path) -> Path:
    """Train a network and keep the epoch of highest PublicTest accuracy (averaged weights, mean over the heads).

    A stopped run continues after its last complete epoch, with the same result as without the stop. A finished run
    continues when it is given more `epochs`; its learning rate then follows the longer cosine. Of several workers
    (`backend.workers`), each of which calls this with the same settings and data, only the chief reads and writes
    files.

    Args:
        config: Settings of the run.
        data: The data set.
        run: Folder of the run: config.yaml, history.csv (a row for each epoch), state.npz (checkpoint), tensorboard/,
            augmented.png (faces as they are augmented) and network.keras (the averaged network of the best epoch).

    Returns:
        The path of network.keras.

    Raises:
        EmotionEdgeError: The folder holds a run with other settings, the data set lacks a label, an image or a split,
            the soft labels are of other faces or of none of the heads, batches do not divide among the workers, or the
            run is a mean (`training.soup`).
    """
    if config.mean_of:
        raise EmotionEdgeError(
            f"{config.name}: is the mean of other runs (`mean_of`); make it with `emotion-train soup`"
        )
    if AFFECT in config.heads and data.affect is None:
        data = with_derived_affect(data)
    heads = head_sizes(config, data)
    taught = read_soft_labels(config.teacher.soft_labels) if config.teacher and config.teacher.soft_labels else None
    if taught:
        taught.check_heads(config.heads)
    asked = open_teachers(config, data) if config.teacher and config.teacher.models else None
    team = workers()
    if team.chief:
        _claim(run, config)
    cleaned = clean_training(in_memory_or_on_disk(data, *config.input.shape, folder=run))
    training, validation = cleaned.part("Training"), cleaned.part("PublicTest")
    check_judged(validation, list(heads))
    if len(validation) < ENOUGH and team.chief:
        _log.warning(
            "%s: only %d faces of PublicTest to choose the epoch by; %d or more say something. `emotion-quantize mine` "
            "fits a released network to fewer",
            data.name,
            len(validation),
            ENOUGH,
        )
    # Evenly spaced rows, as the split may be sorted by class.
    sample = training.take(np.unique(np.linspace(0, len(training) - 1, TRAINING_SAMPLE).astype(int)))
    soft_labels = taught.of(training, data) if taught else {}
    assert not isinstance(training.images, tuple)
    images = training.images.reshape(len(training), *config.input.shape)
    wanted = targets(config, training, soft_labels)
    if config.unlabelled:
        if isinstance(images, DiskImages):
            raise EmotionEdgeError(
                f"{data.name}: its images do not fit into memory at this `input`, and `unlabelled` faces are only "
                "learned beside images that do; make `input` smaller"
            )
        faces, taught_alone = unlabelled_faces(config)
        images = np.concatenate([images, faces])
        wanted = {head: np.concatenate([values, taught_alone[head]]) for head, values in wanted.items()}
    classes = sampled_by(wanted[config.primary]) if config.sampling == "balanced" else None
    size = min(config.batch_size, len(images))
    share = team.share(size)
    use_all_devices(size)
    # Mixup, cutmix and images on the disk need arrays in main memory.
    mixes = bool(config.mixup or config.cutmix)
    main_memory = mixes or asked is not None or config.consistency is not None or isinstance(images, DiskImages)
    if not main_memory:
        images, wanted = on_accelerator(images), {head: on_accelerator(values) for head, values in wanted.items()}
    batches = Batches(images, wanted, size, config.seed, config.mixup, config.cutmix, classes)

    if team.chief:
        write_preview(training.images, config, run / PREVIEW_FILE)
    parts = build(config, heads, batches.steps, team)
    done = load_state(run / STATE_FILE, parts.variables) if team.chief else 0
    done = team.agree(done)
    if done:
        team.spread(parts.variables)
        _log.info("%s: resuming after epoch %d", run, done)
    console, writer = terminal_console(quiet=not team.chief), board(run) if team.chief else None
    for epoch in range(done, config.epochs):
        if config.patience is not None and team.agree(stale(run, epoch, config.patience, config.warmup_epochs)):
            _log.info("%s: no better epoch in the last %d; stopped", run, config.patience)
            break
        begun = time.monotonic()
        reseed((parts.augment, parts.model), config.seed, epoch, team.index)
        title = f"epoch {epoch + 1}/{config.epochs}"
        passing = batches.epoch(epoch, share)
        if config.consistency:
            passing = consistent_batches(passing, parts.averaged, config.consistency.weight_in(epoch))
        if asked:
            passing = taught_batches(passing, parts.augment, asked)
        figures = learn(parts, counted(passing, batches.steps, title, console), epoch * batches.steps)
        if not np.isfinite(figures["loss"]):
            raise DivergedError(f"{run}: the loss of epoch {epoch + 1} is no number; lower `learning_rate`")
        if writer is None:
            continue
        figures |= validate(parts.averaged, validation, list(heads))
        figures |= validate(parts.averaged, sample, list(heads), TRAINING)
        figures[LEARNING_RATE] = float(keras.ops.convert_to_numpy(parts.model.optimizer.learning_rate))
        figures["seconds"] = time.monotonic() - begun
        # Compares the rounded figures as written to history.csv, so that a report's best epoch is the one kept.
        write_history(run, epoch, figures)
        if best_epoch(run, epoch + 1) == epoch:
            save_network(parts.averaged, run)
        for name, value in figures.items():
            writer.add_scalar(name, value, epoch + 1)
        save_state(run / STATE_FILE, parts.variables, epoch + 1)
        say_epoch(console, epoch + 1, config.epochs, in_short(figures))
    if writer is not None:
        writer.close()
    return run / NETWORK_FILE


@dataclass(frozen=True, slots=True)
class Parts:
    """The objects of a training run.

    network: the network itself. averaged: its copy with averaged weights, in float32. augment: the augmentation layer.
    model: augmentation and network, or the network alone where teachers see the augmented batch, too. average: updates
    the averaged weights.
    """

    network: Any
    averaged: Any
    augment: Any
    model: Any
    average: WeightAverage

    @property
    def variables(self) -> dict[str, list[Any]]:
        """The variables of a checkpoint: network, averaged network and optimizer."""
        optimizer = self.model.optimizer.variables
        return {"network": self.network.weights, "averaged": self.averaged.weights, "optimizer": optimizer}


def build(config: TrainingConfig, heads: Mapping[str, int], epoch_steps: int, team: Workers) -> Parts:
    """Build the network of the settings with random weights, its averaged copy and its optimizer."""
    set_up("float32", config.seed)
    # Pretrained weights are loaded only once: the copy gets the weights of the network below.
    averaged = build_network(config.network, keras, config.input.shape, heads, config.options, load=False)
    set_up(config.precision, config.seed)
    with team.scope():
        network = build_network(config.network, keras, config.input.shape, heads, config.options)
        if config.continue_from:
            copy_weights(read_network(config.continue_from), network, config.continue_from)
        freeze(network, config.frozen, heads)
        augment = augmentation(config.augment, config.seed)
        model = network if config.teacher and config.teacher.models else trainable(network, augment)
        optimizer = optimizer_for(
            model, config.learning_rate, config.warmup_epochs, config.weight_decay, epoch_steps * config.epochs,
            epoch_steps,
        )  # fmt: skip
        # With float16, Keras wraps the optimizer in one that scales the loss.
        model.compile(optimizer, loss=losses(config), loss_weights=dict(config.heads), jit_compile=jit_compile())
        model.optimizer.build(model.trainable_variables)
        if team.count == 1:
            build_losses(model, heads)
        team.join(model)
    averaged.set_weights(network.get_weights())
    keras.config.set_dtype_policy("float32")
    return Parts(network, averaged, augment, model, WeightAverage(network, averaged, config.average_momentum))


def freeze(network: Any, part: float, heads: Collection[str]) -> None:
    """Freeze a share, `part`, of the layers with weights, counted from the input; heads are never frozen.

    Frozen batch normalization keeps its statistics, as always in Keras.
    """
    layers = [layer for layer in network.layers if layer.weights and layer.name not in heads]
    for layer in layers[: round(part * len(layers))]:
        layer.trainable = False


def copy_weights(source: Any, network: Any, path: Path) -> None:
    """Copy all weights, those of the heads included, between networks of the same build.

    Args:
        source: The network to copy from.
        network: The network to change.
        path: File of the source, for messages.

    Raises:
        EmotionEdgeError: Shapes or heads differ.
    """
    found, wanted = ([tuple(v.shape) for v in each.weights] for each in (source, network))
    if found != wanted or sorted(source.output) != sorted(network.output):
        raise EmotionEdgeError(
            f"{path}: not the same network as this run's (`network`, `options`, `input`, `heads`), so that "
            "`continue_from` cannot take its weights; `options: {weights: FILE}` takes those that fit"
        )
    network.set_weights(source.get_weights())


def learn(parts: Parts, batches: Iterable[tuple[Any, Arrays]], before: int) -> dict[str, float]:
    """Train on batches, one step each, and return the mean of each loss. before: number of earlier steps."""
    sums: Counter[str] = Counter()
    step = 0
    for step, (pixels, wanted) in enumerate(batches, 1):
        sums.update(parts.model.train_on_batch(pixels, wanted, return_dict=True))
        parts.average.update(before + step)
    return {name: value / step for name, value in sums.items()}


def trainable(network: Any, augment: Any) -> Any:
    """Build a model of augmentation and network, from uint8 pixels [n, h, w, c] to the network's outputs."""
    pixels = keras.Input(network.input_shape[1:], dtype="uint8", name="pixels")
    return keras.Model(pixels, network(augment(pixels)))


def optimizer_for(
    model: Any, peak: float, warmup_epochs: float, decay: float, total_steps: int, epoch_steps: int
) -> Any:
    """AdamW with warm-up, cosine schedule, and no decay of biases and normalisation (Loshchilov, Hutter 2019)."""
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
    # Settings may still be changed before the first epoch is finished.
    trained = (run / STATE_FILE).exists() or (run / NETWORK_FILE).exists()
    if trained and path.exists():
        before, now = read_config(path).model_dump(mode="json"), config.model_dump(mode="json")
        changed = [name for name in now if now[name] != before[name]]
        if changed == ["epochs"] and config.epochs > before["epochs"]:
            _log.info("%s: lengthened from %d epochs to %d", run, before["epochs"], config.epochs)
        elif changed:
            listed = ", ".join(f"{name} ({before[name]} there, {now[name]} now)" for name in changed)
            raise EmotionEdgeError(f"{run}: holds a run with other settings: {listed}; remove it or change `name`")
    write_config(config, path)
