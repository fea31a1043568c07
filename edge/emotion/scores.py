"""Converts the outputs of a network to probabilities, valence and arousal, wherever the network ran."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.labels import circumplex_of
from edge.models.card import EmotionCard, OutputSpec

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Scores:
    """A classifier's predictions for n faces.

    Attributes:
        probabilities: float32 [n, labels]; rows sum to 1, or less if `emotion.labels` drops labels.
        valence_arousal: float32 [n, 2], -1 to 1: the model's own if it has that output, else derived from the
            probabilities on the circumplex; NaN if not all labels are emotions.
        votes: for each face, the label predicted by each member of a committee, by the member's name; empty for a
            single model.
    """

    probabilities: Floats
    valence_arousal: Floats
    votes: Sequence[Mapping[str, str]]


def empty_scores(labels: Sequence[str]) -> Scores:
    """Return the predictions for no faces, with arrays of zero rows."""
    return Scores(np.zeros((0, len(labels)), np.float32), np.zeros((0, 2), np.float32), ())


def softmax(logits: Floats) -> Floats:
    """Convert logits [n, classes] to probabilities [n, classes]."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), np.float32)


def probabilities_of(output: OutputSpec, values: Floats) -> Floats:
    """Convert an emotion output's values [n, labels] to calibrated and balanced probabilities [n, labels].

    softmax(logits / temperature - balance * log(priors)); see `OutputSpec`.
    """
    if output.activation != "logits":
        return values
    scaled = values / output.temperature
    if output.balance and output.priors:
        scaled = scaled - np.float32(output.balance) * np.log(np.array(output.priors, np.float32))
    return softmax(scaled)


def final_output(output: OutputSpec) -> OutputSpec:
    """Return the spec of an output's final probabilities, after applying temperature, priors and balance."""
    return output.model_copy(update={"activation": "softmax", "temperature": 1.0, "priors": (), "balance": 0.0})


def affect_output(card: EmotionCard) -> OutputSpec | None:
    """Return the network's output of valence and arousal; None if it has none."""
    return next((output for output in card.outputs if output.kind == "valence_arousal"), None)


def scores_of(card: EmotionCard, values: Mapping[str, Floats]) -> Scores:
    """Compute predictions from a network's outputs.

    Valence and arousal are derived from the probabilities if the network has no output for them; a linear output is
    clipped to -1 to 1.

    Args:
        card: of the network.
        values: output values [n, ...] by name; other names are ignored.
    """
    probabilities = probabilities_of(card.primary, values[card.primary.name])
    own = affect_output(card)
    if own and own.name in values:
        affect = np.clip(values[own.name], -1.0, 1.0)
    else:
        affect = probabilities @ circumplex_of(card.primary.labels)
    return Scores(probabilities, affect, ({},) * len(probabilities))
