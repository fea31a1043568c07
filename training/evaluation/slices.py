"""Image properties that affect accuracy (sharpness, size, brightness), and accuracy by slices of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from training.datasets.dataset import Dataset
from training.datasets.pixels import read_image
from training.evaluation.metrics import Counts, Floats, Interval, bootstrap

SLICES: Final = 5
LOSS: Final = 0.15
"""Largest error, as a share of an image's contrast, of shrinking it to its effective side and enlarging it again."""


@dataclass(frozen=True, slots=True)
class Measure:
    """An image property measured on every face.

    name, low, high: descriptions of the property and of its extremes. values: float64 [n]. how: description of how it
    is measured. digits: decimals shown.
    """

    name: str
    low: str
    high: str
    values: Floats
    how: str
    digits: int


@dataclass(frozen=True, slots=True)
class Slice:
    """The faces between two values of a measure, both inclusive.

    place: index of the slice, 0 for the lowest values. accuracy: 0 to 1, with its 95% interval.
    """

    place: int
    low: float
    high: float
    rows: int
    accuracy: float
    interval: Interval


def measures(pixels: npt.NDArray[np.uint8], sides: npt.NDArray[np.int64] | None) -> tuple[Measure, ...]:
    """Sharpness, size and brightness of faces.

    Args:
        pixels: Faces at the input size of the network, uint8 [n, h, w] or [n, h, w, 3].
        sides: Shorter sides of the original images in pixels, int64 [n]; None if unknown or all equal.
    """
    found = np.array([(sharpness(image), effective_side(image), image.mean()) for image in _grey(pixels)])
    if sides is None:
        how = (
            f"its effective side in pixels: the smallest that it can be shrunk to and enlarged from again without "
            f"losing more than {LOSS:.0%} of its contrast"
        )
        size = Measure("size", "smallest", "largest", found[:, 1], how, 0)
    else:
        size = Measure(
            "size", "smallest", "largest", sides.astype(float), "the shorter side of the face in its file, in pixels", 0
        )
    return (
        Measure(
            "sharpness",
            "most blurred",
            "sharpest",
            found[:, 0],
            "variance of the Laplacian (Pech-Pacheco et al. 2000) over the variance of the image, so that contrast "
            "does not count",
            2,
        ),
        size,
        Measure("brightness", "darkest", "brightest", found[:, 2], "mean grey value, 0 to 255", 0),
    )


def sharpness(grey: npt.NDArray[np.uint8]) -> float:
    """Sharpness: variance of the Laplacian divided by the variance of the image; 0 for a blank image."""
    spread = float(grey.astype(np.float64).var())
    return float(cv2.Laplacian(grey, cv2.CV_64F).var()) / spread if spread else 0.0


def effective_side(grey: npt.NDArray[np.uint8]) -> float:
    """Effective resolution: the smallest side in pixels to which an image can shrink with an error of at most LOSS."""
    image = grey.astype(np.float32)
    height, width = image.shape
    spread = float(image.std())
    for side in range(8, height, 2):
        small = cv2.resize(image, (max(1, side * width // height), side), interpolation=cv2.INTER_AREA)
        again = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
        if float(np.sqrt(np.mean((again - image) ** 2))) <= LOSS * spread:
            return float(side)
    return float(height)


def slice_of(values: Floats) -> npt.NDArray[np.int64]:
    """Assign each face to a slice, int64 [n], 0 for the lowest values: quintiles, fewer if many values are equal."""
    inner = np.unique(np.quantile(values, np.arange(1, SLICES) / SLICES, method="lower"))
    return np.unique(np.searchsorted(inner, values, side="left"), return_inverse=True)[1]


def slices(values: Floats, index: npt.NDArray[np.int64], right: npt.NDArray[np.bool_]) -> tuple[Slice, ...]:
    """Accuracy of each non-empty slice.

    Args:
        values: The measure, [n].
        index: The slice of each face from `slice_of`, int64 [n].
        right: Whether each prediction is right, bool [n].
    """
    found = []
    for place in np.unique(index):
        here = index == place
        hits, rows = int(right[here].sum()), int(here.sum())
        found.append(
            Slice(
                int(place),
                float(values[here].min()),
                float(values[here].max()),
                rows,
                hits / rows,
                bootstrap(np.array([[hits, rows - hits]]), _first_share),
            )
        )
    return tuple(found)


def _first_share(tables: Counts) -> Floats:
    return np.asarray(tables[:, 0, 0] / tables.sum(axis=(1, 2)))


def original_sides(data: Dataset) -> npt.NDArray[np.int64] | None:
    """Shorter side of each image file in pixels; None if all are equal or the images are not files.

    Raises EmotionEdgeError for a file that cannot be read.
    """
    if not isinstance(data.images, tuple):
        return None
    whole = np.zeros((len(data), 4), np.int64) if data.boxes is None else data.boxes
    sides = np.array([_side(path, box) for path, box in zip(data.images, whole, strict=True)], np.int64)
    return sides if len(np.unique(sides)) > 1 else None


def _side(path: Path, box: npt.NDArray[np.int64]) -> int:
    return int(box[2:].min()) or min(read_image(path, 1).shape)


def _grey(pixels: npt.NDArray[np.uint8]) -> Iterator[npt.NDArray[np.uint8]]:
    for image in pixels:
        yield image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
