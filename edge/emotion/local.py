"""From faces to emotion probabilities, with one model on this machine."""

from collections.abc import Sequence
from pathlib import Path

from edge.emotion.mirror import looked_at
from edge.emotion.scores import Scores, no_scores, scores_of
from edge.errors import EmotionEdgeError
from edge.faces.crop import Pixels, face_crops, input_tensor
from edge.models.card import MODEL_FILE, EmotionCard, read_card
from edge.models.runtime import Network, Runtime
from edge.reading import Box, Image


class LocalClassifier:
    """One model, loaded; a `Classifier`."""

    server: str | None = None
    members: tuple[str, ...] = ()

    def __init__(self, folder: Path, runtime: Runtime, threads: int = 1, mirror: bool = False) -> None:
        """mirror: run it on mirrored faces, too, whatever its card says.

        Raises EmotionEdgeError when the folder holds no whole model, or card and file do not fit each other.
        """
        self.card = read_card(EmotionCard, folder)
        self._mirror = mirror or self.card.mirror
        self.labels = self.card.primary.labels
        self._network = Network(folder / MODEL_FILE, runtime, threads)
        named = {self.card.input.name, *(output.name for output in self.card.outputs)}
        there = set(self._network.inputs) | set(self._network.outputs)
        if missing := named - there:
            raise EmotionEdgeError(
                f"model {folder}: its card names {', '.join(sorted(missing))}, which the file has not "
                f"(it has {', '.join(sorted(there))}): card and file are of two models"
            )

    def __call__(self, image: Image, boxes: Sequence[Box]) -> Scores:
        return self.classify(face_crops(image, boxes, self.card.crop, self.card.input))

    def classify(self, crops: Pixels) -> Scores:
        if not len(crops):
            return no_scores(self.labels)
        faces = input_tensor(crops, self.card.input)
        return scores_of(self.card, looked_at(self._network, faces, self._mirror))
