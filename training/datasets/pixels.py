"""From a data set's images, of any size and kind, to the pixels a network is trained on."""

import logging
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError
from edge.reading import Image
from training.datasets.dataset import Dataset

_log = logging.getLogger(__name__)


def in_memory(data: Dataset, height: int, width: int, channels: int) -> Dataset:
    """The data set with images uint8 [n, height, width] for 1 channel (grey), [n, height, width, 3] for 3 (BGR).

    Images are stretched to that size; where the data set has face boxes, the box is cut out first. A file that cannot
    be read is left out, and so is a box outside its image, with a warning that names it; raises EmotionEdgeError where
    nothing is left.
    """
    shape = (height, width) if channels == 1 else (height, width, 3)
    if isinstance(data.images, tuple):
        return _from_files(data, data.images, shape)
    if data.images.shape[1:] == shape:
        return data
    out = np.empty((len(data), *shape), np.uint8)
    for row, image in enumerate(data.images):
        out[row] = _fitted(image, shape)
    return replace(data, images=out)


def read_image(path: Path, channels: int) -> Image:
    """An image file as uint8 [h, w] (1 channel, grey) or [h, w, 3] (3, BGR), upright by its EXIF orientation.

    Raises EmotionEdgeError for a file that is not there, is no image, or is cut off.
    """
    try:
        # OpenCV reads half a JPEG from a file without a word, but refuses it from memory.
        coded = np.fromfile(path, np.uint8)
        image = cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR) if coded.size else None
    except FileNotFoundError:
        raise EmotionEdgeError(f"{path}: not there") from None
    except (OSError, cv2.error):
        image = None
    if image is None:
        raise EmotionEdgeError(f"{path}: no image that can be read; corrupt or cut off")
    return np.asarray(image, np.uint8)


def image_of(data: Dataset, row: int, channels: int = 3) -> Image:
    """One face of a data set, uint8 [h, w] or [h, w, 3] BGR: as it is in the array, or from its file with `channels`,
    cut out where the data set has a box for it. Raises EmotionEdgeError for a file that cannot be read, and for a box
    outside its image.
    """
    if not isinstance(data.images, tuple):
        return np.asarray(data.images[row], np.uint8)
    image = read_image(data.images[row], channels)
    return image if data.boxes is None else _cut(image, data.boxes[row], data.images[row])


def fingerprints(data: Dataset) -> npt.NDArray[np.uint32]:
    """CRC-32 of each face's grey pixels, uint32 [n], by which it is known again; 0 for a file that cannot be read.

    Of the image as it was read, in its own size: not of what `in_memory` made of it.
    """

    def fingerprint(row: int) -> int:
        try:
            image = image_of(data, row, 1)
        except EmotionEdgeError:
            return 0
        return zlib.crc32((image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)).tobytes())

    with ThreadPoolExecutor() as pool:
        return np.fromiter(pool.map(fingerprint, range(len(data))), np.uint32, len(data))


def _from_files(data: Dataset, files: tuple[Path, ...], shape: tuple[int, ...]) -> Dataset:
    out = np.empty((len(files), *shape), np.uint8)

    def fill(row: int) -> str:
        """What is wrong with a file, or ""."""
        try:
            out[row] = _fitted(image_of(data, row, 1 if len(shape) == 2 else 3), shape)
        except EmotionEdgeError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor() as pool:
        faults = list(pool.map(fill, range(len(files))))
    for fault in filter(None, faults):
        _log.warning("%s", fault)
    good = np.array([not fault for fault in faults], np.bool_)
    if files and not good.any():
        raise EmotionEdgeError(f"{data.name}: none of {len(files)} images can be read, the first: {faults[0]}")
    if good.all():
        return replace(data, images=out, boxes=None)
    _log.warning("%s: %d of %d images cannot be read and are left out", data.name, np.count_nonzero(~good), len(files))
    return replace(data.take(good), images=out[good], boxes=None)


def _cut(image: Image, box: npt.NDArray[np.int64], file: Path) -> Image:
    """The part of an image in a box of x, y, width and height that is inside it; all of it for a box of zeros."""
    x, y, width, height = box.tolist()
    if not (width and height):
        return image
    part = image[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)]
    if not part.size:
        raise EmotionEdgeError(f"{file}: the face box {x}, {y}, {width} x {height} is outside the image")
    return part


def _fitted(image: Image, shape: tuple[int, ...]) -> Image:
    height, width, *channels = shape
    if not channels and image.ndim == 3:
        image = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
    elif channels and image.ndim == 2:
        image = np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
    if image.shape[:2] == (height, width):
        return image
    shrink = image.shape[0] > height
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)
