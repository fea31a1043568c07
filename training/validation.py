"""Figures measured after each epoch of a run, on PublicTest and a part of Training, without augmentation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError
from training.config import AFFECT
from training.datasets.dataset import Dataset
from training.evaluation.figures import predict
from training.evaluation.metrics import accuracy, concordance, confusion, cross_entropy, macro_f1
from training.history import CHOSEN_BY

AXES = ("valence", "arousal")


def validate(network: Any, part: Dataset, heads: Sequence[str], name: str = CHOSEN_BY) -> dict[str, float]:
    """Compute the figures of a network on a part of the data set.

    Args:
        network: The network.
        part: Faces in the network's size, with judged labels of every emotion head.
        heads: Names of the network's heads.
        name: Prefix of the names of the figures.

    Returns:
        `<name>_<head>`: accuracy of each emotion head, 0 to 1; `<name>_<head>_f1`: its macro F1; `<name>_<head>_loss`:
        its mean cross-entropy; `<name>_valence`, `<name>_arousal`: CCC, -1 to 1, of the head `affect`; `<name>`: the
        mean accuracy, and `<name>_loss`: the mean cross-entropy, over the emotion heads. A network of `affect` alone
        has the mean CCC and 1 - CCC there.
    """
    assert not isinstance(part.images, tuple)
    outputs = predict(network, part.images)
    emotions = [head for head in heads if head != AFFECT and (part.labels[head].judged >= 0).any()]
    found, scores, entropies = dict[str, float](), [], []
    for head in emotions:
        labels = part.labels[head]
        counts = labels.judged >= 0
        matrix = confusion(outputs[head][counts].argmax(axis=1), labels.judged[counts], len(labels.names))
        scores.append(accuracy(outputs[head], labels.judged))
        entropies.append(cross_entropy(outputs[head], labels.judged))
        found |= {f"{name}_{head}": scores[-1], f"{name}_{head}_f1": float(macro_f1(matrix))}
        found[f"{name}_{head}_loss"] = entropies[-1]
    known = _known_affect(part)
    if AFFECT in heads and part.affect is not None and known.any():
        predicted, true = np.clip(outputs[AFFECT][known], -1, 1), part.affect[known]
        both = [concordance(predicted[:, axis], true[:, axis]) for axis in (0, 1)]
        found |= {f"{name}_{axis}": value for axis, value in zip(AXES, both, strict=True)}
        if set(heads) == {AFFECT}:
            scores, entropies = both, [1 - value for value in both]
    mean = float(np.mean(scores)) if scores else 0.0
    return {**found, name: mean, f"{name}_loss": float(np.mean(entropies)) if entropies else 0.0}


def _known_affect(part: Dataset) -> npt.NDArray[np.bool_]:
    if part.affect is None:
        return np.zeros(len(part), np.bool_)
    return np.asarray(~np.isnan(part.affect).any(axis=1))


def check_judged(validation: Dataset, heads: Sequence[str]) -> None:
    """Raise EmotionEdgeError if PublicTest has no labelled face for a head, so that no epoch could be selected."""
    for head in heads:
        if head != AFFECT and not (validation.labels[head].judged >= 0).any():
            raise EmotionEdgeError(
                f"head {head!r}: no face of PublicTest of {validation.name} has such a label, so no epoch can be "
                "chosen; change `heads`, or cut other splits with `emotion-train prepare --split`"
            )
    if set(heads) == {AFFECT} and np.count_nonzero(_known_affect(validation)) < 2:
        raise EmotionEdgeError(
            f"head {AFFECT!r}: fewer than two faces of PublicTest of {validation.name} have valence and arousal, so no "
            "epoch can be chosen; cut other splits with `emotion-train prepare --split`"
        )
