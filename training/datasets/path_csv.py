"""CSV file with one image per line: `path`, and `label` or affect columns; optionally `split` and `person`.

Other names of these columns, such as `image_path,emotion`, are accepted too (PATH_COLUMNS, LABEL_COLUMNS).
"""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from edge.errors import EmotionEdgeError
from edge.labels import labels_of
from training.datasets.assemble import Choices, Found, assemble, folders_in
from training.datasets.dataset import Dataset
from training.datasets.names import emotions_of, read_mapping
from training.datasets.splits import split_of
from training.datasets.tables import header_of, is_csv, rows, tables_in

PATH_COLUMNS: Final = (
    "path", "image_path", "image", "file", "filename", "file_name", "image_name", "filepath", "file_path", "img"
)  # fmt: skip
"""Accepted names of the column of image files; the first that is in a file is used."""
LABEL_COLUMNS: Final = ("label", "emotion", "class", "expression", "target")
"""Accepted names of the column of class names; the first that is in a file is used."""
OTHER_COLUMNS: Final = ("valence", "arousal", "split", "person")
_LOOKED_AT: Final = 100
_UNKNOWN: Final = -2.0
_log = logging.getLogger(__name__)


def column_of(header: Sequence[str], names: Sequence[str]) -> str | None:
    """Return the first of `names` that is in a header, as the header spells it, or None."""
    found = {name.casefold(): name for name in reversed(header)}
    return next((found[name] for name in names if name in found), None)


def is_path_csv(file: Path) -> bool:
    """True for a CSV file with a column of image files and a label or affect column."""
    header = header_of(file)
    return column_of(header, PATH_COLUMNS) is not None and column_of(header, (*LABEL_COLUMNS, "valence")) is not None


def is_submission(file: Path) -> bool:
    """Return True if the file is named like a competition's sample submission, whose labels are invented."""
    return "submission" in file.stem.casefold()


def image_tables(path: Path) -> list[Path]:
    """List the CSV files with this layout: `path` itself, or those in a folder, without sample submissions.

    In a folder, a file whose column is not called `path` is listed only if its first image exists, because other
    layouts have similar tables.
    """
    if path.is_file():
        return [path] if is_csv(path) and is_path_csv(path) else []
    found = [file for file in tables_in(path, is_path_csv) if not is_submission(file)] if path.is_dir() else []
    return [file for file in found if column_of(header_of(file), PATH_COLUMNS[:1]) or _first_image_is_there(file)]


def _first_image_is_there(file: Path) -> bool:
    column = column_of(header_of(file), PATH_COLUMNS)
    first = next((fields[0] for _, fields in rows(file, [column or PATH_COLUMNS[0]])), None)
    return first is not None and any((root / first).is_file() for root in (file.parent, *folders_in(file.parent)))


def read_path_csv(path: Path, choices: Choices) -> Dataset:
    """Read a data set from a CSV file with one image per line.

    Columns: `path` is absolute, or relative to the CSV file's folder or a folder in it. `label` is a class name, or a
    number that indexes `choices.label_set` from 0 unless a mapping defines it; empty if unknown. `valence` and
    `arousal` are -1 to 1, empty or -2 if unknown, and count as measured. `split` is train, val or test. `person` is any
    identifier.

    Args:
        path: The CSV file, or a folder that contains exactly one such file, besides a competition's example of a
            submission.
        choices: Options of the reader.

    Raises:
        EmotionEdgeError: A value is invalid (with its line).
    """
    file = path if path.is_file() else _only(path)
    if not is_path_csv(file):
        raise EmotionEdgeError(
            f"{file}: no column path with label, or with valence and arousal (found: {', '.join(header_of(file))})"
        )
    header = header_of(file)
    images, labels = column_of(header, PATH_COLUMNS), column_of(header, LABEL_COLUMNS)
    lines = list(rows(file, [images or PATH_COLUMNS[0]], [labels or LABEL_COLUMNS[0], *OTHER_COLUMNS]))
    beside = [folder.name for folder in folders_in(file.parent)]
    root = image_root(file, [fields[0] for _, fields in lines], (".", *beside))
    emotions = _emotions(file, {fields[1]: line for line, fields in reversed(lines) if fields[1]}, choices)
    found = []
    for line, (name, label, valence, arousal, split, person) in lines:
        affect = affect_of(file, line, valence, arousal)
        found.append(Found(root / name, emotions.get(label), _split(file, line, split), person, affect))
    if len({it.split is None for it in found}) > 1:
        line = next(line for (line, _), it in zip(lines, found, strict=True) if it.split is None)
        raise EmotionEdgeError(f"{file}, line {line}: no split, where others have one; give it for all, or for none")
    return assemble(file.stem, file, found, choices)


