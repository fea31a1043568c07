"""Texts of CARD.md, templates with `$name` placeholders that `quantize.card` fills in."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from string import Template
from typing import Any, Final

import numpy as np

from edge.models.card import CARD_FILE
from quantize.verify import Measured, Row
from training.config import Teacher, TrainingConfig, Unlabelled
from training.datasets.dataset import SPLITS, Dataset, clean_training, source_of
from training.evaluation import parity
from training.evaluation.figures import Figures

DATA_TEXT: Final = Template(
    """\
Trained on the Training split of $name ($all faces) without those that PublicTest or PrivateTest hold too, pixel for
pixel, and without blank ones: $kept faces. ${learned}The epoch and the temperatures were chosen on PublicTest, so its
figures flatter; PrivateTest chose nothing."""
)

LABELS_TEXT: Final[Mapping[str, Mapping[str, str]]] = {
    "FER-2013": {"fer7": "FER-2013's labels", "ferplus8": "the FER+ votes"},
}
"""Description of each label set, by name of the original data set."""

LICENCES: Final[Mapping[str, str]] = {
    "FER-2013": "FER-2013, whose images carry no licence that was found and are for research",
}
"""Licence of the images, by name of the original data set."""

VOTES_LICENCE: Final = ", and on the FER+ votes (MIT, Microsoft)"

RARE: Final = 0.02
"""Share of the labelled Training faces below which a class is called rare."""

LOST_POINTS: Final = 3
"""Loss of recall by quantization, in percentage points, above which a class is listed as a known failure."""

DATA_FAILURES: Final[Mapping[str, str]] = {
    "FER-2013": """\
- FER-2013's labels are noisy: the majority of FER+'s ten voters agrees with them on less than two thirds of the
  faces. A part of what counts as an error here is none.
- The faces were found with an image search on the web, so many are posed, and the files do not say age, skin tone, sex
  or origin.""",
}
"""Known weaknesses that a network inherits from its data, by name of the original data set."""

ERRORS_BY_GROUP: Final = """\
- How the errors differ between people by age, skin tone, sex or origin has not been measured here; expect that they
  do, and more so for people like whom few are in the data."""

EVENNESS_TEXT: Final = """\

## Evenness
$n faces of FairFace's validation split through the default detector and this file, in percent, with 95% intervals
(Wilson): found by the detector; of these, the same label as on the clean face when it is mirrored, darkened to a
quarter with read noise, moved by an eighth of its width, or 32 pixels wide; mean confidence; published as `uncertain`;
share of each label. $note
`card.json` has the pairs of groups with 200 faces or more, too.

$table
"""

FAIRFACE_LICENCE: Final = ", and without labels on FairFace (Karkkainen and Joo 2021; CC BY 4.0)"

USE_TEXT: Final = """\
## What for
Expressions of faces that look roughly at the camera, about 48 pixels or more wide, on the device itself:
art, play, research, prototypes, a signal for home automation that may be wrong.

## What not for
It names the expression that people would see in a picture. What goes on in a person it does not know, and an
expression is weak evidence of it. Do not decide about people with it: not on work, school, credit, insurance, care,
health, guilt or truthfulness, nor on anything else that matters to them. Do not use it on people who have not agreed.

In the European Union, as of November 2026 and in plain words, by Regulation (EU) 2024/1689 (the AI Act): inferring
emotions of people at work or in education from their faces is forbidden since 2 February 2025, but for medical or
safety reasons (Article 5(1)(f)); elsewhere people who are exposed to it must be told since 2 August 2026 (Article
50(3)), and it counts as high-risk (Annex III, point 1(c)); an amendment (Regulation (EU) 2026/1744) is reported, not
verified, to have moved the duties of that to 2 December 2027. The GDPR holds for pictures of faces. `docs/privacy.md`
of Emotion Edge has more. This is a pointer, not legal advice."""
"""Section on intended and unsuitable uses of a released model."""

CARD_TEXT: Final = Template(
    """\
# $name $version

A TensorFlow Lite network of $kilobytes kB ($precision) that says which of $count expressions a face shows. Input
`image`: $input. Outputs: $outputs. `card.json` beside it says all that is needed to run it, and so do the labels and
the card inside the file itself (`emotion-quantize show`, or `unzip`).

SHA-256 `$sha256`

$use

## How it was made
With the data set in the folder `data`:
```
$command
```
$data$taught
$calibration

## Figures
$figures

- Same label (`same`): part of all faces of $splits to which the file gives the float network's label, whether or not
  they count below; of a row with fewer faces, part of these.
