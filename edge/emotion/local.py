"""Classification by one model on this machine."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from edge.emotion.flip import with_flip
from edge.emotion.scores import Floats, Scores, empty_scores, probabilities_of, scores_of
from edge.errors import EmotionEdgeError
from edge.faces.crop import Pixels, face_crops, input_tensor
from edge.models.card import MODEL_FILE, EmotionCard, read_card
from edge.models.runtime import Network, Runtime
from edge.reading import Box, Detection, Image


class LocalClassifier:
    """A `Classifier` that runs one model with the local interpreter."""

    server: str | None = None
    members: tuple[str, ...] = ()

    def __init__(
        self, folder: Path, runtime: Runtime, threads: int = 1, mirror: bool = False, balance: float | None = None
    ) -> None:
        """Load a model folder.

        Args:
            folder: with `card.json` and `model.tflite`.
            runtime: interpreter.
            threads: of the interpreter.
            mirror: average over mirror images even if the card does not say so.
            balance: weight of rare emotions, in place of the card's; None: the card's.

        Raises:
            EmotionEdgeError: the model is missing or damaged, or card and file do not match.
        """
        self.card = _balanced(read_card(EmotionCard, folder), balance)
        self._mirror = mirror or self.card.mirror
        self.labels = self.card.primary.labels
        self._network = Network(folder / MODEL_FILE, runtime, threads)
        if problem := mismatch(self.card, self._network):
            raise EmotionEdgeError(f"model {folder}: its card {problem}: card and file are of different models")

    def __call__(self, image: Image, faces: Sequence[Detection | Box]) -> Scores:
        return self.classify(face_crops(image, faces, self.card.crop, self.card.input))

    def classify(self, crops: Pixels) -> Scores:
        if not len(crops):
            return empty_scores(self.labels)
        return scores_of(self.card, self._mirrored_where_unsure(crops, self.outputs(crops)))

    def outputs(self, crops: Pixels) -> Mapping[str, Floats]:
        """Return the network's outputs by name, [n, ...], averaged over mirror images if the card sets `mirror`."""
        return with_flip(self._network, input_tensor(crops, self.card.input), self._mirror)

    def _mirrored_where_unsure(self, crops: Pixels, outputs: Mapping[str, Floats]) -> Mapping[str, Floats]:
        """Average the outputs over mirror images for faces with a confidence below the card's `mirror_below`."""
        primary, below = self.card.primary, self.card.mirror_below
        if self._mirror or not below:
            return outputs
        confidence = probabilities_of(primary, outputs[primary.name]).max(axis=1)
        unsure = np.flatnonzero(confidence < below)
        if not len(unsure):
            return outputs
        flipped = np.ascontiguousarray(crops[unsure][:, :, ::-1])
        averaged = {name: values.copy() for name, values in outputs.items()}
        for name, values in self._network(input_tensor(flipped, self.card.input)).items():
            averaged[name][unsure] = (averaged[name][unsure] + values) / 2
        return averaged


def _balanced(card: EmotionCard, balance: float | None) -> EmotionCard:
    if balance is None:
        return card
    if balance and not card.primary.priors:
        raise EmotionEdgeError(
            f"emotion.balance {balance:g}: the card of {card.name} has no training priors; leave it at auto "
            "(`emotion-quantize balance` writes them into the card)"
        )
    outputs = (it.model_copy(update={"balance": balance}) if it.primary else it for it in card.outputs)
    return card.model_copy(update={"outputs": tuple(outputs)})


def mismatch(card: EmotionCard, network: Network) -> str:
    """Describe how a card differs from a network file, to follow "its card"; empty if they agree."""
    named = {card.input.name, *(output.name for output in card.outputs)}
    there = set(network.inputs) | set(network.outputs)
    if missing := named - there:
        return f"names {', '.join(sorted(missing))}, which the file does not have (it has {', '.join(sorted(there))})"
    spec, tensor = card.input, network.inputs[card.input.name]
    wanted = (spec.height, spec.width, spec.channels)
    if tensor.shape[1:] != wanted or np.dtype(tensor.dtype).name != spec.dtype:
        return f"has an input of {wanted} {spec.dtype}, the file of {tensor.shape[1:]} {np.dtype(tensor.dtype).name}"
    for output in card.outputs:
        shape = network.outputs[output.name].shape
        if shape[1:] != (output.size,):
            return f"has {output.size} values for the output {output.name}, the file has the shape {list(shape)}"
    return ""
