"""Figures from logits, against values worked out by hand or known from how the data were made."""

import numpy as np
import pytest

from training.scores import (
    accuracy,
    calibration_error,
    confusion,
    fit_temperature,
    macro_f1,
    recall,
    softmax,
)

LOGITS = np.array([[2.0, 1, 0], [0, 3, 1], [1, 0, 0], [0, 0, 5]])
LABELS = np.array([0, 1, 1, 2])
SAID = LOGITS.argmax(axis=1)


def test_counts() -> None:
    assert accuracy(LOGITS, LABELS) == 0.75
    assert accuracy(LOGITS, np.array([0, -1, 1, -1])) == 0.5
    assert confusion(SAID, LABELS, 3).tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert recall(confusion(SAID, LABELS, 3)).tolist() == [1, 0.5, 1]
    assert macro_f1(confusion(SAID, LABELS, 3)) == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)


def test_a_class_without_rows_counts_as_nothing() -> None:
    matrix = confusion(SAID[:1], LABELS[:1], 3)
    assert recall(matrix).tolist() == [1, 0, 0]
    assert macro_f1(matrix) == 1


def test_the_temperature_that_made_the_labels_is_found() -> None:
    generator = np.random.default_rng(3)
    logits = generator.normal(0, 2, (40000, 5))
    truth = softmax(logits, 2.5)
    labels = (truth.cumsum(axis=1) > generator.random((40000, 1))).argmax(axis=1)
    temperature = fit_temperature(logits, labels)
    assert temperature == pytest.approx(2.5, rel=0.05)
    assert calibration_error(logits, labels, temperature) < 0.02 < 0.1 < calibration_error(logits, labels)
