"""Figures of a classifier from its logits: numpy alone, so that float and int8 are judged by the same code."""

from typing import Any

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.int64]


def accuracy(logits: Logits, labels: Labels) -> float:
    """Part of the rows that count (label 0 or more) whose largest logit is the label's, 0 to 1."""
    counts = labels >= 0
    return float(np.mean(logits[counts].argmax(axis=1) == labels[counts]))


majority_accuracy = accuracy


def confusion(logits: Logits, labels: Labels) -> npt.NDArray[np.int64]:
    """Counts [true class, predicted class]."""
    classes = logits.shape[1]
    pairs = labels * classes + logits.argmax(axis=1)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def recall(matrix: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Part of each true class that was found, 0 for a class without rows."""
    return np.asarray(np.diag(matrix) / np.maximum(matrix.sum(axis=1), 1))


def macro_f1(matrix: npt.NDArray[np.int64]) -> float:
    """Mean over classes of the harmonic mean of precision and recall."""
    return float(np.mean(2 * np.diag(matrix) / np.maximum(matrix.sum(axis=0) + matrix.sum(axis=1), 1)))


def softmax(logits: Logits, temperature: float = 1.0) -> npt.NDArray[np.float64]:
    """Probabilities of logits divided by a temperature."""
    scaled = logits.astype(np.float64) / temperature
    exp = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(exp / exp.sum(axis=1, keepdims=True))


def fit_temperature(logits: Logits, labels: Labels) -> float:
    """The temperature of least negative log-likelihood (Guo et al. 2017), by golden-section search over 0.2 to 5.

    The likelihood has one minimum in the temperature, so the search cannot be caught in another.
    """

    def loss(log_temperature: float) -> float:
        chosen = softmax(logits, float(np.exp(log_temperature)))[np.arange(len(labels)), labels]
        return float(-np.mean(np.log(np.maximum(chosen, 1e-12))))

    golden = (5**0.5 - 1) / 2
    low, high = float(np.log(0.2)), float(np.log(5.0))
    while high - low > 1e-4:
        left, right = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return float(np.exp((low + high) / 2))


def calibration_error(logits: Logits, labels: Labels, temperature: float = 1.0, bins: int = 15) -> float:
    """Expected calibration error with equal-width bins of confidence (Guo et al. 2017), 0 to 1."""
    probabilities = softmax(logits, temperature)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs(right[index == b].sum() - confidence[index == b].sum()) for b in range(bins)]
    return float(sum(gaps) / len(labels))
