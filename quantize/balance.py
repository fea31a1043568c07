"""Logit adjustment of a released model (Menon et al. 2021), so that rare labels are predicted more often.

A network learns how rare a label is in its training data, and seldom predicts the rare ones. Its probabilities are
softmax(logits / T - balance * log(priors)). The balance is chosen on PublicTest: the one of largest macro recall whose
accuracy is at most one percentage point below that of balance 0. The temperature T is fitted anew for each balance. A
model with `mirror_below` in its card is measured as the board runs it, on the mirror image of unsure faces too. The
members of a committee have the balance of their own cards; for the committee only figures are measured.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge.emotion.committee import COMMITTEE_FILE, open_local, read_committee
from edge.emotion.scores import Floats, probabilities_of
from edge.errors import EmotionEdgeError
from edge.model_updates.self_test import add_self_test
from edge.models.card import CARD_FILE, EmotionCard, OutputSpec, read_card
from edge.models.released import model_dir
from edge.models.runtime import choose
from quantize.card_update import write_into
from quantize.mirror import Views, chosen_below, views_of, write_mirror
from quantize.published import LEAST_FACES, Figures, Labels, batches, figures_from, figures_of, labelled_faces
from training.datasets.dataset import FINAL, VALIDATION, Dataset, clean_training

BALANCES: Final = tuple(step / 20 for step in range(21))
ACCURACY_LOSS: Final = 0.01
"""Largest loss of accuracy on PublicTest, 0 to 1, that a balance may cause."""

_TEMPERATURES: Final = np.geomspace(0.4, 2.5, 93)


def add_balance(folder: Path, data: Dataset, final: bool = False) -> tuple[EmotionCard, dict[str, Any]]:
    """Choose the balance of a released model and write it, with priors, temperature and figures, into its card.

    Where the card has `mirror_below`, that is chosen anew with the balance, as it depends on the confidence.

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
    mirrored = card.mirror_below > 0
    splits = (VALIDATION, FINAL) if final else (VALIDATION,)
    by_split = {split: views_of(folder, card, data, split, mirrored) for split in splits}
    views = by_split[VALIDATION]
    tried = [_fitted(plain.model_copy(update={"balance": balance}), views.plain, views.labels) for balance in BALANCES]
    below = [chosen_below(output, views) if mirrored else 0.0 for output in tried]
    measured = [_as_run(*each, views) for each in zip(tried, below, strict=True)]
    allowed = measured[0].accuracy - ACCURACY_LOSS
    best = max(
        (row for row in range(len(tried)) if measured[row].accuracy >= allowed),
        key=lambda row: (measured[row].macro_recall, -tried[row].balance),
    )
    facts: dict[str, Any] = {
        "rule": f"the largest macro recall on {VALIDATION} whose accuracy is at most {ACCURACY_LOSS:.0%} lower",
        "data_set": data.name,
        "balance": tried[best].balance,
        "mirror_images": mirrored,
        "figures": {VALIDATION: _pair(measured[0], measured[best])},
    }
    if final:
        counted = set(measured[best].recall)
        both = (_as_run(tried[row], below[row], by_split[FINAL], counted) for row in (0, best))
        facts["figures"][FINAL] = _pair(*both)
    _write(folder, tried[best], facts)
    if mirrored:
        write_mirror(folder, tried[best], by_split, data.name)
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
            np.concatenate([each.classify(batch).probabilities for batch in batches(faces)])
            for each in (without, balanced)
        )
        plain, with_balance = (figures_from(each, balanced.labels, labels, counted) for each in said)
        facts["figures"][split], counted = _pair(plain, with_balance), set(with_balance.recall)
    write_into(folder, COMMITTEE_FILE, {"balance": facts}, balance_text(facts))
    return facts


def _as_run(output: OutputSpec, below: float, views: Views, counted: set[str] | None = None) -> Figures:
    """Figures with mirror images at confidence below `below`. counted: as for `figures_of`."""
    return figures_of(output, views.values(output, below)[0], views.labels, counted)


def _fitted(output: OutputSpec, values: Floats, labels: Labels) -> OutputSpec:
    """Return the output's specification with the temperature of least negative log-likelihood."""
    rows = np.arange(len(labels))

    def loss(temperature: float) -> float:
        probabilities = probabilities_of(output.model_copy(update={"temperature": temperature}), values)
        return float(-np.log(np.maximum(probabilities[rows, labels], 1e-12)).mean())

    return output.model_copy(update={"temperature": round(float(min(_TEMPERATURES, key=loss)), 4)})


def _pair(before: Figures, after: Figures) -> dict[str, Any]:
    def facts(figures: Figures) -> dict[str, Any]:
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
        if facts.get("mirror_images"):
            about.append("The figures are with mirror images of unsure faces, as the board runs the model.")
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
