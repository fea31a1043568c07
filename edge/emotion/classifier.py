"""From faces to emotion probabilities, with one model and its card."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge.card import MODEL_FILE, EmotionCard, OutputSpec, read_card
from edge.errors import EmotionEdgeError
from edge.faces.crop import face_batch
from edge.labels import circumplex_of
from edge.reading import Box, Image
from edge.runtime import Network, Runtime

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Scores:
    """What a classifier says of n faces.

    probabilities: float32 [n, labels], each row sums to 1. valence_arousal: float32 [n, 2], -1 to 1: the model's own
    where it has that output, else derived from the probabilities on the circumplex.
    """

    probabilities: Floats
    valence_arousal: Floats


def softmax(logits: Floats) -> Floats:
    """Probabilities [n, classes] of logits [n, classes]."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), np.float32)


def probabilities_of(output: OutputSpec, values: Floats) -> Floats:
    """An emotion output's calibrated probabilities [n, labels] from what the network gave for it."""
    return softmax(values / output.temperature) if output.activation == "logits" else values


class Classifier:
    """One model, loaded. card: its card; labels: of its primary output, in the order of the probabilities."""

    def __init__(self, folder: Path, runtime: Runtime, threads: int = 1) -> None:
        """Raises EmotionEdgeError when the folder holds no whole model, or card and file do not fit each other."""
        self.card = read_card(EmotionCard, folder)
        self.labels = self.card.primary.labels
        self._network = Network(folder / MODEL_FILE, runtime, threads)
        named = {self.card.input.name, *(output.name for output in self.card.outputs)}
        there = set(self._network.inputs) | set(self._network.outputs)
        if missing := named - there:
            raise EmotionEdgeError(
                f"model {folder}: its card names {', '.join(sorted(missing))}, which the file has not "
                f"(it has {', '.join(sorted(there))}): card and file are of two models"
            )
        self._circumplex = circumplex_of(self.labels)
        self._valence_arousal = next((o.name for o in self.card.outputs if o.kind == "valence_arousal"), None)

    def __call__(self, image: Image, boxes: Sequence[Box]) -> Scores:
        """Classify the faces of one frame together. image: BGR or grey uint8; boxes: as the detector found them."""
        return self.run(face_batch(image, boxes, self.card.crop, self.card.input))

    def run(self, batch: npt.NDArray[np.generic]) -> Scores:
        """Classify a batch that is an input tensor already: [n, height, width, channels] in the card's dtype."""
        primary = self.card.primary
        if not len(batch):
            return Scores(np.zeros((0, len(self.labels)), np.float32), np.zeros((0, 2), np.float32))
        values = self._network(batch)
        probabilities = probabilities_of(primary, values[primary.name])
        derived = probabilities @ self._circumplex
        return Scores(probabilities, values[self._valence_arousal] if self._valence_arousal else derived)
