"""Loads the images of a data set, of any size and file type, in the input size of a network."""

import logging
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError
from edge.faces.crop import stretched
from edge.reading import Image
from training.datasets.dataset import Dataset
from training.datasets.disk_images import DiskImages, disk_array, memory_limit

_log = logging.getLogger(__name__)


def in_memory(data: Dataset, height: int, width: int, channels: int) -> Dataset:
    """Load and resize all images, to uint8 [n, height, width] for 1 channel (grey), [n, height, width, 3] for 3 (BGR).

    Faces are cut out by their boxes first; images are stretched to the size. Files that cannot be read, and boxes
    outside their image, are omitted with a warning. Raises EmotionEdgeError if nothing is left.
    """
    shape = (height, width) if channels == 1 else (height, width, 3)
    return _loaded(data, shape, None)


def in_memory_or_on_disk(data: Dataset, height: int, width: int, channels: int, folder: Path) -> Dataset:
    """Load and resize all images like `in_memory`, but into a file in `folder` if they exceed `memory_limit`.

    Raises EmotionEdgeError if nothing is left or the disk has too little space.
    """
    shape = (height, width) if channels == 1 else (height, width, 3)
    size = len(data) * height * width * channels
    if size <= memory_limit():
        return _loaded(data, shape, None)
    _log.info("%s: %.1f GB of images: kept on the disk, and read batch by batch", data.name, size / 1e9)
    return _loaded(data, shape, folder)


def from_disk(data: Dataset) -> Dataset:
    """Load the images of a data set into memory if `in_memory_or_on_disk` kept them in a file."""
    return replace(data, images=data.images[:]) if isinstance(data.images, DiskImages) else data


def _loaded(data: Dataset, shape: tuple[int, ...], folder: Path | None) -> Dataset:
    """Load the images into memory, or into a file in `folder` if that is not None."""
    if isinstance(data.images, DiskImages):
        raise TypeError(f"{data.name}: its images have been read already")
    if isinstance(data.images, tuple):
        return _from_files(data, data.images, shape, folder)
    if data.images.shape[1:] == shape and folder is None:
        return data
    out = _empty((len(data), *shape), folder)
    for row, image in enumerate(data.images):
        out[row] = stretched(image, shape)
    return replace(data, images=_wrapped(out, folder))


def _empty(shape: tuple[int, ...], folder: Path | None) -> npt.NDArray[np.uint8]:
    return np.empty(shape, np.uint8) if folder is None else disk_array(shape, folder)


def _wrapped(out: npt.NDArray[np.uint8], folder: Path | None) -> npt.NDArray[np.uint8] | DiskImages:
    return out if folder is None else DiskImages(out, np.arange(len(out)))


def read_image(path: Path, channels: int) -> Image:
    """Read an image file, rotated by its EXIF orientation: uint8 [h, w] for 1 channel (grey), [h, w, 3] for 3 (BGR).

    Raises EmotionEdgeError if the file is missing, not an image, or truncated.
    """
    try:
        # OpenCV silently accepts a truncated JPEG from a file, but rejects it from memory.
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
    """Return the image of one face of a data set, cut out by its box: uint8 [h, w] or [h, w, 3] BGR.

    Args:
        data: The data set.
        row: Index of the face.
        channels: 1 or 3, for images read from files.

    Raises:
        EmotionEdgeError: The file cannot be read, or the box is outside the image.
    """
    if not isinstance(data.images, tuple):
        return np.asarray(data.images[row], np.uint8)
    image = read_image(data.images[row], channels)
    return image if data.boxes is None else _cut(image, data.boxes[row], data.images[row])


def fingerprints(data: Dataset) -> npt.NDArray[np.uint32]:
    """CRC-32 of the grey pixels of each face, uint32 [n], to identify the face later; 0 for an unreadable file.

    Computed on the original image, before it is resized.
    """

    def fingerprint(row: int) -> int:
        try:
            image = image_of(data, row, 1)
        except EmotionEdgeError:
            return 0
        return zlib.crc32((image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)).tobytes())

    with ThreadPoolExecutor() as pool:
        return np.fromiter(pool.map(fingerprint, range(len(data))), np.uint32, len(data))


def _from_files(data: Dataset, files: tuple[Path, ...], shape: tuple[int, ...], folder: Path | None) -> Dataset:
    out = _empty((len(files), *shape), folder)

    def fill(row: int) -> str:
        """Load one image into the array; returns the error message, or "" on success."""
        try:
            out[row] = stretched(image_of(data, row, 1 if len(shape) == 2 else 3), shape)
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
    read = replace(data, images=_wrapped(out, folder), boxes=None)
    if good.all():
        return read
    _log.warning("%s: %d of %d images cannot be read and are left out", data.name, np.count_nonzero(~good), len(files))
    return read.take(good)


def _cut(image: Image, box: npt.NDArray[np.int64], file: Path) -> Image:
    """Crop an image to the part of the box (x, y, width, height) inside it; the whole image if the box is all zeros."""
    x, y, width, height = box.tolist()
    if not (width and height):
        return image
    part = image[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)]
    if not part.size:
        raise EmotionEdgeError(f"{file}: the face box {x}, {y}, {width} x {height} is outside the image")
    return part
