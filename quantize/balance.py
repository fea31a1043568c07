"""Logit adjustment of a released model (Menon et al. 2021), so that rare labels are predicted more often.

A network learns how rare a label is in its training data, and seldom predicts the rare ones. Its probabilities are
softmax(logits / T - balance * log(priors)). The balance is chosen on PublicTest: the one of largest macro recall whose
accuracy is at most one percentage point below that of balance 0. The temperature T is fitted anew for each balance. The
members of a committee have the balance of their own cards; for the committee only figures are measured.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge.emotion.committee import COMMITTEE_FILE, open_local, read_committee
from edge.emotion.local import LocalClassifier
from edge.emotion.scores import Floats, probabilities_of
from edge.errors import EmotionEdgeError
from edge.model_updates.self_test import add_self_test
from edge.models.card import CARD_FILE, EmotionCard, OutputSpec, read_card
from edge.models.released import model_dir
from edge.models.runtime import choose
from quantize.card_update import write_into
from training.datasets.dataset import FINAL, VALIDATION, Dataset, clean_training
from training.evaluation.metrics import reliability

BALANCES: Final = tuple(step / 20 for step in range(21))
ACCURACY_LOSS: Final = 0.01
"""Largest loss of accuracy on PublicTest, 0 to 1, that a balance may cause."""

LEAST_FACES: Final = 20
"""Fewest faces on PublicTest for a label to count in the macro recall; in FER+, contempt has fewer."""

_TEMPERATURES: Final = np.geomspace(0.4, 2.5, 93)
_BATCH: Final = 256

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class BalanceFigures:
    """Figures of a model on one split, 0 to 1.

    macro_recall: over the labels that count. error: expected calibration error. uncertain: share of the faces with a
    confidence below the default of `emotion.uncertain_below`. recall: by label.
    """

    accuracy: float
    macro_recall: float
    error: float
    uncertain: float
    recall: Mapping[str, float]


def add_balance(folder: Path, data: Dataset, final: bool = False) -> tuple[EmotionCard, dict[str, Any]]:
    """Choose the balance of a released model and write it, with priors, temperature and figures, into its card.

    Args:
        folder: folder with the model file and its card.
        data: data set with labels of the card's primary label set.
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


def add_committee_balance(folder: Path, data: Dataset, final: bool = False) -> dict[str, Any]:
    """Measure a released committee with and without the balance of its members, and write the figures.

    Args:
        folder: folder with `committee.json`; CARD.md in it gets a section.
        data: data set with labels of the members' primary label set.
        final: measure on PrivateTest too, for the final figure.

    Returns:
        The figures as they stand in `committee.json` under `balance`.

    Raises:
        EmotionEdgeError: A member is missing or was replaced by another model, or the data set has no such labels.
    """
    members = [member.model for member in read_committee(folder / COMMITTEE_FILE).members]
    without, balanced = (open_local(str(folder), choose(), balance=balance) for balance in (0.0, None))
    label_set = balanced.card.primary.label_set
    if label_set not in data.labels:
        raise EmotionEdgeError(
            f"balance {folder}: needs labels of {label_set}; {data.name} has {', '.join(data.labels)}"
        )
    facts: dict[str, Any] = {
        "data_set": data.name,
        "balance": {name: read_card(EmotionCard, model_dir(name)).primary.balance for name in members},
        "figures": {},
    }
    counted: set[str] | None = None
    for split in (VALIDATION, FINAL) if final else (VALIDATION,):
        faces, labels = labelled_faces(data, label_set, split)
        said = (
            np.concatenate([each.classify(faces[at : at + _BATCH]).probabilities for at in _starts(faces)])
            for each in (without, balanced)
        )
        plain, with_balance = (figures_from(each, balanced.labels, labels, counted) for each in said)
        facts["figures"][split], counted = _pair(plain, with_balance), set(with_balance.recall)
    write_into(folder, COMMITTEE_FILE, {"balance": facts}, balance_text(facts))
    return facts


def _outputs(folder: Path, card: EmotionCard, data: Dataset, split: str) -> tuple[Floats, Labels]:
    """Run a model on the labelled faces of a split; returns the primary output's values [n, labels] and labels [n].

    The card's `mirror_below` is ignored: each face is run once.
    """
    faces, labels = labelled_faces(data, card.primary.label_set, split)
    return primary_values(LocalClassifier(folder, choose()), faces), labels


def primary_values(classifier: LocalClassifier, faces: npt.NDArray[np.uint8]) -> Floats:
    """Run a model on face crops uint8 [n, h, w, c]; returns the primary output's values, float32 [n, labels]."""
    name = classifier.card.primary.name
    return np.concatenate([classifier.outputs(faces[at : at + _BATCH])[name].copy() for at in _starts(faces)])


