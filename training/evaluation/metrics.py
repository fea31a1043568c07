"""Metrics of a classifier, from its logits. NumPy only, so that float and int8 models share the code."""

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
"""Number of bootstrap samples, so that 50 lie beyond each end of a 95% interval."""
ENOUGH = 100
"""Fewest faces for a figure to be called certain and for a temperature to be fitted: one fitted on 100 faces calibrates
other faces better than none in 96% of draws, on 25 in 78%, on 12 in 61% (`python -m tests.bench.few_temperature`).
"""


def accuracy(logits: Logits, labels: Labels) -> float:
    """Share of the labelled rows (label 0 or more) whose largest logit is that of the label, 0 to 1."""
    counts = labels >= 0
    return float(np.mean(logits[counts].argmax(axis=1) == labels[counts]))


def cross_entropy(logits: Logits, labels: Labels) -> float:
    """Mean negative log-likelihood of the labels, over the rows that count (label 0 or more); nats."""
    counts = labels >= 0
    probabilities = softmax(logits[counts])[np.arange(int(counts.sum())), labels[counts]]
    return float(-np.mean(np.log(np.maximum(probabilities, 1e-12))))


def confusion(predicted: Labels, labels: Labels, classes: int) -> Counts:
    """Confusion matrix, counts [true class, predicted class], from labels of 0 to classes - 1."""
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def matrix_accuracy(matrix: Counts) -> Floats:
    """Accuracy, 0 to 1, from confusion matrices [..., k, k]: the share of counts on the diagonal."""
    return np.asarray(np.trace(matrix, axis1=-2, axis2=-1) / matrix.sum(axis=(-2, -1)))


def recall(matrix: Counts) -> Floats:
    """Recall of each class, [..., k] from matrices [..., k, k]; 0 for a class without rows."""
    return np.asarray(np.diag(matrix) / np.maximum(matrix.sum(axis=1), 1))


def precision(matrix: Counts) -> Floats:
    """Precision of each class, [..., k] from matrices [..., k, k]; 0 for a class that is never predicted."""
    return np.asarray(np.diag(matrix) / np.maximum(matrix.sum(axis=0), 1))


def f1(matrix: Counts) -> Floats:
    """F1 score (harmonic mean of precision and recall) of each class, [..., k] from matrices [..., k, k].

    It is 0 for a class that neither occurs nor is predicted.
    """
    either = matrix.sum(axis=-2) + matrix.sum(axis=-1)
    return np.asarray(2 * np.diagonal(matrix, axis1=-2, axis2=-1) / np.maximum(either, 1))


def macro_f1(matrix: Counts) -> Floats:
    """Mean F1 over the classes that occur or are predicted, [...] from confusion matrices [..., k, k]."""
    counts = matrix.sum(axis=-2) + matrix.sum(axis=-1) > 0
    return np.asarray(f1(matrix).sum(axis=-1) / counts.sum(axis=-1))


def bootstrap(matrix: Counts, figure: Callable[[Counts], Floats], seed: int = 0) -> Interval:
    """The 95% interval of a metric of a confusion matrix: percentile bootstrap over the faces (Efron 1979).

    Resampling n faces with replacement draws the counts of the cells from a multinomial distribution, so the faces
    themselves are not needed.

    Args:
        matrix: Confusion matrix [k, k].
        figure: Function that computes the metric, [n] from matrices [n, k, k].
        seed: Seed of the draws.
    """
    cells = matrix.ravel()
    drawn = np.random.default_rng(seed).multinomial(cells.sum(), cells / cells.sum(), DRAWS)
    return percentiles(figure(drawn.reshape(-1, *matrix.shape)))


def bootstrap_rows(figure: Callable[..., float], *columns: npt.NDArray[Any], seed: int = 0) -> Interval:
    """The 95% interval of a statistic of arrays, by percentile bootstrap over their common n rows."""
    generator, rows = np.random.default_rng(seed), len(columns[0])
    found = []
    for _ in range(DRAWS):
        drawn = generator.integers(0, rows, rows)
        found.append(figure(*(column[drawn] for column in columns)))
    return percentiles(np.array(found))


def wilson(count: int, total: int) -> Interval:
    """The 95% interval of a proportion `count / total` (Wilson 1927); 0 to 1 if total is 0."""
    if not total:
        return 0.0, 1.0
    z = 1.96
    share, spread = count / total, z * z / total
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / total + spread / total / 4)
    return max(0.0, middle - half), min(1.0, middle + half)


def percentiles(values: Floats) -> Interval:
    """The 2.5th and 97.5th percentiles of values."""
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)


def softmax(logits: Logits, temperature: float = 1.0) -> Floats:
    """Softmax of logits divided by a temperature."""
    scaled = logits.astype(np.float64) / temperature
    exp = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(exp / exp.sum(axis=1, keepdims=True))


def fit_temperature(logits: Logits, labels: Labels, onto: npt.NDArray[np.floating[Any]] | None = None) -> float:
    """The temperature that minimises the negative log-likelihood (Guo et al. 2017); 1 for fewer than ENOUGH rows.

    Args:
        logits: [n, classes].
        labels: True labels, int [n], each 0 or more, in the label set that `onto` maps to.
        onto: Matrix of zeros and ones [classes, other classes] that maps the probabilities to another label set; None:
            the labels are of the same classes.
    """
    return golden_temperature(logits, labels, onto) if len(labels) >= ENOUGH else 1.0


def golden_temperature(logits: Logits, labels: Labels, onto: npt.NDArray[np.floating[Any]] | None = None) -> float:
    """Fit a temperature of 0.2 to 5 by golden-section search, to any number of rows; arguments as `fit_temperature`."""

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
    """Reliability diagram: accuracy by confidence, in bins of equal width (Guo et al. 2017).

    counts: int64 [bins]. confidence, right: float64 [bins], mean confidence and accuracy of each bin, 0 for an empty
    bin.
    """

    counts: Counts
    confidence: Floats
    right: Floats

    @property
    def error(self) -> float:
        """Expected calibration error, 0 to 1."""
        return float(np.average(np.abs(self.confidence - self.right), weights=self.counts))


def reliability(confidence: Floats, right: npt.NDArray[np.bool_], bins: int = 15) -> Reliability:
    """Compute the reliability diagram from confidences, 0 to 1, and whether each was right; both [n]."""
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
    """Lin's concordance correlation coefficient (1989) of two arrays [n], -1 to 1; 0 if both are constant."""
    predicted, true = predicted.astype(np.float64), true.astype(np.float64)
    apart = predicted.var() + true.var() + (predicted.mean() - true.mean()) ** 2
    return float(2 * np.mean((predicted - predicted.mean()) * (true - true.mean())) / apart) if apart else 0.0


def rmse(predicted: npt.NDArray[Any], true: npt.NDArray[Any]) -> float:
    """Root mean squared error between two arrays [n]."""
    return float(np.sqrt(np.mean((predicted.astype(np.float64) - true.astype(np.float64)) ** 2)))
