"""Image files as a camera: one file, or a folder of them in the order of their names."""

import logging
import os
import threading
import time
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge.cameras.camera import Pace, Picture, printable
from edge.cameras.image_decoder import FILE_LIMITS, ImageDecoder, NoDecoderError
from edge.cameras.image_header import image_format, is_heif
from edge.config import CameraSettings
from edge.errors import EmotionEdgeError
from edge.reading import Image
from edge.system.state_folder import expanded

_log = logging.getLogger(__name__)

SUFFIXES: Final = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm")
"""A file with one of these suffixes counts as an image whatever its contents, so that a damaged one is reported."""

_OTHERS_FOLDERS: Final = frozenset({"@eaDir", "#recycle", "$RECYCLE.BIN", "lost+found"})
"""Folders in which network drives, Windows and macOS keep thumbnails and deleted files."""

_VIDEO_SUFFIXES: Final = (".mjpg", ".mjpeg")
"""JPEG images one after another, as `rpicam-vid --codec mjpeg` writes them: a video."""

BYTES_MAX: Final = 100_000_000
"""Largest image file, in bytes."""


def read_image(path: Path, decoder: ImageDecoder | None = None) -> Image:
    """Read an image file as BGR uint8 [H, W, 3], turned upright by its Exif orientation.

    Args:
        path: the file; its suffix does not matter.
        decoder: the process that decodes; None: one is started for this image alone, which takes a second.

    Raises:
        EmotionEdgeError: it cannot be read or decoded, or is too large.
    """
    try:
        if (size := path.stat().st_size) > BYTES_MAX:
            raise EmotionEdgeError(f"image {path}: has {size / 1e6:.0f} MB; at most {BYTES_MAX // 1_000_000} are read")
        data = path.read_bytes()
    except OSError as error:
        raise EmotionEdgeError(f"image {path}: {error.strerror}") from error
    try:
        if decoder:
            return decoder.decode(data, FILE_LIMITS)
        with ImageDecoder() as decoder:
            return decoder.decode(data, FILE_LIMITS)
    except EmotionEdgeError as error:
        raise type(error)(f"image {path}: {error}") from error


def narrowed(image: Image, width: int) -> Image:
    """Scale a picture down to `width` pixels if it is wider."""
    high, wide = image.shape[:2]
    if wide <= width:
        return image
    size = width, max(1, round(high * width / wide))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


class ImageFiles:
    """One image or the images of a folder, once or repeated, at `camera.fps` or as fast as they are read.

    The pictures of a folder are independent scenes. A file that cannot be decoded is logged once and left out.
    """

    def __init__(self, path: Path, settings: CameraSettings) -> None:
        """Open the image or folder. Raises EmotionEdgeError if no picture can be decoded."""
        self.name = f"{'folder' if path.is_dir() else 'image'} {printable(path)}"
        self.lossless = not settings.realtime
        self._loop = settings.loop
        self._closed = threading.Event()
        self._files = _images(path) if path.is_dir() else [path]
        self._position = 0
        self._kept: Image | None = None
        # Number of files left out since the last picture.
        self._left_out = 0
        self._decoder = ImageDecoder()
        if not self._files:
            raise EmotionEdgeError(f"{self.name}: has no picture (JPEG, PNG, WebP, BMP, TIFF, PNM)")
        if not path.is_dir():
            self._kept = read_image(path)
        self._next = self._load()
        if self._next is None:
            self._decoder.close()
            raise EmotionEdgeError(f"{self.name}: none of its pictures can be decoded")
        self._pace = Pace() if settings.realtime else None
        self._period = 1 / settings.fps
        self._shown = 0

    def read(self) -> Picture | None:
        image, self._next = self._next, None
        if image is None:
            image = self._load()
        if image is None or (self._pace and self._closed.wait(self._pace.delay(self._shown * self._period))):
            return None
        self._shown += 1
        bad, self._left_out = self._left_out, 0
        return Picture(image, time.monotonic(), unrelated=len(self._files) > 1, bad=bad)

    def skip(self) -> bool:
        return self.read() is not None

    def close(self) -> None:
        self._closed.set()
        self._decoder.close()

    def _load(self) -> Image | None:
        """Decode the next image; None at the end, or after `close`."""
        while self._files and not self._closed.is_set():
            if self._position == len(self._files):
                if not self._loop:
                    return None
                self._position = 0
            self._position += 1
            if self._kept is not None:
                return self._kept.copy()
            try:
                return read_image(self._files[self._position - 1], self._decoder)
            except NoDecoderError:
                if self._closed.is_set():
                    return None
                raise
            except EmotionEdgeError as error:
                _log.warning("%s: left out", error)
                self._left_out += 1
                self._position -= 1
                del self._files[self._position]
        return None


def is_image(path: Path) -> bool:
    """Whether a file is an image by its first bytes or its suffix; includes HEIC, which `read_image` refuses."""
    if not path.is_file():
        # A named pipe is no image: opening it would wait for its writer.
        return False
    if path.suffix.lower() in SUFFIXES:
        return True
    if path.suffix.lower() in _VIDEO_SUFFIXES:
        return False
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:
        return False
    return image_format(head) is not None or is_heif(head)


def are_images(source: str) -> bool:
    """Whether a value of `camera.source` names an image or a folder of images."""
    path = expanded(source)
    return path.is_dir() or (path.is_file() and is_image(path))


def is_passed_over(name: str) -> bool:
    """Whether a folder of this name is ignored: it is hidden, or other programs keep copies of pictures in it."""
    return name.startswith((".", "__")) or name in _OTHERS_FOLDERS


def images_below(folder: Path) -> list[Path]:
    """List the images of a folder and its subfolders by name; ignored subfolders are logged once."""
    found: list[Path] = []
    passed_over: list[Path] = []
    for base, folders, files in os.walk(folder):
        passed_over += [Path(base, name) for name in folders if is_passed_over(name)]
        folders[:] = sorted(name for name in folders if not is_passed_over(name))
        found += [path for name in sorted(files) if not name.startswith(".") and is_image(path := Path(base, name))]
    if passed_over:
        names = ", ".join(sorted({printable(Path(path.name)) for path in passed_over}))
        _log.info("%s: %d folder(s) passed over: %s", printable(folder), len(passed_over), names)
    return found


def _images(folder: Path) -> list[Path]:
    """List the images of a folder by name, without hidden files and subfolders."""
    return sorted(
        path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file() and is_image(path)
    )
