"""The interface of all emotion classifiers, and the function that opens the one in the settings."""

from collections.abc import Sequence
from typing import Protocol

from edge.config import EmotionSettings
from edge.emotion.committee import open_local
from edge.emotion.groups import GroupedClassifier, groups_of
from edge.emotion.scores import Scores
from edge.faces.crop import Pixels
from edge.models.active import active_model
from edge.models.card import EmotionCard
from edge.models.runtime import Runtime
from edge.reading import Box, Detection, Image


class Classifier(Protocol):
    """Classifies the emotions of faces. Not thread-safe."""

    @property
    def card(self) -> EmotionCard:
        """Card of the model or committee; with a prediction server, of the local model that is its fallback."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Emotion labels in the order of the probabilities."""
        ...

    @property
    def server(self) -> str | None:
        """`online`, or why the prediction server is not used; None if the settings name none."""
        ...

    def __call__(self, image: Image, faces: Sequence[Detection | Box]) -> Scores:
        """Classify the faces of one frame in one batch. image: BGR or grey uint8; faces: as detected in it."""
        ...

    def classify(self, crops: Pixels) -> Scores:
        """Classify face crops, uint8 [n, height, width, channels], of the size in the card's `input`."""
        ...


def open_classifier(settings: EmotionSettings, runtime: Runtime, threads: int) -> Classifier:
    """Load the classifier that the settings name: a local model, also as the fallback of a prediction server.

    Waits for the server's first answer, `emotion.server_timeout` at most.

    Raises:
        EmotionEdgeError: a model is missing or damaged, the server's token cannot be read, or `emotion.labels` does
            not fit the model.
    """
    local = open_local(active_model(settings.model), runtime, threads, settings.fixed_balance)
    groups = groups_of(settings, local.labels)
    classifier: Classifier = local
    if settings.server:
        # Imported here, because few boards use a server.
        from edge.emotion.remote import RemoteClassifier

        classifier = RemoteClassifier(settings, local)
    return GroupedClassifier(classifier, groups) if groups else classifier
