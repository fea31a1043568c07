"""The words of CARD.md; `$name` and its like are filled in by `quantize.card`."""

from collections.abc import Mapping
from string import Template
from typing import Final

from training.evaluate import Figures

DATA_TEXT: Final[Mapping[str, str]] = {
    "FER-2013": """\
Trained on FER-2013's Training split (28,709 faces) without those that PublicTest or PrivateTest hold too, pixel for
pixel, and without blank ones: 28,006 faces. FER-2013's labels and the FER+ votes are learned together. The epoch and
the temperatures were chosen on PublicTest, so its figures flatter; PrivateTest chose nothing.""",
}
"""By the data set's name."""

OTHER_DATA_TEXT: Final = Template(
    """\
Trained on the Training split of $name, without those of its faces that PublicTest or PrivateTest hold too, pixel for
pixel, and without blank ones. The epoch and the temperatures were chosen on PublicTest, so its figures flatter;
PrivateTest chose nothing."""
)
"""Of any other data set."""

DATA_FAILURES: Final[Mapping[str, str]] = {
    "FER-2013": """\
- FER-2013's labels are noisy: the majority of FER+'s ten voters agrees with them on less than two thirds of the
  faces. A part of what counts as an error here is none.
- Contempt and disgust are rare in the data, and so is what the network knows of them.
- The faces were found with an image search on the web, so many are posed, and the files do not say age, skin tone, sex
  or origin. How the errors differ between such groups has not been measured here; expect that they do.""",
}
"""What a network has from its data, by the name of the data set or of the one it was prepared from."""

OTHER_DATA_FAILURES: Final = """\
- How the errors differ between people by age, skin tone, sex or origin has not been measured here; expect that they do,
  and more so for people like whom few are in the data."""
"""Of any other data set."""

USE_TEXT: Final = """\
## What for
Expressions of faces that look roughly at the camera, about 48 pixels or more wide, on the device itself:
art, play, research, prototypes, a signal for home automation that may be wrong.

## What not for
It names the expression that people would see in a picture. It does not know what anybody feels, and
an expression is weak evidence of it. Do not decide about people with it: not on work, school, credit, insurance,
care, health, guilt or truthfulness, nor on anything else that matters to them. Do not use it on people who have not
agreed.

In the European Union, Regulation (EU) 2024/1689 (the AI Act), in plain words: inferring emotions of people at work or
in schools from their faces is forbidden, but for medical or safety reasons (Article 5(1)(f)); elsewhere such a system
counts as high-risk (Annex III, point 1(c)) with the duties that brings, and the people who are exposed to it must be
told (Article 50(3)). This is a pointer, not legal advice."""
"""What a released model is for, and what not."""

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

$protocols
- A figure on one label set and one on another cannot be compared.
- Expected calibration error of $primary on $split: $before, and $after with logits divided by the temperature
  ($temperatures).

$classes

## Known failures
$failures
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

Networks that vote on each face: $members. The most votes win; where labels have equally many, $leader decides between
them.$mirror

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

int8; $views. What was chosen was chosen on PublicTest.

$protocols
- A figure on one label set and one on another cannot be compared.
$gains

$classes

Known failures, data and licence: as of its members, in their own cards.
"""
)


def class_table(figure: Figures, how: str) -> str:
    """Recall and confusion of one head on one split, in Markdown. how: what was measured, in a word."""
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
        lines.append(f"| {label} | {figure.recall[label]:.1%} | " + " | ".join(str(count) for count in row) + " |")
    return "\n".join(lines)
