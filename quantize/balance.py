"""How far a model's published probabilities allow for rare labels: logit adjustment (Menon et al. 2021), into its card.

A network learns how rare a label is in its training data, and seldom predicts the rare ones. Its probabilities are
softmax(logits / T - balance * log(priors)). The balance is chosen on PublicTest by a rule: the largest macro recall
whose accuracy is at most one point below that without it. The temperature T is fitted anew for each balance.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge.emotion.local import LocalClassifier
from edge.emotion.scores import Floats, probabilities_of
from edge.errors import EmotionEdgeError
from edge.model_updates.self_test import add_self_test
from edge.models.card import CARD_FILE, EmotionCard, OutputSpec, read_card
from edge.models.runtime import choose
from training.datasets.dataset import FINAL, VALIDATION, Dataset, clean_training

BALANCES: Final = tuple(step / 20 for step in range(21))
ACCURACY_LOSS: Final = 0.01
"""What a balance may cost of the accuracy on PublicTest."""

LEAST_FACES: Final = 20
"""A label with fewer faces on PublicTest does not count in the macro recall: of FER+, contempt."""

_TEMPERATURES: Final = np.geomspace(0.4, 2.5, 93)
_BINS: Final = 15
_BATCH: Final = 256

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class BalanceFigures:
    """On one split, 0 to 1. macro_recall: over the labels that count. error: expected calibration error. uncertain:
    share of the faces with a confidence below the default of `emotion.uncertain_below`. recall: by label.
    """

    accuracy: float
    macro_recall: float
    error: float
    uncertain: float
    recall: Mapping[str, float]


def add_balance(folder: Path, data: Dataset, final: bool = False) -> tuple[EmotionCard, dict[str, Any]]:
    """Choose the balance of a released model and write it, with priors, temperature and figures, into its card.

    Args:
        folder: with the model file and its card.
        data: with labels of the card's primary label set.
        final: measure on PrivateTest too, for the final figure.

    Returns:
        The new card, and the figures as they stand in `card.json` under `balance`.

    Raises:
        EmotionEdgeError: the model is missing, or the data set has no such labels.
    """
    card = read_card(EmotionCard, folder)
    primary = card.primary
    if primary.label_set not in data.labels or primary.activation != "logits":
        raise EmotionEdgeError(
            f"balance {folder}: needs an output of logits and a data set with its labels ({primary.label_set}); "
            f"{data.name} has {', '.join(data.labels)}"
        )
    training = data.part("Training").labels[primary.label_set].judged
    counts = np.bincount(training[training >= 0], minlength=len(primary.labels))
    priors = np.maximum(counts, 1) / np.maximum(counts, 1).sum()
    plain = primary.model_copy(update={"priors": tuple(priors.round(5).tolist()), "balance": 0.0})
    values, labels = _outputs(folder, card, data, VALIDATION)
    tried = [_fitted(plain.model_copy(update={"balance": balance}), values, labels) for balance in BALANCES]
    measured = [figures_of(output, values, labels) for output in tried]
    allowed = measured[0].accuracy - ACCURACY_LOSS
    best = max(
        (row for row in range(len(tried)) if measured[row].accuracy >= allowed),
        key=lambda row: (measured[row].macro_recall, -tried[row].balance),
    )
    facts: dict[str, Any] = {
        "rule": f"the largest macro recall on {VALIDATION} whose accuracy is at most {ACCURACY_LOSS:.0%} lower",
        "data_set": data.name,
        "balance": tried[best].balance,
        "figures": {VALIDATION: _pair(measured[0], measured[best])},
    }
    if final:
        values, labels = _outputs(folder, card, data, FINAL)
        counted = set(measured[best].recall)
        facts["figures"][FINAL] = _pair(*(figures_of(it, values, labels, counted) for it in (tried[0], tried[best])))
    _write(folder, tried[best], facts)
    add_self_test(folder)
    return read_card(EmotionCard, folder), facts


def _outputs(folder: Path, card: EmotionCard, data: Dataset, split: str) -> tuple[Floats, Labels]:
    """The primary output's values [n, labels] for the faces of a split that have a label, and their labels [n]."""
    part = data.part(split)
    judged = part.labels[card.primary.label_set].judged
    faces = part.pixels[judged >= 0]
    faces = faces[..., None] if faces.ndim == 3 else faces
    classifier = LocalClassifier(folder, choose())
    rows = [
        classifier.outputs(faces[at : at + _BATCH])[card.primary.name].copy() for at in range(0, len(faces), _BATCH)
    ]
    return np.concatenate(rows), judged[judged >= 0]