$protocols
- A figure on one label set and one on another cannot be compared.
- Expected calibration error of $primary on $split: $before, and $after with logits divided by the temperature
  ($temperatures).
$few
$classes
$evenness
## Known failures
$failures
$losses
$data_failures
- Not measured, but expected to make it worse: masks, hands, strong side light, profiles, faces smaller than about 40
  pixels.

## Data and licence
$licence
No image of the data set is part of this project.
"""
)


COMMITTEE_TEXT: Final = Template(
    """\
# $name $version

$how$mirror

`emotion.model: $name` lets it run. It costs what its members cost together, so it is for still pictures and for boards
with time to spare. `committee.json` pins the members by the hash of their files:

$pins

$use

## How it was made
With the data set in the folder `data`:
```
$command
```

## Figures
$figures

int8; $views, for each member alone, too. What was chosen was chosen on PublicTest.

$protocols
- A figure on one label set and one on another cannot be compared.
$gains

$classes

Known failures, data and licence: as of its members, in their own cards.
"""
)


def class_table(figure: Figures, how: str) -> str:
    """Format recall and confusion of one head on one split as Markdown. how: what was measured, for the caption."""
    low, high = figure.accuracy_interval
    lines = [
        f"{figure.head}, {figure.split}, {how}: accuracy {figure.accuracy:.2%} (95% interval {low:.2%} to "
        f"{high:.2%}), macro-F1 {figure.macro_f1:.2%}, n = {figure.rows}. Rows are the true class, columns what the "
        "network said.",
        "",
        "| true | recall | " + " | ".join(figure.labels) + " |",
        "|---" * (len(figure.labels) + 2) + "|",
    ]
    for label, row in zip(figure.labels, figure.confusion, strict=True):
        found = f"{figure.recall[label]:.1%}" if row.sum() else ""
        lines.append(f"| {label} | {found} | " + " | ".join(str(count) for count in row) + " |")
    return "\n".join(lines)


def data_text(data: Dataset, heads: Collection[str]) -> str:
    """Section on the training data, with numbers of faces. heads: names of the network's heads."""
    training = SPLITS.index("Training")
    known = LABELS_TEXT.get(source_of(data.name), {})
    learned = [what for label_set, what in known.items() if label_set in heads and label_set in data.labels]
    together = " are learned together. " if len(learned) > 1 else " are learned. "
    return DATA_TEXT.substitute(
        name=data.name,
        all=f"{int((data.split == training).sum()):,}",
        kept=f"{int((clean_training(data).split == training).sum()):,}",
        learned=_first_large(" and ".join(learned)) + together if learned else "",
    )


def licence_text(run: TrainingConfig, data_set: str, heads: Iterable[str]) -> str:
    """Text on the licences of the weights (from the run's settings, may be not chosen yet) and of the data."""
    source = source_of(data_set)
    trained_on = LICENCES.get(source, f"{data_set}: see its own licence")
    votes = VOTES_LICENCE if source in LICENCES and "ferplus8" in heads else ""
    weights = f"{run.licence} (the weights)" if run.licence else "The weights: as you choose"
    unlabelled = ""
    if run.unlabelled:
        path = run.unlabelled.path
        unlabelled = FAIRFACE_LICENCE if "fairface" in path.name.casefold() else f", and without labels on {path.name}"
    return f"{weights}. Trained on {trained_on}{votes}{unlabelled}."


def unlabelled_text(unlabelled: Unlabelled | None) -> str:
    """One line about training on unlabelled faces; empty if there were none."""
    if unlabelled is None:
        return ""
    most = f", at most {unlabelled.most_per_class:,} of each first class" if unlabelled.most_per_class else ""
    if unlabelled.soft_labels is None:
        return (
            f"\nBeside them faces of `{unlabelled.path.name}` without labels are learned with the weight "
            f"{unlabelled.weight:g}, from consistency alone: altered, they are to keep the network's own probabilities."
        )
    return (
        f"\nBeside them faces of `{unlabelled.path.name}` without labels are learned with the weight "
        f"{unlabelled.weight:g}, from soft labels alone (`{unlabelled.soft_labels}`{most})."
    )


def data_failures_text(source: str, evenness: bool) -> str:
    """List weaknesses inherited from the data set `source`. evenness: whether FairFace's groups were measured."""
    known = [DATA_FAILURES[source]] if source in DATA_FAILURES else []
    by_group = (
        "- How the errors differ between people has not been measured, for want of labelled faces; how steady the "
        "labels are is under Evenness."
        if evenness
        else ERRORS_BY_GROUP
    )
    return "\n".join([*known, by_group])


