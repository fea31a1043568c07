"""What every classifier does, and the choice of one by the settings."""

from collections.abc import Sequence
from typing import Protocol

from edge.config import EmotionSettings
from edge.emotion.committee import open_local
from edge.emotion.remote import RemoteClassifier
from edge.emotion.scores import Scores
from edge.faces.crop import Pixels
from edge.model_updates.install import current
from edge.models.card import EmotionCard
from edge.models.runtime import Runtime
from edge.reading import Box, Image


class Classifier(Protocol):
    """Says which emotions faces show. Not safe to call from two threads at once."""

    @property
    def card(self) -> EmotionCard:
        """Of the model, of the committee as a whole, or of the model that stands in for a server."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """In the order of the probabilities."""
        ...

    @property
    def server(self) -> str | None:
        """`online`, or why the server that should classify does not; None where none is set."""
        ...

    def __call__(self, image: Image, boxes: Sequence[Box]) -> Scores:
        """Classify the faces of one frame together. image: BGR or grey uint8; boxes: as the detector found them."""
        ...

    def classify(self, crops: Pixels) -> Scores:
        """Classify faces that are cut out already, as the card says: uint8 [n, height, width, channels]."""
        ...


def open_classifier(settings: EmotionSettings, runtime: Runtime, threads: int) -> Classifier:
    """The classifier that the settings name, ready to run.

    With a server it waits for its first answer, no longer than the time-out; the model then stands in for the server.
    Raises EmotionEdgeError when a model is missing or not whole, or the server's token cannot be read.
    """
    local = open_local(current(settings.model), runtime, threads)
    return RemoteClassifier(settings, local) if settings.server else local
