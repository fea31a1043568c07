"""A folder a class, perhaps in a folder a split: FER-2013 and RAF-DB as on Kaggle, CK+48, one's own photographs."""

import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from edge.errors import EmotionEdgeError
from edge.labels import LABEL_SETS
from training.datasets.assemble import (
    SUFFIXES,
    Choices,
    Found,
    assemble,
    folders_in,
    image_files,
    log_folders_left_out,
    passed_over,
)
from training.datasets.dataset import SPLITS, Dataset
from training.datasets.names import emotions_of, read_mapping
from training.datasets.splits import split_of

FER_2013: Final[Mapping[str, str]] = dict(zip("0123456", LABEL_SETS["fer7"], strict=True))
"""The numbers of FER-2013's column `emotion`."""

RAF_DB: Final[Mapping[str, str]] = {
    "1": "surprise",
    "2": "fear",
    "3": "disgust",
    "4": "happy",
    "5": "sad",
    "6": "angry",
    "7": "neutral",
}
"""The numbers of RAF-DB's basic emotions, by its readme (Li, Deng and Du, CVPR 2017)."""

NUMBERINGS: Final[Mapping[str, Mapping[str, str]]] = {"fer2013": FER_2013, "raf-db": RAF_DB}
"""What may be given in place of a mapping file."""

_RAF_DB_FILE = re.compile(r"(train|test)_\d+(_aligned)?\.")

# File names that say who it is: CK+ (S005_001_00000011.png) and JAFFE (KA.AN1.39.tiff).
_PERSON = (re.compile(r"(S\d{3})_\d{3}_\d+"), re.compile(r"([A-Z]{2})\.[A-Z]{2}\d?\.\d+"))

_log = logging.getLogger(__name__)


def split_folders(path: Path) -> Mapping[Path, int | None]:
    """The folders that hold class folders, with the split each is: train, val, test and the like, or `path` itself."""
    folders = {folder: split_of(folder.name) for folder in folders_in(path)}
    return {path: None} if not folders or None in folders.values() else folders


def person_of(file: Path) -> str:
    """Who a file name of CK+ or JAFFE says it is, else ""."""
    return next((found[1] for form in _PERSON if (found := form.match(file.name))), "")


def read_folder(path: Path, choices: Choices) -> Dataset:
    """Every image below a folder a class, with the class's emotion; the first label set fits the classes found.

    Class names are read as `training.datasets.names` says; numbers only where the files are named as RAF-DB's, or a
    mapping says what they are. Folders named like splits
    (train, val, test) are splits; what is missing is cut from Training, by person where file names are CK+'s or
    JAFFE's. A class folder without images is left out with a warning; files of kinds that are not read are counted in
    one. Raises EmotionEdgeError where there are no class folders, no images, or a class name means nothing.
    """
    files: list[tuple[str, int | None, Path]] = []
    folders: list[Path] = []
    for folder, split in split_folders(path).items():
        classes = folders_in(folder)
        if not classes:
            raise EmotionEdgeError(f"{folder}: no folder a class in it")
        folders += classes
        for each in classes:
            images = image_files(each)
            if not images:
                _log.warning("%s: no images; the class is left out%s", each, f" of {SPLITS[split]}" if split else "")
            files += [(each.name, split, image) for image in images]
    if others := passed_over(folders):
        read = ", ".join(sorted(SUFFIXES))
        _log.warning("%s: passed over, since they are not read: %s; convert them to one of %s", path, others, read)
    log_folders_left_out(path)
    emotions = _emotions([(name, file) for name, _, file in files], choices, path)
    found = [Found(file, emotions[name], split, person_of(file)) for name, split, file in files]
    return assemble(path.resolve().name, path, found, choices)


def _emotions(files: Iterable[tuple[str, Path]], choices: Choices, path: Path) -> Mapping[str, str | None]:
    """What each class folder means. files: class and file of each image."""
    names, files_are_raf_db = set(), True
    for name, file in files:
        names.add(name)
        files_are_raf_db = files_are_raf_db and bool(_RAF_DB_FILE.match(file.name))
    if choices.mapping and not choices.mapping.exists() and str(choices.mapping) in NUMBERINGS:
        return emotions_of(names, NUMBERINGS[str(choices.mapping)], str(path))
    mapping = read_mapping(choices.mapping)
    if names and not mapping and all(name.isdecimal() for name in names):
        if files_are_raf_db and names <= set(RAF_DB):
            _log.info("%s: classes 1 to 7 are RAF-DB's numbers, as its file names are", path)
            return RAF_DB
        raise EmotionEdgeError(
            f"{path}: what do the classes {', '.join(sorted(names))} stand for? "
            f"{'; '.join(f'--mapping {name}: {_listed(numbers)}' for name, numbers in NUMBERINGS.items())}; or a "
            "file with a line for each (`1: happy`) for numbers of your own"
        )
    return emotions_of(names, mapping, str(path))


def _listed(numbers: Mapping[str, str]) -> str:
    return ", ".join(f"{number} {emotion}" for number, emotion in numbers.items())
