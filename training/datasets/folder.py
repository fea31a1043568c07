"""Images in one folder per class, optionally inside one folder per split: FER-2013 and RAF-DB on Kaggle, CK+48."""

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
from training.datasets.names import emotion_of, emotions_of, read_mapping
from training.datasets.splits import split_of

FER_2013: Final[Mapping[str, str]] = dict(zip("0123456", LABEL_SETS["fer7"], strict=True))
"""Emotion of each number in FER-2013's column `emotion`."""

RAF_DB: Final[Mapping[str, str]] = {
    "1": "surprise",
    "2": "fear",
    "3": "disgust",
    "4": "happy",
    "5": "sad",
    "6": "angry",
    "7": "neutral",
}
"""Emotion of each class number of RAF-DB, by its readme (Li, Deng and Du, CVPR 2017)."""

NUMBERINGS: Final[Mapping[str, Mapping[str, str]]] = {"fer2013": FER_2013, "raf-db": RAF_DB}
"""Known meanings of class numbers, by the name that is given in place of a mapping file."""

_RAF_DB_FILE = re.compile(r"(train|test)_\d+(_aligned)?\.")

# File names that identify the person: CK+ (S005_001_00000011.png) and JAFFE (KA.AN1.39.tiff).
_PERSON = (re.compile(r"(S\d{3})_\d{3}_\d+"), re.compile(r"([A-Z]{2})\.[A-Z]{2}\d?\.\d+"))

_log = logging.getLogger(__name__)


def split_folders(path: Path) -> Mapping[Path, int | None]:
    """Find the folders that contain class folders (train, val, test etc., or `path` itself), with the split of each.

    If there are split folders, other folders beside them are ignored, as are splits without class folders; but if one
    of the others is named after an emotion, all are taken as class folders of `path`.
    """
    folders = {folder: split_of(folder.name) for folder in folders_in(path)}
    splits = {folder: split for folder, split in folders.items() if split is not None}
    with_classes = {folder: split for folder, split in splits.items() if folders_in(folder)}
    if not splits or any(emotion_of(folder.name) for folder in folders):
        return {path: None}
    if not with_classes and len(splits) < len(folders):
        return {path: None}
    return with_classes or splits


def person_of(file: Path) -> str:
    """Return the person identifier in a file name of CK+ or JAFFE, else ""."""
    return next((found[1] for form in _PERSON if (found := form.match(file.name))), "")


def read_folder(path: Path, choices: Choices) -> Dataset:
    """Read all images below one folder per class; the primary label set is chosen to fit the classes found.

    Class names are mapped by `training.datasets.names`. Class folders with numeric names are accepted only if the files
    are named as in RAF-DB, or a mapping gives their meaning. Folders named like splits (train, val, test) are splits;
    missing splits are cut from Training, by person if the file names are those of CK+ or JAFFE. Empty class folders,
    and the number of ignored files, are logged as warnings.

    Raises:
        EmotionEdgeError: There are no class folders or no images, or a class name has no emotion.
    """
    splits = split_folders(path)
    if path not in splits and (beside := [folder.name for folder in folders_in(path) if folder not in splits]):
        _log.warning("%s: folders that are no split or have no classes are left out: %s", path, ", ".join(beside))
    files: list[tuple[str, int | None, Path]] = []
    folders: list[Path] = []
    for folder, split in splits.items():
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
    """Return the emotion of each class folder. files: class name and path of each image."""
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
    return emotions_of(names, mapping, str(path), choices.own_class)


def _listed(numbers: Mapping[str, str]) -> str:
    return ", ".join(f"{number} {emotion}" for number, emotion in numbers.items())
