"""Valence and arousal derived from labels, for data sets that have none measured."""

import logging
from dataclasses import replace

import numpy as np

from edge.labels import CIRCUMPLEX, circumplex_of
from training.datasets.dataset import Dataset

_log = logging.getLogger(__name__)


def with_derived_affect(data: Dataset) -> Dataset:
    """The data set with valence and arousal from its primary labels, placed on the circumplex, marked as derived.

    Of a face with votes it is the mean of their places. Unchanged where a class has no place, such as one of the user's
    own.
    """
    labels = next(iter(data.labels.values()), None)
    if labels is None or not set(labels.names) <= set(CIRCUMPLEX):
        return data
    affect = labels.probabilities @ circumplex_of(labels.names)
    affect[~labels.probabilities.any(axis=1)] = np.nan
    _log.info("%s: valence and arousal are derived from its labels, not measured", data.name)
    return replace(data, affect=affect.astype(np.float32), affect_derived=True)
