"""Recognises the layout of a data set and selects its reader."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from edge.errors import EmotionEdgeError
from edge.labels import labels_of, set_name
from training.datasets.affectnet import is_affectnet, read_affectnet
from training.datasets.assemble import Choices, folders_in, image_files, passed_over
from training.datasets.ck_plus import IMAGES, LABELS, read_ck_plus
from training.datasets.dataset import Dataset
from training.datasets.fer2013 import FACES_FILE, is_fer2013, read_fer2013
from training.datasets.ferplus import is_ferplus, read_ferplus
from training.datasets.folder import read_folder, split_folders
from training.datasets.jaffe import jaffe_files, read_jaffe
from training.datasets.manifest import MANIFEST_FILE
from training.datasets.names import emotion_of
from training.datasets.npy import npy_pairs, read_npy
from training.datasets.path_csv import image_tables, read_path_csv
from training.datasets.prepared import read_prepared
from training.datasets.raf_db import list_file, read_raf_db
from training.datasets.relabel import relabel
from training.datasets.splits import split_of
from training.datasets.tables import WANTED, header_problem, is_csv, tables_in


def _has_csv(path: Path, fits: Callable[[Path], bool]) -> bool:
    if path.is_dir():
        return bool(tables_in(path, fits))
    return is_csv(path) and fits(path)


def _is_folder(path: Path) -> bool:
    if not path.is_dir():
        return False
    classes = [each for folder in split_folders(path) for each in folders_in(folder)]
    return any(image_files(each) for each in classes)


Format = tuple[str, Callable[[Path], bool], Callable[[Path, Choices], Dataset]]

_FORMATS: Final[Mapping[str, Format]] = {
    "prepared": (
        f"{MANIFEST_FILE} of emotion-train prepare",
        lambda path: (path / MANIFEST_FILE).is_file(),
        lambda path, _: read_prepared(path),
    ),
    "fer2013": (
        f"{FACES_FILE}, or a CSV file with its columns",
        is_fer2013,
        lambda path, choices: read_fer2013(path, choices.votes),
    ),
    "ferplus": ("FER2013Train/label.csv and the like, of FER+'s own script", is_ferplus, read_ferplus),
    "raf-db": ("EmoLabel/list_patition_label.txt", lambda path: list_file(path) is not None, read_raf_db),
    "ck-plus": (
        f"{LABELS}/ and {IMAGES}/",
        lambda path: all((path / it).is_dir() for it in (LABELS, IMAGES)),
        read_ck_plus,
    ),
    "npy": ("X_train.npy with Y_train.npy", lambda path: path.is_dir() and bool(npy_pairs(path)), read_npy),
    "affectnet": ("a CSV file with AffectNet's columns", lambda path: _has_csv(path, is_affectnet), read_affectnet),
    "csv": ("a CSV file with path, and label or valence", lambda path: bool(image_tables(path)), read_path_csv),
    "jaffe": ("images named like KA.AN1.39.tiff", lambda path: path.is_dir() and bool(jaffe_files(path)), read_jaffe),
    "folder": ("folders of images, a class each, perhaps under train/ and test/", _is_folder, read_folder),
}
"""The known layouts, in the order in which they are tried: description, function that recognises a path, reader."""

FORMATS: Final = tuple(_FORMATS)
MAPPED: Final = ("folder", "csv", "npy")
"""Formats for which a mapping of class names may be given; the others have fixed classes."""

_OF_FILES = ("fer2013", "affectnet", "csv")
_LISTED = 12
_log = logging.getLogger(__name__)


def recognise(path: Path) -> tuple[str, Path]:
    """Return the format of a data set (one of FORMATS) and its path, which may be inside a single enclosing folder.

    Raises EmotionEdgeError if no format matches.
    """
    inner: Path | None = path
    while inner is not None:
        lone = _lone_folder(inner)
        for name, (sign, fits, _) in _FORMATS.items():
            if fits(inner) and not (lone and name == "folder"):
                _log.info("%s: read as %s (%s)", inner, name, sign)
                return name, inner
        inner = lone
    tables = [path] if is_csv(path) else tables_in(path, lambda _: True) if path.is_dir() else []
    if len(tables) == 1:
        raise EmotionEdgeError(header_problem(tables[0]))
    if path.is_file():
        raise EmotionEdgeError(f"{path}: no data set: give a folder, or a .csv file whose first line is {WANTED}")
    looked_for = "; ".join(f"{name}: {sign}" for name, (sign, _, _) in _FORMATS.items())
    raise EmotionEdgeError(f"{path}: no data set that is known. Looked for {looked_for}. Found: {_found(path)}")


def read(path: Path, format: str, choices: Choices) -> Dataset:
    """Read a data set of a known format, one of FORMATS."""
    if format != "auto" and format not in _FORMATS:
        raise EmotionEdgeError(f"data set format {format!r}: not known (known: auto, {', '.join(FORMATS)})")
    # Raises for a mistyped label set before the data set is read, which may take minutes.
    names = labels_of(choices.label_set) if choices.label_set else ()
    if not path.exists():
        raise EmotionEdgeError(f"{path}: not there; give the folder or file of a data set")
    name, path = recognise(path) if format == "auto" else (format, path)
    if path.is_file() and name not in _OF_FILES:
        raise EmotionEdgeError(f"{path}: a file, but {name} is a folder ({_FORMATS[name][0]})")
    if choices.mapping is not None and name not in MAPPED:
        raise EmotionEdgeError(f"{choices.mapping}: {path} is {name}, whose classes are known; leave the mapping out")
    data = _FORMATS[name][2](path, choices)
    return relabel(data, set_name(names)) if names else data


def _lone_folder(path: Path) -> Path | None:
    """Return the only subfolder of a folder, if it is named after neither a split nor an emotion, else None."""
    folders = folders_in(path) if path.is_dir() else []
    if len(folders) != 1 or split_of(folders[0].name) is not None or emotion_of(folders[0].name):
        return None
    return folders[0]


def _found(path: Path) -> str:
    if path.is_file():
        return "one file"
    names = sorted(it.name + "/" * it.is_dir() for it in path.iterdir())
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    others = passed_over(folders_in(path))
    kinds = f"; in its folders {others}, which are not read" if others else ""
    return (", ".join(names[:_LISTED]) or "an empty folder") + more + kinds
