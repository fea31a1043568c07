"""Figures of a classifier from its logits: numpy alone, so that float and int8 are judged by the same code."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Interval = tuple[float, float]

DRAWS = 2000
"""Bootstrap samples: the ends of a 95% interval then rest on 50 samples each."""


def accuracy(logits: Logits, labels: Labels) -> float:
    """Part of the rows that count (label 0 or more) whose largest logit is the label's, 0 to 1."""
    counts = labels >= 0
    return float(np.mean(logits[counts].argmax(axis=1) == labels[counts]))


def cross_entropy(logits: Logits, labels: Labels) -> float:
    """Mean negative log-likelihood of the labels, over the rows that count (label 0 or more); nats."""
    counts = labels >= 0
    probabilities = softmax(logits[counts])[np.arange(int(counts.sum())), labels[counts]]
    return float(-np.mean(np.log(np.maximum(probabilities, 1e-12))))


def confusion(predicted: Labels, labels: Labels, classes: int) -> Counts:
    """Counts [true class, class said], from the predicted labels and the true ones, each 0 to classes - 1."""
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def matrix_accuracy(matrix: Counts) -> Floats:
    """Part of all rows on the diagonal, 0 to 1, of one matrix [k, k] or of each of many [..., k, k]."""
    return np.asarray(np.trace(matrix, axis1=-2, axis2=-1) / matrix.sum(axis=(-2, -1)))


def recall(matrix: Counts) -> Floats:
    """Part of each true class that was found, 0 for a class without rows."""
    return np.asarray(np.diag(matrix) / np.maximum(matrix.sum(axis=1), 1))


def precision(matrix: Counts) -> Floats:
    """Part of the predictions of a class that are right; 0 for a class that was never predicted."""
    return np.asarray(np.diag(matrix) / np.maximum(matrix.sum(axis=0), 1))


def f1(matrix: Counts) -> Floats:
    """Harmonic mean of precision and recall of each class, [..., k] of matrices [..., k, k]; 0 for a class that neither
    occurs nor is predicted.
    """
    either = matrix.sum(axis=-2) + matrix.sum(axis=-1)
    return np.asarray(2 * np.diagonal(matrix, axis1=-2, axis2=-1) / np.maximum(either, 1))


def macro_f1(matrix: Counts) -> Floats:
    """Mean of f1 over the classes that occur or are predicted, of one matrix [k, k] or of each of many [..., k, k]."""
    counts = matrix.sum(axis=-2) + matrix.sum(axis=-1) > 0
    return np.asarray(f1(matrix).sum(axis=-1) / counts.sum(axis=-1))


def bootstrap(matrix: Counts, figure: Callable[[Counts], Floats], seed: int = 0) -> Interval:
    """The 95% interval of a figure of a confusion matrix: percentile bootstrap over the rows (Efron 1979).

    figure: gives [n] for matrices [n, ...]. Drawing n rows again with replacement draws the cells' counts from a
    multinomial distribution, so the rows themselves are not needed.
    """
    cells = matrix.ravel()
    drawn = np.random.default_rng(seed).multinomial(cells.sum(), cells / cells.sum(), DRAWS)
    return percentiles(figure(drawn.reshape(-1, *matrix.shape)))


def bootstrap_rows(figure: Callable[..., float], *columns: npt.NDArray[Any], seed: int = 0) -> Interval:
    """The 95% interval of a figure of arrays of n rows, drawn again together: percentile bootstrap."""
    generator, rows = np.random.default_rng(seed), len(columns[0])
    found = []
    for _ in range(DRAWS):
        drawn = generator.integers(0, rows, rows)
        found.append(figure(*(column[drawn] for column in columns)))
    return percentiles(np.array(found))


def wilson(count: int, total: int) -> Interval:
    """The 95% interval of a share `count / total` (Wilson 1927); 0 to 1 for no rows."""
    if not total:
        return 0.0, 1.0
    z = 1.96
    share, spread = count / total, z * z / total
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / total + spread / total / 4)
    return max(0.0, middle - half), min(1.0, middle + half)


def percentiles(values: Floats) -> Interval:
    """The middle 95% of values."""
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)


def softmax(logits: Logits, temperature: float = 1.0) -> Floats:
    """Probabilities of logits divided by a temperature."""
    scaled = logits.astype(np.float64) / temperature
    exp = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(exp / exp.sum(axis=1, keepdims=True))


def fit_temperature(logits: Logits, labels: Labels, onto: npt.NDArray[np.floating[Any]] | None = None) -> float:
    """The temperature of least negative log-likelihood (Guo et al. 2017), by golden-section search over 0.2 to 5.

    The likelihood has one minimum in the temperature, so the search cannot be caught in another. onto: a matrix
    [classes, other classes] of zeros and ones that carries the probabilities to the label set of the labels.
    """

    def loss(log_temperature: float) -> float:
        probabilities = softmax(logits, float(np.exp(log_temperature)))
        if onto is not None:
            probabilities = probabilities @ onto
        return float(-np.mean(np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12))))

    golden = (5**0.5 - 1) / 2
    low, high = float(np.log(0.2)), float(np.log(5.0))
    while high - low > 1e-4:
        left, right = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return float(np.exp((low + high) / 2))


@dataclass(frozen=True, slots=True)
class Reliability:
    """How often one is right at each confidence, in bins of equal width (Guo et al. 2017).

    counts: int64 [bins]. confidence, right: float64 [bins], the mean confidence and the part that is right, 0 where a
    bin is empty.
    """

    counts: Counts
    confidence: Floats
    right: Floats

    @property
    def error(self) -> float:
        """Expected calibration error, 0 to 1."""
        return float(np.average(np.abs(self.confidence - self.right), weights=self.counts))


def reliability(confidence: Floats, right: npt.NDArray[np.bool_], bins: int = 15) -> Reliability:
    """From the confidence, 0 to 1, in the prediction of each face, and whether it was right; both [n]."""
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    counts = np.bincount(index, minlength=bins)
    each = np.maximum(counts, 1)
    return Reliability(
        counts, np.bincount(index, confidence, bins) / each, np.bincount(index, right.astype(float), bins) / each
    )


def calibration_error(logits: Logits, labels: Labels, temperature: float = 1.0) -> float:
    """Expected calibration error of logits divided by a temperature, 0 to 1."""
    probabilities = softmax(logits, temperature)
    return reliability(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels).error


def concordance(predicted: npt.NDArray[Any], true: npt.NDArray[Any]) -> float:
    """The concordance correlation coefficient (Lin 1989) of two arrays [n], -1 to 1; 0 where both are constant."""
    predicted, true = predicted.astype(np.float64), true.astype(np.float64)
    apart = predicted.var() + true.var() + (predicted.mean() - true.mean()) ** 2
    return float(2 * np.mean((predicted - predicted.mean()) * (true - true.mean())) / apart) if apart else 0.0


def rmse(predicted: npt.NDArray[Any], true: npt.NDArray[Any]) -> float:
    """The root of the mean squared difference of two arrays [n]."""
    return float(np.sqrt(np.mean((predicted.astype(np.float64) - true.astype(np.float64)) ** 2)))
