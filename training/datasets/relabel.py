"""Maps a data set to another label set, so that a model of that label set can be evaluated on it."""

from dataclasses import replace

import numpy as np

from edge.labels import labels_of, map_matrix
from training.datasets.dataset import Dataset, Labels


def relabel(data: Dataset, label_set: str) -> Dataset:
    """Map a data set to one label set with `edge.labels.map_matrix`; all faces are kept.

    Labels that the data set already has under that label set are used unchanged. Otherwise they are mapped from the
    first label set that maps onto every class of the new one, or else from the primary label set. Probabilities of
    classes that the new set lacks are dropped and the rest is normalised; a row becomes zeros if nothing is left. The
    evaluated class is mapped likewise, -1 if it has no counterpart. Raises EmotionEdgeError for an unknown label set.
    """
    names = labels_of(label_set)
    for own in data.labels.values():
        if own.names == names:
            return replace(data, labels={label_set: own})
    complete = (it for it in data.labels.values() if map_matrix(it.names, names).any(axis=0).all())
    source = next(complete, next(iter(data.labels.values())))
    matrix = map_matrix(source.names, names)
    probabilities = source.probabilities @ matrix
    total = probabilities.sum(axis=1, keepdims=True)
    probabilities = np.divide(probabilities, total, out=np.zeros_like(probabilities), where=total > 0)
    target = np.where(matrix.any(axis=1), matrix.argmax(axis=1), -1)
    judged = np.where(source.judged >= 0, target[source.judged], -1)
    return replace(data, labels={label_set: Labels(names, probabilities, judged)})
