"""Reader of the folder that `emotion-train prepare` writes: the kept images and `manifest.csv`."""

import json
from pathlib import Path

import numpy as np

from edge.errors import EmotionEdgeError
from training.datasets.dataset import PREPARED, SPLITS, Dataset, Labels, one_hot, source_of
from training.datasets.manifest import FACTS_FILE, MANIFEST_FILE, label_column, probability_columns
from training.datasets.tables import header_of, rows

_COLUMNS = ("file", "row", "split", "person", "valence", "arousal")


def read_prepared(path: Path) -> Dataset:
    """Read the kept faces of a prepared folder, in the order of the manifest, with labels, splits, people and affect.

    The data set has the name of the original with the suffix PREPARED. Raises EmotionEdgeError for a folder that
    `prepare` did not finish, and for an invalid value (with its line).
    """
    manifest, facts = path / MANIFEST_FILE, path / FACTS_FILE
    if not manifest.is_file() or not facts.is_file():
        raise EmotionEdgeError(f"{path}: no {MANIFEST_FILE} with {FACTS_FILE}; let emotion-train prepare finish first")
    try:
        said = json.loads(facts.read_text(encoding="utf-8"))
        name, affect_kind = source_of(str(said["name"])) + PREPARED, str(said["affect"])
        sets = {str(label_set): tuple(map(str, classes)) for label_set, classes in said["label_sets"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EmotionEdgeError(f"{facts}: not as emotion-train prepare writes it ({error!r})") from None
    kept = [(line, fields) for line, (keeps, *fields) in rows(manifest, ("kept", *_COLUMNS)) if keeps == "yes"]
    if not kept:
        raise EmotionEdgeError(f"{manifest}: no image was kept")
    lines = [line for line, _ in kept]
    files, row, split, person, valence, arousal = zip(*(fields for _, fields in kept), strict=True)
    for line, word in zip(lines, split, strict=True):
        if word not in SPLITS:
            raise EmotionEdgeError(f"{manifest}, line {line}: split {word!r} is none of {', '.join(SPLITS)}")
    affect = None
    if affect_kind != "none":
        affect = np.column_stack([_numbers(manifest, lines, column, "nan") for column in (valence, arousal)])
    people = _numbers(manifest, lines, person, "-1").astype(np.int64)
    return Dataset(
        name,
        tuple(path / file for file in files),
        {label_set: _labels(manifest, label_set, names) for label_set, names in sets.items()},
        None if affect is None else affect.astype(np.float32),
        affect_kind == "derived",
        np.array([SPLITS.index(word) for word in split], np.int64),
        _numbers(manifest, lines, row, "-1").astype(np.int64),
        people if (people >= 0).any() else None,
    )


def _labels(manifest: Path, label_set: str, names: tuple[str, ...]) -> Labels:
    """Read the labels of the kept faces under one label set."""
    columns = [it for it in probability_columns(label_set, names) if it in header_of(manifest)]
    judged, probabilities, lines = [], [], []
    for line, (keeps, label, *values) in rows(manifest, ("kept", label_column(label_set), *columns)):
        if keeps != "yes":
            continue
        if label and label not in names:
            raise EmotionEdgeError(f"{manifest}, line {line}: label {label!r} is none of {', '.join(names)}")
        judged.append(names.index(label) if label else -1)
        probabilities.append(values)
        lines.append(line)
    classes = np.array(judged, np.int64)
    if not columns:
        return one_hot(names, classes)
    if len(columns) < len(names):
        raise EmotionEdgeError(f"{manifest}: {len(columns)} columns of probabilities for {label_set}, not {len(names)}")
    shares = [_numbers(manifest, lines, column, "nan") for column in zip(*probabilities, strict=True)]
    return Labels(names, np.column_stack(shares).astype(np.float32), classes)


def _numbers(
    manifest: Path, lines: list[int], texts: tuple[str, ...], empty: str
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Parse a column of numbers as float64 [n]; `empty` replaces empty fields."""
    values = []
    for line, text in zip(lines, texts, strict=True):
        try:
            values.append(float(text or empty))
        except ValueError:
            raise EmotionEdgeError(f"{manifest}, line {line}: {text!r} is no number") from None
    return np.array(values, np.float64)
