"""Classification by one model on this machine."""

from collections.abc import Sequence
from pathlib import Path

from edge.emotion.flip import with_flip
from edge.emotion.scores import Scores, empty_scores, scores_of
from edge.errors import EmotionEdgeError
from edge.faces.crop import Pixels, face_crops, input_tensor
from edge.models.card import MODEL_FILE, EmotionCard, read_card
from edge.models.runtime import Network, Runtime
from edge.reading import Box, Image


class LocalClassifier:
    """A loaded model; a `Classifier`."""

    server: str | None = None
    members: tuple[str, ...] = ()

    def __init__(self, folder: Path, runtime: Runtime, threads: int = 1, mirror: bool = False) -> None:
        """Load a model folder.

        Args:
            folder: with `card.json` and `model.tflite`.
            runtime: interpreter.
            threads: of the interpreter.
            mirror: average over mirror images even where the card does not say so.

        Raises:
            EmotionEdgeError: the model is missing or damaged, or card and file do not match.
        """
        self.card = read_card(EmotionCard, folder)
        self._mirror = mirror or self.card.mirror
        self.labels = self.card.primary.labels
        self._network = Network(folder / MODEL_FILE, runtime, threads)
        named = {self.card.input.name, *(output.name for output in self.card.outputs)}
        there = set(self._network.inputs) | set(self._network.outputs)
        if missing := named - there:
            raise EmotionEdgeError(
                f"model {folder}: its card names {', '.join(sorted(missing))}, which the file does not have "
                f"(it has {', '.join(sorted(there))}): card and file are of different models"
            )

    def __call__(self, image: Image, boxes: Sequence[Box]) -> Scores:
        return self.classify(face_crops(image, boxes, self.card.crop, self.card.input))

    def classify(self, crops: Pixels) -> Scores:
        if not len(crops):
            return empty_scores(self.labels)
        faces = input_tensor(crops, self.card.input)
        return scores_of(self.card, with_flip(self._network, faces, self._mirror))
