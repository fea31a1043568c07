"""Publishes other labels than the model's: a label set by name, or groups of the model's labels (`emotion.labels`).

The probabilities of the labels of a group are summed before smoothing. Labels that are in no group are dropped without
normalising the rest, so that a face that shows one of them has low probabilities and is published as uncertain.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edge.config import EmotionSettings
from edge.emotion.scores import Floats, Scores, final_output
from edge.errors import EmotionEdgeError
from edge.faces.crop import Pixels
from edge.labels import labels_of, map_matrix
from edge.models.card import EmotionCard
from edge.reading import Box, Detection, Image

if TYPE_CHECKING:
    from edge.emotion.classifier import Classifier


class GroupedClassifier:
    """A `Classifier` that sums another one's probabilities by group. card: the other's, whose labels are the groups."""

    def __init__(self, classifier: "Classifier", groups: Mapping[str, Sequence[str]]) -> None:
        """Wrap a classifier. groups: labels by the name of their group, as `groups_of` returns them."""
        self._classifier = classifier
        self.labels = tuple(groups)
        self._matrix = _matrix(classifier.labels, groups)
        self._group_of = {label: group for group, labels in groups.items() for label in labels}
        self.card = _grouped_card(classifier.card, self.labels)

    @property
    def server(self) -> str | None:
        return self._classifier.server

    def __call__(self, image: Image, faces: Sequence[Detection | Box]) -> Scores:
        return self._grouped(self._classifier(image, faces))

    def classify(self, crops: Pixels) -> Scores:
        return self._grouped(self._classifier.classify(crops))

    def _grouped(self, scores: Scores) -> Scores:
        votes = [{name: self._group_of.get(label, label) for name, label in face.items()} for face in scores.votes]
        return Scores(scores.probabilities @ self._matrix, scores.valence_arousal, votes)


def groups_of(settings: EmotionSettings, labels: Sequence[str]) -> Mapping[str, Sequence[str]] | None:
    """Group a model's labels as `emotion.labels` says: labels by the name of their group; None if it is empty.

    Raises:
        EmotionEdgeError: the label set is unknown or has a label to which none of the model's maps, or a group names a
            label that the model does not have.
    """
    if not settings.labels:
        return None
    if isinstance(settings.labels, str):
        names = labels_of(settings.labels)
        matrix = map_matrix(labels, names)
        groups = {
            name: tuple(label for label, part in zip(labels, matrix[:, column], strict=True) if part)
            for column, name in enumerate(names)
        }
        if missing := [name for name, members in groups.items() if not members]:
            raise EmotionEdgeError(
                f"emotion.labels: {settings.labels}: the model has no label for {', '.join(missing)} "
                f"(it has {', '.join(labels)})"
            )
        return groups
    for group, members in settings.labels.items():
        if unknown := [member for member in members if member not in labels]:
            raise EmotionEdgeError(
                f"emotion.labels: {group}: the model has no label {unknown[0]!r} (it has {', '.join(labels)})"
            )
    return settings.labels


def published_labels(settings: EmotionSettings, labels: Sequence[str]) -> tuple[str, ...]:
    """Return the labels that are published for a model with `labels`. Raises EmotionEdgeError if they do not fit."""
    return tuple(groups_of(settings, labels) or labels)


def _matrix(labels: Sequence[str], groups: Mapping[str, Sequence[str]]) -> Floats:
    """Return float32 [labels, groups], 1 where the label is in the group."""
    return np.array([[label in members for members in groups.values()] for label in labels], np.float32)


def _grouped_card(card: EmotionCard, labels: tuple[str, ...]) -> EmotionCard:
    grouped = final_output(card.primary).model_copy(update={"labels": labels, "label_set": ""})
    return card.model_copy(update={"outputs": tuple(grouped if it.primary else it for it in card.outputs)})
