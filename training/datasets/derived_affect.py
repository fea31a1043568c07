"""Valence and arousal derived from labels, for data sets that have none measured."""

import logging
from dataclasses import replace

import numpy as np

from edge.labels import CIRCUMPLEX, circumplex_of
from training.datasets.dataset import Dataset

_log = logging.getLogger(__name__)


def with_derived_affect(data: Dataset) -> Dataset:
    """Return the data set with valence and arousal computed from its primary labels (`affect_derived` is True).

    Each class has a place on the circumplex of valence and arousal; a face with votes gets the weighted mean of their
    places. If a class has no place, such as a class name of the user's own, the data set is returned unchanged.
    """
    labels = next(iter(data.labels.values()), None)
    if labels is None or not set(labels.names) <= set(CIRCUMPLEX):
        return data
    affect = labels.probabilities @ circumplex_of(labels.names)
    affect[~labels.probabilities.any(axis=1)] = np.nan
    _log.info("%s: valence and arousal are derived from its labels, not measured", data.name)
    return replace(data, affect=affect.astype(np.float32), affect_derived=True)
