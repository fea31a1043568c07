"""A data set under another label set, so that a model of one set can be judged on the faces of another."""

from dataclasses import replace

import numpy as np

from edge.labels import labels_of, map_matrix
from training.datasets.dataset import Dataset, Labels


def relabel(data: Dataset, label_set: str) -> Dataset:
    """The data set with `label_set` alone, carried over by `edge.labels.map_matrix`; every face stays.

    Labels that are there already are taken as they are. Else they come from the first of the data set's label sets
    that can say every class of the new one, or where none can, from the first. Of a distribution, what the new set
    cannot say is dropped and the rest divided by its sum; where nothing is left it is a row of zeros. The judged class
    goes where the map leads, -1 where it leads nowhere. Raises EmotionEdgeError for a label set that is not known.
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