def evenness_text(rows: Sequence[parity.Row]) -> str:
    """Section on FairFace's groups, with a row for all faces and for each group; "" if not measured."""
    if not rows:
        return ""
    single = [row for row in rows if ", " not in row.group]
    return Template(EVENNESS_TEXT).substitute(
        n=f"{rows[0].faces:,}", note=parity.NOTE, table="\n".join(parity.table(single))
    )


def taught_text(teacher: Teacher | None, of_last: bool) -> str:
    """Return a line on the teacher, or "" without one.

    of_last: True if the network is the mean of several runs, and this is the teacher of the last one.
    """
    if teacher is None:
        return ""
    who = f"`{teacher.soft_labels}`" if teacher.soft_labels else ", ".join(f"`{model}`" for model in teacher.models)
    what = "Of each target of the last run" if of_last else "Of each target"
    return (
        f"\n{what}, {teacher.weight:.0%} is what a teacher said of the face ({who}); the figures hold as far as the "
        "teacher, too, learned from the Training split alone."
    )


def calibration_text(calibration: Mapping[str, Any], precision: str) -> str:
    """Return a line that says which images set the int8 ranges of a file.

    calibration: as in a card, empty without one. precision: the file's.
    """
    if calibration:
        return (
            f"The ranges of int8 were measured on {calibration['rows']:,} of its training faces (numbers of their rows "
            f"in `{CARD_FILE}`; SHA-256 of the list `{calibration['sha256'][:16]}...`)."
        )
    if precision == "int8":
        return "It is not known which faces the ranges of int8 were measured on."
    if precision == "dynamic":
        return "Nothing was calibrated: weights are int8, and the range of activations is found while the file runs."
    return "Nothing was calibrated: the activations stay float."


def rare_text(data: Dataset, head: str) -> str:
    """Return a line that names the classes with few Training faces, or "" if there are none."""
    cleaned = clean_training(data)
    if head not in cleaned.labels:
        return ""
    labels = cleaned.labels[head].take(cleaned.split == SPLITS.index("Training"))
    counts = np.bincount(labels.judged[labels.judged >= 0], minlength=len(labels.names))
    rare = [
        f"{name} ({count:,})" for name, count in zip(labels.names, counts, strict=True) if count < RARE * counts.sum()
    ]
    return f"\n- Rare among the training faces, and so is what it knows of them: {', '.join(rare)}." if rare else ""


def failures_text(figure: Figures) -> str:
    """Text on the classes of lowest recall and the most frequent confusions; classes without faces are omitted."""
    faces = dict(zip(figure.labels, figure.confusion.sum(axis=1).tolist(), strict=True))
    weak = sorted((label for label in figure.labels if faces[label]), key=lambda label: figure.recall[label])[:3]
    lines = [f"- Of the {faces[label]:,} faces labelled {label} it finds {figure.recall[label]:.0%}." for label in weak]
    return "\n".join(lines + [f"- {text}" for text in _mistakes(figure)])


def _mistakes(figure: Figures, count: int = 4) -> list[str]:
    matrix, labels = figure.confusion, figure.labels
    rates = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(rates, 0)
    order = np.argsort(rates, axis=None)[::-1][:count]
    pairs = [divmod(int(place), len(labels)) for place in order if rates.flat[place] > 0]
    return [f"{rates[true, said]:.0%} of {labels[true]} is called {labels[said]}." for true, said in pairs]


def losses_text(measured: Measured) -> str:
    """Text on classes whose recall falls by more than LOST_POINTS against the float network, in any interpreter."""
    whole = {(figure.split, figure.head): figure for figure in measured.float_row.figures}
    rows = [row for row in measured.rows[1:] if row.precision == measured.precision and row.faces is None]
    lines = [line for row in rows for figure in row.figures for line in _losses(row, figure, whole)]
    if not lines:
        return f"- No class loses more than {LOST_POINTS} points of recall to the float network."
    return "\n".join(lines)


def _losses(row: Row, figure: Figures, whole: Mapping[tuple[str, str], Figures]) -> list[str]:
    counts = (
        np.diag(whole[figure.split, figure.head].confusion),
        np.diag(figure.confusion),
        figure.confusion.sum(axis=1),
    )
    return [
        f"- Of the {faces:,} faces labelled {label} under {figure.head} on {figure.split} it finds {now:,} in "
        f"{row.runtime}, the float network {before:,}: a loss of {100 * (before - now) / faces:.1f} points."
        for label, before, now, faces in zip(figure.labels, *counts, strict=True)
        if 100 * (before - now) > LOST_POINTS * faces
    ]


def _first_large(text: str) -> str:
    return text[:1].upper() + text[1:]
