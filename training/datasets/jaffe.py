"""JAFFE: images whose file names hold the person and the emotion, such as `KA.AN1.39.tiff`."""

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
    """Images directly in a folder whose names follow the pattern of JAFFE."""
    return sorted(file for file in path.iterdir() if _NAME.match(file.name) and file.suffix.lower() in SUFFIXES)


def read_jaffe(path: Path, choices: Choices) -> Dataset:
    """Read the images with JAFFE file names, which give the person and the emotion; splits are cut by person.

    Raises EmotionEdgeError if there is no such image.
    """
    found = []
    for file in jaffe_files(path):
        if name := _NAME.match(file.name):
            found.append(Found(file, _EMOTIONS[name[2].upper()], person=name[1].upper()))
    if not found:
        raise EmotionEdgeError(f"{path}: no image is named like KA.AN1.39.tiff")
    return assemble("JAFFE", path, found, choices)
