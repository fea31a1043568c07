"""AffectNet, manually annotated: `training.csv` and `validation.csv` beside `Manually_Annotated_Images/`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from edge.errors import EmotionEdgeError
from training.datasets.assemble import Choices, Found, assemble
from training.datasets.dataset import Dataset
from training.datasets.path_csv import affect_of, image_root
from training.datasets.splits import split_of
from training.datasets.tables import header_of, rows, tables_in

FILE_COLUMN: Final = "subDirectory_filePath"
_BOX: Final = ("face_x", "face_y", "face_width", "face_height")
_COLUMNS: Final = (FILE_COLUMN, *_BOX, "expression", "valence", "arousal")
# Index: value of the column `expression` (Mollahosseini, Hasani and Mahoor 2017). None: `none`, `no face` or another
# value that is no class of the label set; `no face` rows are omitted anyway.
_EMOTIONS: Final = (
    "neutral",
    "happy",
    "sad",
    "surprise",
    "fear",
    "disgust",
    "angry",
    "contempt",
    None,
    "uncertain",
    None,
)
_NO_FACE: Final = 10
_IMAGE_FOLDERS: Final = (".", "Manually_Annotated_Images", "../Manually_Annotated_Images")


def is_affectnet(file: Path) -> bool:
    """Whether a CSV file has AffectNet's columns."""
    return FILE_COLUMN in header_of(file)


def read_affectnet(path: Path, choices: Choices) -> Dataset:
    """Read the faces of AffectNet with their boxes, emotions, and measured valence and arousal (-2: unknown).

    The label set is ferplus8 unless another is chosen. Faces labelled `none` or `uncertain` are kept, without a label,
    if valence and arousal are known; rows labelled `no face` are omitted.

    Args:
        path: One CSV file, or a folder with training.csv and validation.csv, whose names give the split.
        choices: Options of the reader.

    Raises:
        EmotionEdgeError: A value is invalid (with its line).
    """
    files = [path] if path.is_file() else tables_in(path, is_affectnet)
    found: list[Found] = []
    for file in files:
        found += _read(file, split_of(file.stem) if len(files) > 1 else None)
    if choices.label_set is None:
        choices = Choices("ferplus8", choices.mapping, choices.votes, choices.seed)
    return assemble("AffectNet", path, found, choices)


def _read(file: Path, split: int | None) -> list[Found]:
    lines = list(rows(file, _COLUMNS))
    root = image_root(file, [fields[0] for _, fields in lines], _IMAGE_FOLDERS)
    found = []
    for line, (name, x, y, width, height, expression, valence, arousal) in lines:
        if not expression.isdecimal() or int(expression) >= len(_EMOTIONS):
            raise EmotionEdgeError(f"{file}, line {line}: expression {expression!r} is no number from 0 to 10")
        if int(expression) == _NO_FACE:
            continue
        box = _box(file, line, (x, y, width, height))
        affect = affect_of(file, line, valence, arousal)
        found.append(Found(root / name, _EMOTIONS[int(expression)], split, affect=affect, box=box))
    return found


def _box(file: Path, line: int, fields: Sequence[str]) -> tuple[int, int, int, int]:
    try:
        x, y, width, height = (round(float(field)) for field in fields)
    except (ValueError, OverflowError):
        raise EmotionEdgeError(f"{file}, line {line}: a face box is no number ({', '.join(fields)})") from None
    if width <= 0 or height <= 0:
        raise EmotionEdgeError(f"{file}, line {line}: a face box of {width} x {height} pixels")
    return x, y, width, height
