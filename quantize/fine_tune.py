"""Fine-tunes a network towards the outputs of the float network that it replaces."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras

from edge.errors import EmotionEdgeError
from quantize.calibration import as_input
from training.augment import augmentation
from training.config import AFFECT, TrainingConfig
from training.datasets.dataset import Dataset, clean_training
from training.datasets.pixels import from_disk
from training.progress import counted, terminal_console

Arrays = Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Lesson:
    """How a network is fine-tuned.

    title: for messages. epochs: number of passes over Training. learning_rate: peak, lowered to zero along a cosine.
    taught: a teacher's probabilities [n, classes] by head, for the faces of Training in the order of `clean_training`;
    empty without a teacher. taught_weight: weight of these; that of the float network's outputs is 1. keep_best: True
    keeps the epoch with the highest agreement on PublicTest, or the start if none is better; False the last epoch.
    """

    title: str
    epochs: int
    learning_rate: float
    taught: Arrays
    taught_weight: float = 0.5
    keep_best: bool = True


def teach(
    student: Any,
    twin: Any,
    data: Dataset,
    config: TrainingConfig,
    lesson: Lesson,
    before_step: Callable[[], None] = lambda: None,
) -> None:
    """Train the student in place towards the outputs of the float network, and leave it at the best epoch.

    Both networks get the same augmented images; the loss is the Kullback-Leibler divergence (squared difference for
    valence and arousal). Labels are not used, so that the network stays the one whose figures are known.

    twin: the float network in tf_keras. config: settings of its run, for augmentation, batch size and seed.
    """
    keras.utils.set_random_seed(config.seed)
    cleaned = clean_training(data)
    training, validation = cleaned.part("Training").images, from_disk(cleaned.part("PublicTest")).pixels
    assert not isinstance(training, tuple)
    augment = augmentation(config.augment, config.seed)
    count, size = len(training), min(config.batch_size, len(training))
    steps = count // size
    schedule = tf_keras.optimizers.schedules.CosineDecay(lesson.learning_rate, steps * lesson.epochs)
    optimizer = tf_keras.optimizers.Adam(schedule)
    soft = tf_keras.losses.CategoricalCrossentropy(from_logits=True)
    divergence, distance = tf_keras.losses.KLDivergence(), tf_keras.losses.MeanSquaredError()

    @tf.function  # type: ignore[untyped-decorator]
    def step(images: Any, wanted: dict[str, Any]) -> Any:
        teacher = twin(images, training=False)
        with tf.GradientTape() as tape:
            outputs = student(images, training=True)
            loss = tf.constant(0.0)
            for head, output in outputs.items():
                if head == AFFECT:
                    loss += distance(teacher[head], output)
                else:
                    loss += divergence(tf.nn.softmax(teacher[head]), tf.nn.softmax(output))
                if head in wanted:
                    loss += lesson.taught_weight * soft(wanted[head], output)
        gradients = tape.gradient(loss, student.trainable_variables)
        optimizer.apply_gradients(zip(gradients, student.trainable_variables, strict=True))
        return loss

    console, generator = terminal_console(), np.random.default_rng(config.seed)
    float_says = outputs_of(twin, validation)
    best, best_weights = agreement(outputs_of(student, validation), float_says), student.get_weights()
    console.print(f"{lesson.title}, before training: same label as float {best:.2%}", highlight=False)
    images = training.reshape(count, *config.input.shape)
    for epoch in range(lesson.epochs):
        order, total = generator.permutation(count), 0.0
        title = f"{lesson.title} epoch {epoch + 1}/{lesson.epochs}"
        for index in counted(np.split(order[: steps * size], steps), steps, title, console):
            before_step()
            moved = keras.ops.convert_to_numpy(augment(images[index], training=True))
            total += float(step(moved, {head: values[index] for head, values in lesson.taught.items()}))
        reached = agreement(outputs_of(student, validation), float_says)
        console.print(
            f"{title}  loss {total / steps:.4f}  same label as float {reached:.2%}",
            highlight=False,
        )
        if not np.isfinite(total):
            raise EmotionEdgeError(f"{lesson.title}: the loss is no number; lower --learning-rate")
        if reached > best:
            best, best_weights = reached, student.get_weights()
    if lesson.keep_best:
        student.set_weights(best_weights)


def agreement(outputs: Arrays, others: Arrays) -> float:
    """Share of rows for which two networks predict the same label, 0 to 1, mean over the emotion heads."""
    same = [
        np.mean(values.argmax(axis=1) == others[head].argmax(axis=1))
        for head, values in outputs.items()
        if head != AFFECT
    ]
    return float(np.mean(same))


def outputs_of(network: Any, images: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
    """Run a network, float or with simulated int8, on images uint8 [n, h, w] or [n, h, w, 3]; outputs by head."""

    @tf.function  # type: ignore[untyped-decorator]
    def forward(batch: Any) -> Any:
        return network(batch, training=False)

    parts = [forward(as_input(images[start : start + 256])) for start in range(0, len(images), 256)]
    return {head: np.concatenate([part[head].numpy() for part in parts]) for head in parts[0]}
