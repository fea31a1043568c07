"""What a network's outputs say of faces, as probabilities, valence and arousal: the same for every way to run one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.labels import circumplex_of
from edge.models.card import EmotionCard, OutputSpec

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Scores:
    """What a classifier says of n faces.

    probabilities: float32 [n, labels], each row sums to 1. valence_arousal: float32 [n, 2], -1 to 1: the model's own
    where it has that output, else derived from the probabilities on the circumplex. votes: of each face, the label that
    each member of a committee gave, by the member's name; empty where one model decides.
    """

    probabilities: Floats
    valence_arousal: Floats
    votes: Sequence[Mapping[str, str]]


def no_scores(labels: Sequence[str]) -> Scores:
    """Of no face."""
    return Scores(np.zeros((0, len(labels)), np.float32), np.zeros((0, 2), np.float32), ())


def softmax(logits: Floats) -> Floats:
    """Probabilities [n, classes] of logits [n, classes]."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), np.float32)


def probabilities_of(output: OutputSpec, values: Floats) -> Floats:
    """An emotion output's calibrated probabilities [n, labels] from what the network gave for it."""
    return softmax(values / output.temperature) if output.activation == "logits" else values


def affect_output(card: EmotionCard) -> OutputSpec | None:
    """The output with the network's own valence and arousal, where it has one."""
    return next((output for output in card.outputs if output.kind == "valence_arousal"), None)


def scores_of(card: EmotionCard, values: Mapping[str, Floats]) -> Scores:
    """What a network's outputs mean.

    values: by the output's name, [n, ...] as the network gave them; other names are ignored. Without the card's output
    of valence and arousal among them, both are derived. A linear output may leave -1 to 1, and is clipped.
    """
    probabilities = probabilities_of(card.primary, values[card.primary.name])
    own = affect_output(card)
    if own and own.name in values:
        affect = np.clip(values[own.name], -1.0, 1.0)
    else:
        affect = probabilities @ circumplex_of(card.primary.labels)
    return Scores(probabilities, affect, ({},) * len(probabilities))
