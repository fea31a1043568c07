"""Calibration set: Training images, identified by row numbers, whose activations set the ranges of int8."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError
from training.datasets.dataset import SPLITS, Dataset, clean_training
from training.datasets.disk_images import DiskImages
from training.datasets.pixels import from_disk

SAMPLES = 500
_LARGEST = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Calibration:
    """A calibration set.

    data_set: name of the data set. rows: int64 [n], row numbers of the images in the data set's source, from 0, in the
    order of use. images: uint8 [n, h, w] or [n, h, w, 3]; together they use the whole range of 0 to 255.
    """

    data_set: str
    rows: npt.NDArray[np.int64]
    images: npt.NDArray[np.uint8]

    @property
    def sha256(self) -> str:
        """SHA-256 of the row numbers as text, one a line."""
        return hashlib.sha256(_text(self.rows).encode()).hexdigest()


def calibration_set(data: Dataset, samples: int = SAMPLES, seed: int = 0) -> Calibration:
    """Draw at most `samples` random images of Training, without those that are also in PublicTest or PrivateTest.

    The first image, or the first two together, are chosen or stretched to contain the values 0 and 255, so that the
    input scale becomes exactly 1/255.
    """
    training = clean_training(data).part("Training")
    assert not isinstance(training.images, tuple)
    darkest, brightest = _ends(training.images)
    whole = np.flatnonzero((darkest == 0) & (brightest == 255))
    first = whole[:1] if whole.size else np.unique([darkest.argmin(), brightest.argmax()])
    drawn = np.random.default_rng(seed).permutation(len(training))
    chosen = from_disk(training.take(np.concatenate([first, drawn[~np.isin(drawn, first)]])[:samples]))
    return Calibration(data.name, chosen.rows, whole_range(chosen.pixels))


def pinned_calibration_set(data: Dataset, rows: npt.NDArray[np.int64]) -> Calibration:
    """Build the calibration set of the images at given rows, in their order.

    Raises EmotionEdgeError if a row is not in the data set, is in PublicTest or PrivateTest, has a pixel-identical copy
    there, or occurs twice, or if every image has a single value.
    """
    place = {int(row): index for index, row in enumerate(data.rows)}
    if unknown := [int(row) for row in rows if int(row) not in place]:
        raise EmotionEdgeError(f"calibration: row {unknown[0]} is not in {data.name}")
    if len(np.unique(rows)) < len(rows):
        raise EmotionEdgeError("calibration: a row comes twice")
    chosen = from_disk(data.take(np.array([place[int(row)] for row in rows], np.int64)))
    tested = np.flatnonzero(chosen.split != SPLITS.index("Training"))
    if tested.size:
        row, split = int(chosen.rows[tested[0]]), SPLITS[int(chosen.split[tested[0]])]
        raise EmotionEdgeError(
            f"calibration: {tested.size} of {len(rows)} rows are no training faces (row {row} is of {split}): figures "
            "on a split that the ranges were taken from would flatter"
        )
    images = data.images
    assert not isinstance(images, tuple)
    held_out = {images[row].tobytes() for row in np.flatnonzero(data.split != SPLITS.index("Training"))}
    for row, image in zip(chosen.rows, chosen.pixels, strict=True):
        if image.tobytes() in held_out:
            raise EmotionEdgeError(f"calibration: row {row} is pixel for pixel a face of a test split; leave it out")
    return Calibration(data.name, chosen.rows, whole_range(chosen.pixels))


def whole_range(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Make the images contain a black and a white pixel, as the converter sets the input range by the extreme values.

    If they lack one, the contrast of the image with the widest range is stretched to 0 to 255. images: uint8
    [n, h, w] or [n, h, w, 3]. Raises EmotionEdgeError where every image has a single value.
    """
    if images.min() == 0 and images.max() == 255:
        return images
    darkest, brightest = _ends(images)
    most = int((brightest.astype(np.int64) - darkest).argmax())
    low, high = float(darkest[most]), float(brightest[most])
    if low == high:
        raise EmotionEdgeError("calibration: every image is of one shade; these are no faces")
    stretched = images.copy()
    stretched[most] = np.rint((images[most] - low) * (255 / (high - low)))
    return stretched


def read_rows(path: Path) -> npt.NDArray[np.int64]:
    """Read row numbers from a text file, one a line. Raises EmotionEdgeError, with the line, for anything else."""
    try:
        lines = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise EmotionEdgeError(f"calibration rows {path}: {error}") from None
    for number, line in enumerate(lines, 1):
        if not line.isdecimal() or int(line) > _LARGEST:
            raise EmotionEdgeError(f"calibration rows {path}, line {number}: {line!r} is no row number")
    if not lines:
        raise EmotionEdgeError(f"calibration rows {path}: empty")
    return np.array([int(line) for line in lines], np.int64)


def write_rows(calibration: Calibration, path: Path) -> None:
    """Write the row numbers of a calibration set to a text file, one a line."""
    path.write_text(_text(calibration.rows), encoding="utf-8")


def representative(
    images: npt.NDArray[np.uint8], value_range: tuple[float, float] = (0.0, 1.0)
) -> Callable[[], Iterator[dict[str, npt.NDArray[np.float32]]]]:
    """Return a function that yields calibration samples for the converter: float32 [1, h, w, c] by input name."""

    def samples() -> Iterator[dict[str, npt.NDArray[np.float32]]]:
        for image in images:
            yield {"image": as_input(image[None], value_range)}

    return samples


def as_input(images: npt.NDArray[np.uint8], value_range: tuple[float, float] = (0.0, 1.0)) -> npt.NDArray[np.float32]:
    """Convert images to a float network's input, float32 [n, h, w, c].

    images: uint8 [n, h, w] or [n, h, w, 3]. value_range: values of black and white; by default 0 and 1.
    """
    if images.ndim == 3:
        images = images[..., None]
    low, high = value_range
    return np.asarray(images / np.float32(255) * np.float32(high - low) + np.float32(low), np.float32)


def _ends(images: npt.NDArray[np.uint8] | DiskImages) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """The darkest and the brightest value of each image, uint8 [n]. The images are looked at one by one."""
    ends = np.array([(image.min(), image.max()) for image in images], np.uint8)
    return ends[:, 0], ends[:, 1]


def _text(rows: npt.NDArray[Any]) -> str:
    return "".join(f"{row}\n" for row in rows)
