"""JAFFE: files whose names say who shows what, `KA.AN1.39.tiff`."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from edge.errors import EmotionEdgeError
from training.datasets.assemble import SUFFIXES, Choices, Found, assemble
from training.datasets.dataset import Dataset

_EMOTIONS: Final[Mapping[str, str]] = {
    "AN": "angry",
    "DI": "disgust",
    "FE": "fear",
    "HA": "happy",
    "NE": "neutral",
    "SA": "sad",
    "SU": "surprise",
}
_NAME = re.compile(rf"([A-Z]{{2}})\.({'|'.join(_EMOTIONS)})\d?\.\d+\.", re.IGNORECASE)


def jaffe_files(path: Path) -> list[Path]:
    """The images right in a folder that are named as JAFFE's are."""
    return sorted(file for file in path.iterdir() if _NAME.match(file.name) and file.suffix.lower() in SUFFIXES)


def read_jaffe(path: Path, choices: Choices) -> Dataset:
    """Every image named as JAFFE's are, with the person and the emotion its name says; splits are cut by person.

    Raises EmotionEdgeError where there is none.
    """
    found = []
    for file in jaffe_files(path):
        if name := _NAME.match(file.name):
            found.append(Found(file, _EMOTIONS[name[2].upper()], person=name[1].upper()))
    if not found:
        raise EmotionEdgeError(f"{path}: no image is named like KA.AN1.39.tiff")
    return assemble("JAFFE", path, found, choices)