def labelled_faces(data: Dataset, label_set: str, split: str) -> tuple[npt.NDArray[np.uint8], Labels]:
    """Return the faces uint8 [n, h, w, c] of a split that have a label, and their labels [n]."""
    part = data.part(split)
    judged = part.labels[label_set].judged
    faces = part.pixels[judged >= 0]
    return faces[..., None] if faces.ndim == 3 else faces, judged[judged >= 0]


def _starts(faces: npt.NDArray[np.uint8]) -> range:
    return range(0, len(faces), _BATCH)


def _fitted(output: OutputSpec, values: Floats, labels: Labels) -> OutputSpec:
    """Return the output's specification with the temperature of least negative log-likelihood."""
    rows = np.arange(len(labels))

    def loss(temperature: float) -> float:
        probabilities = probabilities_of(output.model_copy(update={"temperature": temperature}), values)
        return float(-np.log(np.maximum(probabilities[rows, labels], 1e-12)).mean())

    return output.model_copy(update={"temperature": round(float(min(_TEMPERATURES, key=loss)), 4)})


def figures_of(output: OutputSpec, values: Floats, labels: Labels, counted: set[str] | None = None) -> BalanceFigures:
    """Figures of published probabilities. counted: labels of the macro recall; None: those with LEAST_FACES faces."""
    return figures_from(probabilities_of(output, values), output.labels, labels, counted)


def figures_from(
    probabilities: Floats, names: Sequence[str], labels: Labels, counted: set[str] | None = None
) -> BalanceFigures:
    """Figures of probabilities [n, labels]. counted: labels of the macro recall; None: those with LEAST_FACES faces."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    recall = {
        name: float(right[labels == label].mean())
        for label, name in enumerate(names)
        if (name in counted if counted is not None else (labels == label).sum() >= LEAST_FACES)
    }
    error = reliability(confidence, right).error
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
    content = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
    outputs = [output.model_dump(mode="json") if it["name"] == output.name else it for it in content["outputs"]]
    write_into(folder, CARD_FILE, {"outputs": outputs, "balance": facts}, balance_text(facts))


def balance_text(facts: Mapping[str, Any]) -> str:
    """Format the figures as a section of `CARD.md`, which the command prints too."""
    balance = facts["balance"]
    if isinstance(balance, Mapping):
        each = ", ".join(f"{name} {value:g}" for name, value in balance.items())
        chosen = "cards'"
        about = [
            "With `emotion.balance: auto` a part of the logarithm of the training priors is taken from the logits of",
            f"each member, as its card says: {each}.",
        ]
    else:
        chosen = f"{balance:g}"
        about = [
            f"With this model `emotion.balance` is {chosen}, the part of the logarithm of the training priors",
            f"that is taken from the logits. It was chosen by a rule: {facts['rule']}.",
        ]
    lines = [
        "## Rare emotions",
        "",
        *about,
        "",
        "| split | balance | accuracy | macro recall | calibration error | " + " | ".join(_names(facts)) + " |",
        "|---" * (5 + len(_names(facts))) + "|",
    ]
    for split, pair in facts["figures"].items():
        for used, row in (("0", pair["without"]), (chosen, pair["with"])):
            recall = " | ".join(f"{row['recall'][name]:.1%}" for name in _names(facts))
            lines.append(
                f"| {split} | {used} | {row['accuracy']:.1%} | {row['macro_recall']:.1%} | "
                f"{row['calibration_error']:.3f} | {recall} |"
            )
    lines += ["", f"Macro recall is the mean of the labels with at least {LEAST_FACES} faces on {VALIDATION}."]
    return "\n".join(lines) + "\n"


def _names(facts: Mapping[str, Any]) -> list[str]:
    return list(next(iter(facts["figures"].values()))["with"]["recall"])


def run(folders: list[Path], data: Dataset, final: bool) -> None:
    """Run `emotion-quantize balance`: balance each model, and print its figures."""
    cleaned = clean_training(data)
    for folder in folders:
        if (folder / COMMITTEE_FILE).is_file():
            file, facts = read_committee(folder / COMMITTEE_FILE), add_committee_balance(folder, cleaned, final)
            print(f"{file.name} {file.version}\n\n{balance_text(facts)}", flush=True)
            continue
        card, facts = add_balance(folder, cleaned, final)
        print(f"{card.name} {card.version}\n\n{balance_text(facts)}", flush=True)
