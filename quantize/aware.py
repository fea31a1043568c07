"""Quantization-aware training with tensorflow-model-optimization: the network learns to live with int8."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from rich.console import Console

from edge.errors import EmotionEdgeError
from quantize.convert import to_int8, write_file
from quantize.twin import twin_of_run
from training.augment import Augment
from training.config import TrainingConfig, read_config
from training.datasets.dataset import Dataset, clean_training
from training.fit import CONFIG_FILE
from training.networks.plain_residual import HEADS
from training.objectives import targets
from training.progress import progress_bar
from training.scores import accuracy

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AwareSettings:
    """epochs: over the training split. learning_rate: the peak, lowered along a cosine to zero. label_weight: of the
    labels' loss beside the float network's (weight 1)."""

    epochs: int = 5
    learning_rate: float = 3e-4
    label_weight: float = 0.5


def quantize_aware(run: Path, data: Dataset, folder: Path, settings: AwareSettings) -> Path:
    """Fine-tune a run's network under simulated int8 and write folder/model.tflite.

    The data and the augmentation are the run's. The float network is the teacher: what it says of the whole, unmoved
    image and its mirror image is what the int8 one learns to say of the image however it is moved, lit and covered,
    beside the labels. So it learns to bear a detector's jitter, too. The epoch is chosen on PublicTest.
    """
    config = read_config(run / CONFIG_FILE)
    keras.utils.set_random_seed(config.seed)
    teacher = twin_of_run(run)
    student = quantized(teacher)
    cleaned = clean_training(data)
    _train(student, teacher, cleaned.part("Training"), cleaned.part("PublicTest"), config, settings)
    return write_file(to_int8(student), folder)


def quantized(network: Any) -> Any:
    """The network with simulated int8, its input pinned to 0 to 1 and its batch statistics kept as they are.

    Pinned, so that the input's scale is exactly 1/255: from there the range only ever widens, and no pixel is outside
    it; kept, because statistics that still move while they are folded into int8 weights cost accuracy
    (Krishnamoorthi, "Quantizing deep convolutional networks", 2018).
    """
    student = tfmot.quantization.keras.quantize_model(network)
    entry = next(layer for layer in student.layers if type(layer).__name__ == "QuantizeLayer")
    for variable in entry.weights:
        for bound, value in (("_min:0", 0.0), ("_max:0", 1.0)):
            if variable.name.endswith(bound):
                variable.assign(value)
    for layer in student.layers:
        inner = getattr(layer, "layer", layer)
        if isinstance(inner, tf_keras.layers.BatchNormalization):
            inner.trainable = False
    return student


def _train(
    student: Any, teacher: Any, training: Dataset, validation: Dataset, config: TrainingConfig, settings: AwareSettings
) -> None:
    """Train the student in place and leave it at the best epoch."""
    augment = Augment(**config.augment, seed=config.seed)
    labels, weights = targets(training)
    taught = _taught(teacher, training.images)
    count, size = len(training), min(config.batch_size, len(training))
    steps = count // size
    schedule = tf_keras.optimizers.schedules.CosineDecay(settings.learning_rate, steps * settings.epochs)
    optimizer = tf_keras.optimizers.Adam(schedule)
    hard = {
        "fer7": tf_keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=config.label_smoothing),
        "ferplus8": tf_keras.losses.CategoricalCrossentropy(from_logits=True),
    }
    soft = tf_keras.losses.CategoricalCrossentropy(from_logits=True)

    @tf.function  # type: ignore[untyped-decorator]
    def step(images: Any, said: dict[str, Any], wanted: dict[str, Any], rows: dict[str, Any]) -> Any:
        with tf.GradientTape() as tape:
            outputs = student(images, training=True)
            loss = tf.constant(0.0)
            for head in HEADS:
                loss += soft(said[head], outputs[head])
                loss += settings.label_weight * hard[head](wanted[head], outputs[head], sample_weight=rows[head])
        gradients = tape.gradient(loss, student.trainable_variables)
        optimizer.apply_gradients(zip(gradients, student.trainable_variables, strict=True))
        return loss

    console, generator = Console(), np.random.default_rng(config.seed)
    best, best_weights = -1.0, student.get_weights()
    for epoch in range(settings.epochs):
        order, total = generator.permutation(count), 0.0
        with progress_bar(console) as bar:
            task = bar.add_task(f"quantization-aware epoch {epoch + 1}/{settings.epochs}", total=steps)
            for index in np.array_split(order[: steps * size], steps):
                images = keras.ops.convert_to_numpy(augment(training.images[index, ..., None], training=True))
                said, wanted, rows = ({head: of[head][index] for head in HEADS} for of in (taught, labels, weights))
                total += float(step(images, said, wanted, rows))
                bar.advance(task)
        reached = accuracy(_logits(student, validation.images)["fer7"], validation.labels)
        console.print(
            f"quantization-aware epoch {epoch + 1}/{settings.epochs}  loss {total / steps:.4f}  "
            f"public_fer7 {reached:.4f}",
            highlight=False,
        )
        if not np.isfinite(total):
            raise EmotionEdgeError("quantization-aware training: the loss is no number; lower --learning-rate")
        if reached > best:
            best, best_weights = reached, student.get_weights()
    student.set_weights(best_weights)


def _taught(teacher: Any, images: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
    """The teacher's probabilities [n, classes] by head: the mean of those for each image and for its mirror image."""
    views = [_logits(teacher, images), _logits(teacher, images[:, :, ::-1])]
    return {head: np.mean([tf.nn.softmax(view[head]).numpy() for view in views], axis=0) for head in HEADS}


def _logits(network: Any, images: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
    """Logits [n, classes] by head, of the float network or under simulated int8, for images uint8 [n, 48, 48]."""

    @tf.function  # type: ignore[untyped-decorator]
    def forward(batch: Any) -> Any:
        return network(batch, training=False)

    inputs = images[..., None] / np.float32(255)
    parts = [forward(inputs[start : start + 256]) for start in range(0, len(inputs), 256)]
    return {head: np.concatenate([part[head].numpy() for part in parts]) for head in HEADS}
