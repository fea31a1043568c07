"""The images whose activations set the ranges of int8: rows of the training split alone, pinned by their numbers."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError
from training.datasets.dataset import SPLITS, Dataset, clean_training

SAMPLES = 500


@dataclass(frozen=True, slots=True)
class Calibration:
    """data_set: its name. rows: int64 [n], where in the data set's source each image is, from 0, in the order they are
    used. images: uint8 [n, h, w] or [n, h, w, 3]."""

    data_set: str
    rows: npt.NDArray[np.int64]
    images: npt.NDArray[np.uint8]

    @property
    def sha256(self) -> str:
        """Of the row numbers as text, one a line: what `write_rows` writes."""
        return hashlib.sha256(_text(self.rows).encode()).hexdigest()


def calibration_set(data: Dataset, samples: int = SAMPLES, seed: int = 0) -> Calibration:
    """At most `samples` images drawn from Training by chance, without those that a test split holds too.

    The first uses the whole range of 0 to 255, so that the input's scale comes out as exactly 1/255. Raises
    EmotionEdgeError where no image does.
    """
    training = clean_training(data).part("Training")
    whole = np.flatnonzero(_whole_range(training.pixels))
    if not whole.size:
        raise EmotionEdgeError("calibration: no training image has both a black and a white pixel")
    drawn = np.random.default_rng(seed).permutation(len(training))
    chosen = training.take(np.concatenate([whole[:1], drawn[drawn != whole[0]][: samples - 1]]))
    return Calibration(data.name, chosen.rows, chosen.pixels)


def pinned_calibration_set(data: Dataset, rows: npt.NDArray[np.int64]) -> Calibration:
    """The images at given rows, in their order.

    Raises EmotionEdgeError where a row is not in the data set, is of a test split, is pixel for pixel a face of one,
    comes twice, or where no image uses the whole range of 0 to 255.
    """
    place = {int(row): index for index, row in enumerate(data.rows)}
    if unknown := [int(row) for row in rows if int(row) not in place]:
        raise EmotionEdgeError(f"calibration: row {unknown[0]} is not in {data.name}")
    if len(np.unique(rows)) < len(rows):
        raise EmotionEdgeError("calibration: a row comes twice")
    chosen = data.take(np.array([place[int(row)] for row in rows], np.int64))
    tested = np.flatnonzero(chosen.split != SPLITS.index("Training"))
    if tested.size:
        row, split = int(chosen.rows[tested[0]]), SPLITS[int(chosen.split[tested[0]])]
        raise EmotionEdgeError(
            f"calibration: {tested.size} of {len(rows)} rows are no training faces (row {row} is of {split}): figures "
            "on a split that the ranges were taken from would flatter"
        )
    held_out = {image.tobytes() for image in data.pixels[data.split != SPLITS.index("Training")]}
    for row, image in zip(chosen.rows, chosen.pixels, strict=True):
        if image.tobytes() in held_out:
            raise EmotionEdgeError(f"calibration: row {row} is pixel for pixel a face of a test split; leave it out")
    if not _whole_range(chosen.pixels).any():
        raise EmotionEdgeError("calibration: none of the rows has both a black and a white pixel; add one that has")
    return Calibration(data.name, chosen.rows, chosen.pixels)


def read_rows(path: Path) -> npt.NDArray[np.int64]:
    """Row numbers from a text file, one a line. Raises EmotionEdgeError, with the line, where it is anything else."""
    try:
        lines = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise EmotionEdgeError(f"calibration rows {path}: {error}") from None
    for number, line in enumerate(lines, 1):
        if not line.isdecimal():
            raise EmotionEdgeError(f"calibration rows {path}, line {number}: {line!r} is no row number")
    if not lines:
        raise EmotionEdgeError(f"calibration rows {path}: empty")
    return np.array([int(line) for line in lines], np.int64)


def write_rows(calibration: Calibration, path: Path) -> None:
    """Write the row numbers as `read_rows` reads them."""
    path.write_text(_text(calibration.rows), encoding="utf-8")


def representative(images: npt.NDArray[np.uint8]) -> Callable[[], Iterator[dict[str, npt.NDArray[np.float32]]]]:
    """Images as the converter wants them: one at a time, float32 [1, h, w, c] in 0 to 1, by input name."""

    def samples() -> Iterator[dict[str, npt.NDArray[np.float32]]]:
        for image in images:
            yield {"image": as_input(image[None])}

    return samples


def as_input(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Images uint8 [n, h, w] or [n, h, w, 3] as a float network takes them: float32 [n, h, w, c], pixel / 255."""
    if images.ndim == 3:
        images = images[..., None]
    return np.asarray(images / np.float32(255), np.float32)


def _whole_range(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    flat = images.reshape(len(images), -1)
    return np.asarray((flat.min(axis=1) == 0) & (flat.max(axis=1) == 255))


def _text(rows: npt.NDArray[Any]) -> str:
    return "".join(f"{row}\n" for row in rows)
