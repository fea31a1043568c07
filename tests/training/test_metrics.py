"""Figures from logits, against values worked out by hand or known from how the data were made."""

import numpy as np
import numpy.typing as npt
import pytest

from training.evaluation.metrics import (
    accuracy,
    bootstrap,
    bootstrap_rows,
    calibration_error,
    concordance,
    confusion,
    f1,
    fit_temperature,
    macro_f1,
    matrix_accuracy,
    precision,
    recall,
    reliability,
    rmse,
    softmax,
)

LOGITS = np.array([[2.0, 1, 0], [0, 3, 1], [1, 0, 0], [0, 0, 5]])
LABELS = np.array([0, 1, 1, 2])
SAID = LOGITS.argmax(axis=1)


def drawn_labels(probabilities: npt.NDArray[np.float64], seed: int) -> npt.NDArray[np.int64]:
    """Draw a label for each row with the row's probabilities."""
    chance = np.random.default_rng(seed).random((len(probabilities), 1))
    return np.asarray((probabilities.cumsum(axis=1) > chance).argmax(axis=1), np.int64)


def test_counts() -> None:
    assert accuracy(LOGITS, LABELS) == 0.75
    assert accuracy(LOGITS, np.array([0, -1, 1, -1])) == 0.5
    matrix = confusion(SAID, LABELS, 3)
    assert matrix.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert matrix_accuracy(matrix) == 0.75
    assert recall(matrix).tolist() == [1, 0.5, 1]
    assert precision(matrix).tolist() == [0.5, 1, 1]
    assert f1(matrix) == pytest.approx([2 / 3, 2 / 3, 1])
    assert macro_f1(matrix) == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)


def test_a_class_that_neither_occurs_nor_is_said_does_not_count() -> None:
    matrix = confusion(np.array([0, 1]), np.array([0, 0]), 3)
    assert recall(matrix).tolist() == [0.5, 0, 0]
    assert macro_f1(matrix) == pytest.approx((2 / 3 + 0) / 2)


def test_the_bootstrap_interval_is_the_binomial_one_and_always_the_same() -> None:
    matrix = np.array([[350, 150], [150, 350]])
    low, high = bootstrap(matrix, matrix_accuracy)
    half = 1.96 * np.sqrt(0.7 * 0.3 / 1000)
    assert (low, high) == pytest.approx((0.7 - half, 0.7 + half), abs=0.004)
    assert bootstrap(matrix, matrix_accuracy) == (low, high)
    rows = np.repeat([1.0, 0.0], (700, 300))
    assert bootstrap_rows(lambda one: float(one.mean()), rows) == pytest.approx((low, high), abs=0.004)


def test_the_bootstrap_interval_covers_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(8)
    covered = 0
    for _ in range(100):
        hits = generator.binomial(300, 0.7)
        low, high = bootstrap(np.array([[hits, 300 - hits], [0, 0]]), lambda drawn: np.asarray(drawn[:, 0, 0] / 300))
        covered += low <= 0.7 <= high
    assert covered >= 88


def test_the_temperature_that_made_the_labels_is_found() -> None:
    logits = np.random.default_rng(3).normal(0, 2, (40000, 5))
    labels = drawn_labels(softmax(logits, 2.5), 4)
    temperature = fit_temperature(logits, labels)
    assert temperature == pytest.approx(2.5, rel=0.05)
    assert calibration_error(logits, labels, temperature) < 0.02 < 0.1 < calibration_error(logits, labels)


def test_the_temperature_is_found_through_a_map_to_other_labels() -> None:
    logits = np.random.default_rng(3).normal(0, 2, (40000, 4))
    onto = np.array([[1, 0], [1, 0], [0, 1], [0, 1]])
    labels = drawn_labels(softmax(logits, 2.5) @ onto, 4)
    assert fit_temperature(logits, labels, onto) == pytest.approx(2.5, rel=0.05)


def test_reliability_is_counted_in_bins() -> None:
    bins = reliability(np.array([0.62, 0.68, 0.9, 1.0]), np.array([True, False, True, True]), bins=5)
    assert bins.counts.tolist() == [0, 0, 0, 2, 2]
    assert bins.confidence[3:] == pytest.approx([0.65, 0.95])
    assert bins.right[3:] == pytest.approx([0.5, 1])
    assert bins.error == pytest.approx((0.15 + 0.05) / 2)


def test_concordance_is_lin_s() -> None:
    said, true = np.array([1.0, 2, 3]), np.array([2.0, 3, 4])
    # 2 * covariance / (variance + variance + squared difference of the means) = (4 / 3) / (2 / 3 + 2 / 3 + 1)
    assert concordance(said, true) == pytest.approx(4 / 7)
    assert rmse(said, true) == pytest.approx(1)
    assert concordance(true, true) == pytest.approx(1)
    assert concordance(-said, said - 4) == pytest.approx(-1)
    assert concordance(np.full(3, 0.5), true) == 0
    assert concordance(np.full(3, 0.5), np.full(3, 0.5)) == 0
