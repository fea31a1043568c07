"""Statistics of the images of a data set, from one pass; the pixels are not kept."""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
from rich.progress import track

from edge.errors import EmotionEdgeError
from training.cleaning.duplicates import exact_groups
from training.datasets import pixels
from training.datasets.dataset import Dataset
from training.evaluation.slices import sharpness
from training.pages.sheets import Picture, square
from training.progress import terminal_console

SIDE: Final = 48
"""Longer side, in pixels, to which an image is shrunk before it is measured, so that images of all sizes compare: the
size of FER-2013, and about that of a small network's input.
"""
MEAN_SIDE: Final = 96
"""Side in pixels of a mean face, if the images are larger."""

_log = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Survey:
    """Statistics of n images; NaN, zeros or b"" for an unreadable one.

    sizes: int64 [n, 2], height and width in pixels. brightness: float64 [n], mean grey value, 0 to 255. contrast:
    float64 [n], standard deviation of the grey values, 0 for a blank image. sharpness: float64 [n], variance of the
    Laplacian divided by that of the image. digests: digest of the pixels, equal for pixel-identical images. readable:
    bool [n]. means: by label set and class with a readable face, the mean face: uint8 [side, side], or with 3 channels
    for files and colour images.
    """

    sizes: npt.NDArray[np.int64]
    brightness: Floats
    contrast: Floats
    sharpness: Floats
    digests: tuple[bytes, ...]
    readable: npt.NDArray[np.bool_]
    means: dict[tuple[str, str], Picture]


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Groups of pixel-identical images: index arrays of two or more, ordered by their first image.

    across: bool per group, whether it spans more than one split. conflicting: bool per group, whether its faces differ
    in class under the primary label set.
    """

    groups: tuple[npt.NDArray[np.int64], ...]
    across: npt.NDArray[np.bool_]
    conflicting: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Measured:
    size: tuple[int, int]
    figures: tuple[float, float, float]
    digest: bytes
    small: Picture


def survey(data: Dataset) -> Survey:
    """Read every image once, with several threads; unreadable files are logged by name."""
    count = len(data)
    sizes = np.zeros((count, 2), np.int64)
    figures = np.full((count, 3), np.nan)
    digests = [b""] * count
    sums: dict[tuple[str, str], npt.NDArray[np.float64]] = {}
    shown: dict[tuple[str, str], int] = defaultdict(int)
    colour = False
    for row, found in enumerate(_measured(data)):
        if found is None:
            continue
        sizes[row], figures[row], digests[row] = found.size, found.figures, found.digest
        colour = colour or found.small.ndim == 3
        for label_set, labels in data.labels.items():
            if labels.judged[row] < 0:
                continue
            key = (label_set, labels.names[labels.judged[row]])
            if key not in sums:
                sums[key] = np.zeros((*found.small.shape[:2], 3))
            sums[key] += found.small if found.small.ndim == 3 else found.small[..., None]
            shown[key] += 1
    means = {key: np.asarray(np.round(total / shown[key]), np.uint8) for key, total in sums.items()}
    return Survey(
        sizes,
        figures[:, 0],
        figures[:, 1],
        figures[:, 2],
        tuple(digests),
        sizes[:, 0] > 0,
        means if colour else {key: mean[..., 0] for key, mean in means.items()},
    )


def picture_of(data: Dataset, row: int) -> Picture | None:
    """One face of a data set, cut out by its box if it has one: grey [h, w] or BGR [h, w, 3].

    Returns None if the file cannot be read or the box is outside the image.
    """
    try:
        return pixels.image_of(data, row)
    except EmotionEdgeError as error:
        _log.warning("%s", error)
        return None


def duplicates(data: Dataset, found: Survey) -> Duplicates:
    """Group pixel-identical images; unreadable images are excluded."""
    readable = np.flatnonzero(found.readable)
    groups = tuple(readable[group] for group in exact_groups([found.digests[row] for row in readable]))
    judged = next(iter(data.labels.values())).judged
    return Duplicates(
        groups,
        np.array([len(np.unique(data.split[group])) > 1 for group in groups], np.bool_),
        np.array([len(np.unique(judged[group])) > 1 for group in groups], np.bool_),
    )


def _measured(data: Dataset) -> Iterator[_Measured | None]:
    """Yield the statistics of each image in the order of the data set; None for an unreadable file."""
    if isinstance(data.images, tuple):
        with ThreadPoolExecutor() as pool:
            found = pool.map(lambda row: _measure(picture_of(data, row), MEAN_SIDE), range(len(data)))
            yield from track(found, f"reading {data.name}", len(data), console=terminal_console(), transient=True)
    else:
        side = min(MEAN_SIDE, max(data.images.shape[1:3]))
        yield from (_measure(image, side) for image in data.images)


def _measure(image: Picture | None, side: int) -> _Measured | None:
    if image is None:
        return None
    grey = image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
    height, width = grey.shape
    scale = SIDE / max(height, width)
    if scale < 1:
        shape = (max(1, round(width * scale)), max(1, round(height * scale)))
        grey = np.asarray(cv2.resize(grey, shape, interpolation=cv2.INTER_AREA), np.uint8)
    digest = hashlib.blake2b(np.ascontiguousarray(image).tobytes(), digest_size=16, person=_shape_key(image)).digest()
    return _Measured(
        (height, width), (float(grey.mean()), float(grey.std()), sharpness(grey)), digest, square(image, side)
    )


def _shape_key(image: Picture) -> bytes:
    """Shape of an image as bytes, part of its digest so that images of different shapes never collide."""
    return "x".join(map(str, image.shape)).encode("ascii")[:16]
