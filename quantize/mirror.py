"""Chooses `mirror_below`, the confidence below which a model is run on the mirror image of a face too.

A network's outputs for a face and for its mirror image differ, mostly at low confidence. Their mean is right more
often, and is the same for both; computing it only at low confidence saves most second runs. The value is chosen on
PublicTest: the lowest at which the share SAME of the faces keep their label when mirrored.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge.emotion.local import LocalClassifier
from edge.emotion.scores import Floats, probabilities_of
from edge.errors import EmotionEdgeError
from edge.models.card import CARD_FILE, EmotionCard, OutputSpec, read_card
from edge.models.runtime import choose
from quantize.card_update import write_into
from quantize.published import LEAST_FACES, Labels, figures_of, labelled_faces, primary_values
from training.datasets.dataset import FINAL, VALIDATION, Dataset, clean_training

STEPS: Final = tuple(step / 20 for step in range(8, 20))
"""Values of `mirror_below` that are tried."""
SAME: Final = 0.99
"""Share of the faces that must keep their label when mirrored."""


@dataclass(frozen=True, slots=True)
class Views:
    """Values of the primary output, float32 [n, labels], for faces and for their mirror images, and true labels [n]."""

    plain: Floats
    flipped: Floats
    labels: Labels

    def values(self, output: OutputSpec, below: float) -> tuple[Floats, Floats, float]:
        """Return values for faces and mirror images, averaged at confidence below `below`, and the share run twice."""
        mean = (self.plain + self.flipped) / 2
        unsure, other = (_confidence(output, each) < below for each in (self.plain, self.flipped))
        faces = np.where(unsure[:, None], mean, self.plain)
        return faces, np.where(other[:, None], mean, self.flipped), float(unsure.mean())

    def same(self, output: OutputSpec, below: float) -> float:
        """Share of the faces that keep their label when mirrored, 0 to 1."""
        faces, mirrored, _ = self.values(output, below)
        first, second = (probabilities_of(output, each).argmax(axis=1) for each in (faces, mirrored))
        return float(np.mean(first == second))


def add_mirror(folder: Path, data: Dataset, final: bool = False) -> dict[str, Any]:
    """Choose `mirror_below` of a released model and write it, with figures, into its card.

    Args:
        folder: folder with the model file and its card.
        data: data set with labels of the card's primary label set.
        final: measure on PrivateTest too, for the final figure.

    Returns:
        The figures as they stand in `card.json` under `mirror_image`.

    Raises:
        EmotionEdgeError: The model is missing or averages over all mirror images already, or the data set has no such
            labels.
    """
    card = read_card(EmotionCard, folder)
    output = card.primary
    if card.mirror or output.label_set not in data.labels:
        raise EmotionEdgeError(
            f"mirror {folder}: needs a model whose card does not set `mirror`, and a data set with its labels "
            f"({output.label_set}); {data.name} has {', '.join(data.labels)}"
        )
    views = {split: views_of(folder, card, data, split) for split in ((VALIDATION, FINAL) if final else (VALIDATION,))}
    return write_mirror(folder, output, views, data.name)


def write_mirror(folder: Path, output: OutputSpec, views: Mapping[str, Views], data_set: str) -> dict[str, Any]:
    """Choose `mirror_below` by the views of PublicTest, and write it and the figures of all splits into the card.

    Args:
        folder: folder with the model file and its card.
        output: the primary output as it is published.
        views: what the model answers, by split.
        data_set: name of the data set.

    Returns:
        The figures as they stand in `card.json` under `mirror_image`.
    """
    below = chosen_below(output, views[VALIDATION])
    counts = np.bincount(views[VALIDATION].labels, minlength=len(output.labels))
    counted = {name for name, count in zip(output.labels, counts, strict=True) if count >= LEAST_FACES}
    facts: dict[str, Any] = {
        "rule": f"the lowest by which {SAME:.0%} of the faces of {VALIDATION} keep their label in the mirror",
        "data_set": data_set,
        "mirror_below": below,
        "figures": {split: _pair(output, each, below, counted) for split, each in views.items()},
    }
    write_into(folder, CARD_FILE, {"mirror_below": below, "mirror_image": facts}, mirror_text(facts))
    return facts


def views_of(folder: Path, card: EmotionCard, data: Dataset, split: str, mirrored: bool = True) -> Views:
    """Run a model on the labelled faces of a split and, if `mirrored`, on their mirror images.

    Otherwise the values for the mirror images are those for the faces.
    """
    faces, labels = labelled_faces(data, card.primary.label_set, split)
    classifier = LocalClassifier(folder, choose())
    plain = primary_values(classifier, faces)
    flipped = primary_values(classifier, np.ascontiguousarray(faces[:, :, ::-1])) if mirrored else plain
    return Views(plain, flipped, labels)


def chosen_below(output: OutputSpec, views: Views) -> float:
    """The lowest of STEPS by which the share SAME of the faces keep their label when mirrored; the highest if none."""
    return next((step for step in STEPS if views.same(output, step) >= SAME), STEPS[-1])


def _confidence(output: OutputSpec, values: Floats) -> Floats:
    return np.asarray(probabilities_of(output, values).max(axis=1))


def _pair(output: OutputSpec, views: Views, below: float, counted: set[str]) -> dict[str, Any]:
    def facts(threshold: float) -> dict[str, Any]:
        values, _, share = views.values(output, threshold)
        figures = figures_of(output, values, views.labels, counted)
        return {
            "accuracy": round(figures.accuracy, 4),
            "macro_recall": round(figures.macro_recall, 4),
            "calibration_error": round(figures.error, 4),
            "same_in_mirror": round(views.same(output, threshold), 4),
            "run_twice": round(share, 4),
        }

    return {"without": facts(0.0), "with": facts(below)}


def mirror_text(facts: Mapping[str, Any]) -> str:
    """Format the figures as a section of `CARD.md`, which the command prints too."""
    below = facts["mirror_below"]
    lines = [
        "## Mirror images",
        "",
        f"Where the confidence is below {below:g} (`mirror_below` in `card.json`), the model is also run on the mirror",
        f"image of the face, and the mean of both outputs counts. It was chosen by a rule: {facts['rule']}.",
        "These figures are with `emotion.balance`; other figures of accuracy in this card are without mirror images.",
        "",
        "| split | averaged | run twice | same label in the mirror | accuracy | macro recall | calibration error |",
        "|---|---|---|---|---|---|---|",
    ]
    for split, pair in facts["figures"].items():
        for used, row in (("none", pair["without"]), (f"below {below:g}", pair["with"])):
            lines.append(
                f"| {split} | {used} | {row['run_twice']:.1%} | {row['same_in_mirror']:.1%} | {row['accuracy']:.1%} | "
                f"{row['macro_recall']:.1%} | {row['calibration_error']:.3f} |"
            )
    return "\n".join(lines) + "\n"


def run(folders: list[Path], data: Dataset, final: bool) -> None:
    """Run `emotion-quantize mirror`: choose `mirror_below` for each model, and print its figures."""
    cleaned = clean_training(data)
    for folder in folders:
        print(f"{folder.resolve().name}\n\n{mirror_text(add_mirror(folder, cleaned, final))}", flush=True)
