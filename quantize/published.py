"""Figures of the probabilities that a released model publishes, on the labelled faces of a split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from edge.emotion.local import LocalClassifier
from edge.emotion.scores import Floats, probabilities_of
from edge.models.card import OutputSpec
from training.datasets.dataset import Dataset
from training.evaluation.metrics import reliability

LEAST_FACES: Final = 20
"""Fewest faces on PublicTest for a label to count in the macro recall; in FER+, contempt has fewer."""

_BATCH: Final = 256

Faces = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of a model on one split, 0 to 1.

    macro_recall: over the labels that count. error: expected calibration error. uncertain: share of the faces with a
    confidence below the default of `emotion.uncertain_below`. recall: by label.
    """

    accuracy: float
    macro_recall: float
    error: float
    uncertain: float
    recall: Mapping[str, float]


def batches(faces: Faces) -> list[Faces]:
    """Split faces into batches that fit a released model."""
    return [faces[at : at + _BATCH] for at in range(0, len(faces), _BATCH)]


def primary_values(classifier: LocalClassifier, faces: Faces) -> Floats:
    """Run a model on face crops uint8 [n, h, w, c]; returns the primary output's values, float32 [n, labels]."""
    name = classifier.card.primary.name
    return np.concatenate([classifier.outputs(batch)[name].copy() for batch in batches(faces)])


def labelled_faces(data: Dataset, label_set: str, split: str) -> tuple[Faces, Labels]:
    """Return the faces uint8 [n, h, w, c] of a split that have a label, and their labels [n]."""
    part = data.part(split)
    judged = part.labels[label_set].judged
    faces = part.pixels[judged >= 0]
    return faces[..., None] if faces.ndim == 3 else faces, judged[judged >= 0]


def figures_of(output: OutputSpec, values: Floats, labels: Labels, counted: set[str] | None = None) -> Figures:
    """Figures of an output's values. counted: labels of the macro recall; None: those with LEAST_FACES faces."""
    return figures_from(probabilities_of(output, values), output.labels, labels, counted)


def figures_from(
    probabilities: Floats, names: Sequence[str], labels: Labels, counted: set[str] | None = None
) -> Figures:
    """Figures of probabilities [n, labels]. counted: labels of the macro recall; None: those with LEAST_FACES faces."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    recall = {
        name: float(right[labels == label].mean())
        for label, name in enumerate(names)
        if (name in counted if counted is not None else (labels == label).sum() >= LEAST_FACES)
    }
    error = reliability(confidence, right).error
    macro = float(np.mean(list(recall.values())))
    return Figures(float(right.mean()), macro, error, float((confidence < 0.4).mean()), recall)
