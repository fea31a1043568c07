"""`manifest.csv`: what `prepare` decided about each face of a data set, one line per face, including omitted ones.

A prepared folder holds `manifest.csv`, `prepared.json` and the kept images as PNG under `images/`. It is complete if
`prepared.json` exists, which is written last.

Columns, in this order (UTF-8, comma, a header line; an empty field is "not known" or "does not apply"):

file path of the image in the prepared folder, with `/`; empty if the face was left out
name          the face in its source: the file's path, or `<data set> row <n>`
row           `Dataset.rows`: where in the source it is, from 0
split         one of SPLITS; of a kept image the one it has now, of one left out the one it came with
kept          yes or no
reason        why it was left out, one of REASONS; empty where kept
detail        text: what was measured, or what it conflicts with; may be empty
duplicate_of  for a duplicate, the `name` of the image that was kept in its place, or with which its label conflicts
label_issue   yes if its label is likely wrong, no if it was checked and is not, empty if it was not checked
person        `Dataset.people`, a whole number from 0; empty where unknown
valence       -1 to 1, as is arousal; whether measured or derived from the labels is in `prepared.json`
arousal
label_SET     for each label set: the class a network is judged by (`Labels.judged`), by name; empty for none (-1)
p_SET_CLASS   `Labels.probabilities`, in logit order; only for label sets where they are not just `label_SET` one-hot.
              A row of zeros: no label under this label set. Values are written so that they parse to the same float32.

`prepared.json` holds: `name` (of the data set), `label_sets` (name of the set to its class names in logit order, the
primary one first), `affect` (`measured`, `derived` or `none`), `faces` (`crop` or `full`), `settings` and
`summary` (how many were kept and left out, by reason and split).
"""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from training.datasets.dataset import SPLITS, Dataset, Labels, one_hot

MANIFEST_FILE: Final = "manifest.csv"
FACTS_FILE: Final = "prepared.json"
IMAGES_FOLDER: Final = "images"

UNREADABLE: Final = "unreadable"
BLANK: Final = "blank"
NO_FACE: Final = "no face"
EXACT_DUPLICATE: Final = "exact duplicate"
CONFLICTING_LABELS: Final = "conflicting labels"
NEAR_DUPLICATE: Final = "near duplicate"
OUTLIER: Final = "outlier"
LABEL_ISSUE: Final = "label issue"
REASONS: Final = (
    UNREADABLE,
    BLANK,
    NO_FACE,
    EXACT_DUPLICATE,
    CONFLICTING_LABELS,
    NEAR_DUPLICATE,
    OUTLIER,
    LABEL_ISSUE,
)
"""Reasons for leaving out an image, in the order in which they are checked; the first that applies is recorded."""

COLUMNS: Final = (
    "file",
    "name",
    "row",
    "split",
    "kept",
    "reason",
    "detail",
    "duplicate_of",
    "label_issue",
    "person",
    "valence",
    "arousal",
)
"""Names of the columns that every manifest has; the columns of labels follow them."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Decisions of `prepare` on n faces.

    reason: why the face was omitted, one of REASONS, or "" if kept. detail: explanation. duplicate_of: index of the
    face it duplicates, or -1. label_issue: 1 likely wrong, 0 not, -1 not checked. split: int64 [n], index into SPLITS.
    """

    reason: Sequence[str]
    detail: Sequence[str]
    duplicate_of: npt.NDArray[np.int64]
    label_issue: npt.NDArray[np.int64]
    split: npt.NDArray[np.int64]


def label_column(label_set: str) -> str:
    """Name of the column that holds the class name under a label set."""
    return f"label_{label_set}"


def probability_columns(label_set: str, classes: Sequence[str]) -> list[str]:
    """Names of the columns that hold the class probabilities, in logit order."""
    return [f"p_{label_set}_{name}" for name in classes]


def is_distribution(labels: Labels) -> bool:
    """True unless the probabilities are merely the one-hot form of the evaluated classes."""
    return not np.array_equal(labels.probabilities, one_hot(labels.names, labels.judged).probabilities)


def main_labels(data: Dataset) -> Labels | None:
    """Labels under the primary (first) label set of a data set."""
    return next(iter(data.labels.values()), None)


def names_of(data: Dataset) -> list[str]:
    """The names by which a manifest identifies its faces."""
    if isinstance(data.images, tuple):
        return [path.as_posix() for path in data.images]
    return [f"{data.name} row {row}" for row in data.rows]


def write_manifest(folder: Path, data: Dataset, verdict: Verdict, files: Sequence[str]) -> None:
    """Write `manifest.csv`. files: file of each face relative to the folder, or "" if it was omitted."""
    distributions = [name for name, labels in data.labels.items() if is_distribution(labels)]
    header = list(COLUMNS)
    for name, labels in data.labels.items():
        header += [label_column(name), *(probability_columns(name, labels.names) if name in distributions else ())]
    names = names_of(data)
    with (folder / MANIFEST_FILE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for i in range(len(data)):
            line = [
                files[i],
                names[i],
                data.rows[i],
                SPLITS[verdict.split[i]],
                "no" if verdict.reason[i] else "yes",
                verdict.reason[i],
                verdict.detail[i],
                names[verdict.duplicate_of[i]] if verdict.duplicate_of[i] >= 0 else "",
                {1: "yes", 0: "no"}.get(int(verdict.label_issue[i]), ""),
                "" if data.people is None or data.people[i] < 0 else data.people[i],
                *(("", "") if data.affect is None else (_figure(value) for value in data.affect[i])),
            ]
            for name, labels in data.labels.items():
                line.append(labels.names[labels.judged[i]] if labels.judged[i] >= 0 else "")
                if name in distributions:
                    line += [_figure(value) for value in labels.probabilities[i]]
            writer.writerow(line)


def _figure(value: np.float32) -> str:
    """Shortest decimal text that parses to the same float32; empty for NaN."""
    return "" if np.isnan(value) else np.format_float_positional(value, trim="-")


def write_facts(folder: Path, data: Dataset, faces: str, settings: Mapping[str, Any], summary: Any) -> None:
    """Write `prepared.json`. summary: any JSON-serialisable data."""
    facts = {
        "name": data.name,
        "label_sets": {name: list(labels.names) for name, labels in data.labels.items()},
        "affect": "none" if data.affect is None else "derived" if data.affect_derived else "measured",
        "faces": faces,
        "settings": dict(settings),
        "summary": summary,
    }
    (folder / FACTS_FILE).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
