"""RAF-DB, basic emotions, as its makers hand it out: `EmoLabel/list_patition_label.txt` and `Image/aligned/`."""

from pathlib import Path
from typing import Final

from edge.errors import EmotionEdgeError
from training.datasets.assemble import Choices, Found, assemble
from training.datasets.dataset import Dataset
from training.datasets.folder import RAF_DB
from training.datasets.splits import split_of

# Spelt so.
LIST_FILE: Final = "list_patition_label.txt"
_PLACES = (".", "EmoLabel", "basic/EmoLabel")


def list_file(path: Path) -> Path | None:
    """The list of labels in a folder of RAF-DB, or None."""
    return next((file for place in _PLACES if (file := path / place / LIST_FILE).is_file()), None)


def read_raf_db(path: Path, choices: Choices) -> Dataset:
    """The faces that the list names: aligned ones (`train_00001_aligned.jpg`) where they are, else the originals.

    Splits are those of the file names, train and test; PublicTest is cut from train. Raises EmotionEdgeError, with the
    line, for a list that is not RAF-DB's, and where the folder of images is not found.
    """
    names = list_file(path)
    if names is None:
        raise EmotionEdgeError(f"{path}: no {LIST_FILE} in it, in EmoLabel/ or in basic/EmoLabel/")
    images, ending = _images(names.parent)
    found = []
    for line, text in enumerate(names.read_text(encoding="utf-8").splitlines(), 1):
        words = text.split()
        if not words:
            continue
        split = split_of(words[0].partition("_")[0])
        if len(words) != 2 or words[1] not in RAF_DB or split is None:
            raise EmotionEdgeError(
                f"{names}, line {line}: {text!r} is not like `train_00001.jpg 5`, a label from 1 to 7"
            )
        file = images / words[0]
        found.append(Found(file.with_name(f"{file.stem}{ending}{file.suffix}"), RAF_DB[words[1]], split))
    return assemble("RAF-DB", path, found, choices)


def _images(labels: Path) -> tuple[Path, str]:
    """The folder of images near the list, and what its file names have before the dot."""
    for root in (labels.parent, labels):
        for folder in (root / "Image", root):
            for name, ending in (("aligned", "_aligned"), ("original", "")):
                if (folder / name).is_dir():
                    return folder / name, ending
    raise EmotionEdgeError(f"{labels.parent}: no folder Image/aligned or Image/original beside {LIST_FILE}'s")