def affect_of(file: Path, line: int, valence: str, arousal: str) -> tuple[float, float] | None:
    """Parse valence and arousal; None if either is empty or -2. Raises EmotionEdgeError outside -1 to 1."""
    if not valence or not arousal:
        return None
    try:
        both = float(valence), float(arousal)
    except ValueError:
        both = math.nan, math.nan
    if _UNKNOWN in both:
        return None
    if not all(-1 <= value <= 1 for value in both):
        raise EmotionEdgeError(
            f"{file}, line {line}: valence {valence}, arousal {arousal}: not from -1 to 1 (-2 or empty: unknown)"
        )
    return both


def image_root(file: Path, names: Sequence[str], folders: Sequence[str]) -> Path:
    """Return the candidate folder, relative to the CSV file, that contains most of the first images.

    Raises EmotionEdgeError if no candidate contains any, or the file has no lines.
    """
    first = names[:_LOOKED_AT]
    if not first:
        raise EmotionEdgeError(f"{file}: no rows after the header")
    roots = [file.parent / folder for folder in folders]
    counts = [sum((root / name).is_file() for name in first) for root in roots]
    if not max(counts):
        looked = ", ".join(map(str, roots))
        raise EmotionEdgeError(
            f"{file}: none of its images is there: {first[0]} and others (looked in {looked}); paths are relative to "
            "the folder of the file"
        )
    return roots[counts.index(max(counts))]


def _only(path: Path) -> Path:
    files = image_tables(path)
    examples = [file.name for file in tables_in(path, is_path_csv) if is_submission(file)]
    if examples and files:
        _log.info("%s: left out as an example of a submission: %s", path, ", ".join(examples))
    if len(files) != 1:
        names = ", ".join(file.name for file in files) or "none"
        raise EmotionEdgeError(f"{path}: not one CSV file with path and label, but {names}; name the one to read")
    return files[0]


def _emotions(file: Path, labels: Mapping[str, int], choices: Choices) -> Mapping[str, str | None]:
    """Return the emotion of each label. labels: the number of the first line with each label."""
    mapping = read_mapping(choices.mapping)
    numbers = {label: line for label, line in labels.items() if label.lstrip("+-").isdecimal() and label not in mapping}
    if numbers and choices.label_set is None:
        label, line = min(numbers.items(), key=lambda it: it[1])
        raise EmotionEdgeError(
            f"{file}, line {line}: label {label} is a number: say what it counts, by --label-set (fer7: 0 is angry) or "
            "a --mapping file of lines like `0: happy`"
        )
    emotions = dict(
        emotions_of([label for label in labels if label not in numbers], mapping, str(file), choices.own_class)
    )
    for label, line in numbers.items():
        names = labels_of(choices.label_set or "")
        if not 0 <= int(label) < len(names):
            raise EmotionEdgeError(
                f"{file}, line {line}: label {label} is out of range: {choices.label_set} has 0 to {len(names) - 1}"
            )
        emotions[label] = names[int(label)]
    return emotions


def _split(file: Path, line: int, word: str) -> int | None:
    if not word:
        return None
    split = split_of(word)
    if split is None:
        raise EmotionEdgeError(f"{file}, line {line}: split {word!r} is none of train, val, test")
    return split
