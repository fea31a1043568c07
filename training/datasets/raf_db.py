"""RAF-DB, basic emotions, in its original layout: `EmoLabel/list_patition_label.txt` and `Image/aligned/`."""

from pathlib import Path
from typing import Final

from edge.errors import EmotionEdgeError
from training.datasets.assemble import Choices, Found, assemble
from training.datasets.dataset import Dataset
from training.datasets.folder import RAF_DB
from training.datasets.splits import split_of

# "patition" is the spelling of the original file.
LIST_FILE: Final = "list_patition_label.txt"
_PLACES = (".", "EmoLabel", "basic/EmoLabel")


def list_file(path: Path) -> Path | None:
    """Return the path of the label list in a folder of RAF-DB, or None."""
    return next((file for place in _PLACES if (file := path / place / LIST_FILE).is_file()), None)


def read_raf_db(path: Path, choices: Choices) -> Dataset:
    """Read the faces in the label list: aligned images (`train_00001_aligned.jpg`) if present, else the originals.

    The file names give the splits train and test; PublicTest is cut from train. Raises EmotionEdgeError if a line of
    the list is invalid (with its number), or the image folder is missing.
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
    """Return the image folder next to the list, and how its file names end before the extension (`_aligned` or "")."""
    for root in (labels.parent, labels):
        for folder in (root / "Image", root):
            for name, ending in (("aligned", "_aligned"), ("original", "")):
                if (folder / name).is_dir():
                    return folder / name, ending
    raise EmotionEdgeError(f"{labels.parent}: no folder Image/aligned or Image/original beside {LIST_FILE}'s")