def _fitted(output: OutputSpec, values: Floats, labels: Labels) -> OutputSpec:
    """The output with the temperature of least negative log-likelihood."""
    rows = np.arange(len(labels))

    def loss(temperature: float) -> float:
        probabilities = probabilities_of(output.model_copy(update={"temperature": temperature}), values)
        return float(-np.log(np.maximum(probabilities[rows, labels], 1e-12)).mean())

    return output.model_copy(update={"temperature": round(float(min(_TEMPERATURES, key=loss)), 4)})


def figures_of(output: OutputSpec, values: Floats, labels: Labels, counted: set[str] | None = None) -> BalanceFigures:
    """Figures of what is published. counted: labels of the macro recall; None: those with LEAST_FACES faces."""
    probabilities = probabilities_of(output, values)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    recall = {
        name: float(right[labels == label].mean())
        for label, name in enumerate(output.labels)
        if (name in counted if counted is not None else (labels == label).sum() >= LEAST_FACES)
    }
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    error = sum(
        float((bins == place).mean() * abs(right[bins == place].mean() - confidence[bins == place].mean()))
        for place in np.unique(bins)
    )
    macro = float(np.mean(list(recall.values())))
    return BalanceFigures(float(right.mean()), macro, error, float((confidence < 0.4).mean()), recall)


def _pair(before: BalanceFigures, after: BalanceFigures) -> dict[str, Any]:
    def facts(figures: BalanceFigures) -> dict[str, Any]:
        return {
            "accuracy": round(figures.accuracy, 4),
            "macro_recall": round(figures.macro_recall, 4),
            "calibration_error": round(figures.error, 4),
            "uncertain": round(figures.uncertain, 4),
            "recall": {name: round(value, 4) for name, value in figures.recall.items()},
        }

    return {"without": facts(before), "with": facts(after)}


def _write(folder: Path, output: OutputSpec, facts: Mapping[str, Any]) -> None:
    path = folder / CARD_FILE
    content = json.loads(path.read_text(encoding="utf-8"))
    content["outputs"] = [
        output.model_dump(mode="json") if entry["name"] == output.name else entry for entry in content["outputs"]
    ]
    content["balance"] = facts
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    text = folder / "CARD.md"
    if text.is_file():
        whole = text.read_text(encoding="utf-8")
        without = re.sub(r"\n## Rare emotions\n.*?(?=\n## |\Z)", "", whole, flags=re.DOTALL).rstrip("\n")
        text.write_text(f"{without}\n\n{balance_text(facts)}", encoding="utf-8")


def balance_text(facts: Mapping[str, Any]) -> str:
    """The section of `CARD.md`, and what the command prints."""
    lines = [
        "## Rare emotions",
        "",
        f"With this model `emotion.balance` is {facts['balance']:g}, the part of the logarithm of the training priors",
        f"that is taken from the logits. It was chosen by a rule: {facts['rule']}.",
        "",
        "| split | balance | accuracy | macro recall | calibration error | " + " | ".join(_names(facts)) + " |",
        "|---" * (5 + len(_names(facts))) + "|",
    ]
    for split, pair in facts["figures"].items():
        for balance, row in ((0, pair["without"]), (facts["balance"], pair["with"])):
            recall = " | ".join(f"{row['recall'][name]:.1%}" for name in _names(facts))
            lines.append(
                f"| {split} | {balance:g} | {row['accuracy']:.1%} | {row['macro_recall']:.1%} | "
                f"{row['calibration_error']:.3f} | {recall} |"
            )
    lines += ["", f"Macro recall is the mean of the labels with at least {LEAST_FACES} faces on {VALIDATION}."]
    return "\n".join(lines) + "\n"


def _names(facts: Mapping[str, Any]) -> list[str]:
    return list(next(iter(facts["figures"].values()))["with"]["recall"])


def run(folders: list[Path], data: Dataset, final: bool) -> None:
    """The command: balance each model, and print its figures."""
    cleaned = clean_training(data)
    for folder in folders:
        card, facts = add_balance(folder, cleaned, final)
        print(f"{card.name} {card.version}\n\n{balance_text(facts)}", flush=True)
