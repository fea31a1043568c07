"""Training objectives: the targets of each head, their weights, and the losses."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from edge.errors import EmotionEdgeError
from training.backend import over_workers
from training.config import AFFECT, TrainingConfig
from training.datasets.dataset import Dataset, Labels

Arrays = dict[str, npt.NDArray[np.float32]]

EFFECTIVE_BETA = 0.999
"""Beta of the effective number of samples (Cui et al. 2019); that paper uses 0.9 to 0.9999."""


def head_sizes(config: TrainingConfig, data: Dataset) -> dict[str, int]:
    """Number of outputs of each head. Raises EmotionEdgeError for a head that the data set has no labels for."""
    for head in config.heads:
        known = data.affect is not None if head == AFFECT else head in data.labels
        if not known:
            there = [*data.labels, *([] if data.affect is None else [AFFECT])]
            raise EmotionEdgeError(
                f"head {head!r}: data set {data.name} has no such labels (it has {', '.join(there)}); change `heads`"
            )
    return {head: 2 if head == AFFECT else len(data.labels[head].names) for head in config.heads}


def losses(config: TrainingConfig) -> dict[str, Any]:
    """The loss of each head."""
    return {head: ConcordanceLoss() if head == AFFECT else SoftLoss(config.focal_gamma) for head in config.heads}


def build_losses(model: Any, heads: Mapping[str, int]) -> None:
    """Make the running means of a compiled model's losses before its first step.

    TensorFlow traces a step a second time if its first call makes variables; a trace takes seconds of processor time.

    Args:
        model: A Keras model compiled with `losses`, in one process.
        heads: Number of outputs of each head, as from `head_sizes`.
    """
    model.compute_loss(
        y={head: np.zeros((1, size + 1), np.float32) for head, size in heads.items()},
        y_pred={head: np.zeros((1, size), np.float32) for head, size in heads.items()},
    )


def targets(config: TrainingConfig, data: Dataset, taught: Mapping[str, npt.NDArray[np.float32]]) -> Arrays:
    """Compute the target of each head: float32 [n, classes + 1], probabilities and the row's weight; for affect [n, 3].

    Rows without a label have the weight 0. taught: a teacher's probabilities [n, classes] by head, empty without a
    teacher; they are mixed into the labels. As cross-entropy is linear in its target, that is the weighted sum of both
    losses (Hinton et al. 2015, at temperature 1).
    """
    found: Arrays = {}
    for head in config.heads:
        if head == AFFECT:
            assert data.affect is not None
            known = ~np.isnan(data.affect).any(axis=1, keepdims=True)
            found[head] = np.concatenate([np.nan_to_num(data.affect), known], axis=1).astype(np.float32)
        else:
            found[head] = _emotion_targets(data.labels[head], config)
    return found if config.teacher is None else with_teacher(found, taught, config.teacher.weight)


def sampled_by(wanted: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """The most likely class of each target of a head, as from `targets`; -1 for rows without one. int64 [n]."""
    known = (wanted[:, -1] > 0) & wanted[:, :-1].any(axis=1)
    return np.where(known, wanted[:, :-1].argmax(axis=1), -1)


def with_teacher(wanted: Arrays, taught: Mapping[str, npt.NDArray[np.float32]], part: float) -> Arrays:
    """Mix targets with a teacher's probabilities.

    Args:
        wanted: Targets by head, as from `targets`.
        taught: Probabilities [n, classes] by head; other heads stay as they are.
        part: Weight of the teacher, 0 to 1; rows without a label are the teacher's alone.
    """
    found = dict(wanted)
    for head in found.keys() & taught.keys() if part else ():
        own, weight, soft = found[head][:, :-1], found[head][:, -1:], taught[head]
        known = weight > 0
        mixed = np.where(known, part * soft + (1.0 - part) * own, soft)
        found[head] = np.concatenate([mixed, np.where(known, weight, 1.0)], axis=1).astype(np.float32)
    return found


def _emotion_targets(labels: Labels, config: TrainingConfig) -> npt.NDArray[np.float32]:
    classes = len(labels.names)
    wanted = labels.probabilities.copy()
    known = wanted.any(axis=1)
    single = wanted.max(axis=1) == 1.0
    # Only single labels are smoothed: a distribution of votes is already soft.
    if np.all(single[known]):
        wanted[known] = wanted[known] * (1.0 - config.label_smoothing) + config.label_smoothing / classes
    weight = np.where(known, class_weights(labels, config.class_balance), 0.0)
    return np.asarray(np.concatenate([wanted, weight[:, None]], axis=1), np.float32)


def class_weights(labels: Labels, balance: str) -> npt.NDArray[np.float32]:
    """The weight of each row [n] by the frequency of its most likely class; the mean over labelled rows is 1.

    `inverse`: 1 / count. `effective`: (1 - beta) / (1 - beta^count), Cui et al., "Class-balanced loss based on
    effective number of samples" (2019).
    """
    known = labels.probabilities.any(axis=1)
    if balance == "none" or not known.any():
        return np.ones(len(known), np.float32)
    classes = labels.probabilities.argmax(axis=1)
    counts = np.maximum(np.bincount(classes[known], minlength=len(labels.names)), 1)
    by_class = 1.0 / counts if balance == "inverse" else (1 - EFFECTIVE_BETA) / (1 - EFFECTIVE_BETA**counts)
    weights = by_class[classes] * known
    return np.asarray(weights / weights[known].mean(), np.float32)


@keras.saving.register_keras_serializable("emotion_edge")
class SoftLoss(keras.losses.Loss):  # type: ignore[misc]
    """Cross-entropy of logits [n, classes] with targets [n, classes + 1], whose last column is the row's weight.

    gamma: exponent of the focal loss (Lin et al. 2017), which lowers the weight of faces predicted with confidence.
    """

    def __init__(self, gamma: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.gamma = gamma

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gamma": self.gamma}

    def call(self, y_true: Any, y_pred: Any) -> Any:
        y_true, logits = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
        wanted, weight = y_true[:, :-1], y_true[:, -1]
        logs = ops.log_softmax(logits, axis=-1)
        if self.gamma:
            logs = logs * ops.power(1.0 - ops.exp(logs), self.gamma)
        return -weight * ops.sum(wanted * logs, axis=-1)


@keras.saving.register_keras_serializable("emotion_edge")
class ConcordanceLoss(keras.losses.Loss):  # type: ignore[misc]
    """1 - CCC (Lin 1989), mean of valence and arousal over the batch of all workers, plus the squared error.

    Predictions [n, 2]; targets [n, 3]: valence, arousal and the row's weight.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        y_true, predicted = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
        true, weight = y_true[:, :2], y_true[:, 2:]
        total = ops.maximum(over_workers(ops.sum(weight)), 1e-6)

        def mean(values: Any) -> Any:
            return over_workers(ops.sum(weight * values, axis=0)) / total

        mean_true, mean_predicted = mean(true), mean(predicted)
        off_true, off_predicted = true - mean_true, predicted - mean_predicted
        shared = 2.0 * mean(off_true * off_predicted)
        spread = (
            mean(off_true * off_true) + mean(off_predicted * off_predicted) + ops.square(mean_true - mean_predicted)
        )
        concordance = ops.mean(shared / (spread + 1e-6))
        error = ops.mean(ops.square(true - predicted) * weight, axis=-1)
        return (1.0 - concordance) + error
