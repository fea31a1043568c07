"""Picture files: one, or a folder of them in the order of their names."""

import logging
import struct
import threading
import time
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge.cameras.camera import Pace, Picture, as_bgr
from edge.config import CameraSettings
from edge.errors import EmotionEdgeError
from edge.reading import Image

_log = logging.getLogger(__name__)

SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm")

PIXELS_MAX: Final = 50_000_000
"""What a phone's camera makes; decoded, a picture takes three bytes of memory a pixel."""

_LONGEST: Final = 1920
"""To this many pixels, the longer side is scaled down before anything else."""

Bytes = bytes | bytearray


def read_image(path: Path) -> Image:
    """A picture file as BGR uint8 [H, W, 3], upright by its EXIF orientation. Raises EmotionEdgeError."""
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise EmotionEdgeError(f"image {path}: {error.strerror}") from error
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise EmotionEdgeError(f"image {path}: cannot be decoded (empty, damaged, or no picture)")
    return as_bgr(image.astype(np.uint8, copy=False))


def decoded(data: Bytes, pixels_max: int = PIXELS_MAX) -> Image:
    """A JPEG, PNG or WebP file as BGR uint8 [H, W, 3], upright, its longer side at most 1920 pixels.

    Raises EmotionEdgeError for anything else, and for a picture with more than pixels_max.
    """
    size = _size(data)
    if size is None:
        raise EmotionEdgeError("this is no picture that can be read: JPEG, PNG and WebP can")
    if size[0] * size[1] > pixels_max:
        raise EmotionEdgeError(
            f"the picture has {size[0]} x {size[1]} pixels, over {pixels_max // 1_000_000} million: make it smaller"
        )
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    if image is None:
        raise EmotionEdgeError("the picture cannot be decoded: its file is damaged or not whole")
    high, wide = image.shape[:2]
    upright = as_bgr(np.asarray(image, np.uint8))
    return narrowed(upright, wide if high <= _LONGEST >= wide else max(1, round(wide * _LONGEST / max(high, wide))))


def _size(data: Bytes) -> tuple[int, int] | None:
    """Width and height as the file's head says, before memory is taken for its pixels; None for another kind of file.

    As in the PNG specification (IHDR), RFC 9649 (WebP) and ITU-T T.81 (JPEG, B.2.2 frame header).
    """
    try:
        if data[:8] == b"\x89PNG\r\n\x1a\n":
            return struct.unpack(">II", data[16:24])
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp_size(data)
        if data[:3] == b"\xff\xd8\xff":
            return _jpeg_size(data)
    except (struct.error, IndexError):
        pass
    return None


def _webp_size(data: Bytes) -> tuple[int, int] | None:
    match data[12:16]:
        case b"VP8X":
            wide, high = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
            return wide, high
        case b"VP8L":
            (bits,) = struct.unpack("<I", data[21:25])
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            wide, high = struct.unpack("<HH", data[26:30])
            return wide & 0x3FFF, high & 0x3FFF
    return None


def _jpeg_size(data: Bytes) -> tuple[int, int] | None:
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD7:  # fill, and markers without a length
            at += 1 if marker == 0xFF else 2
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            high, wide = struct.unpack(">HH", data[at + 5 : at + 9])
            return wide, high
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def narrowed(image: Image, width: int) -> Image:
    """The picture, scaled down where it is wider."""
    high, wide = image.shape[:2]
    if wide <= width:
        return image
    size = width, max(1, round(high * width / wide))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


class ImageFiles:
    """One image or a folder, `fps` pictures a second or as fast as they are read, once or over and over.

    Files of a folder that cannot be decoded are named once in the log and left out.
    """

    def __init__(self, path: Path, settings: CameraSettings) -> None:
        """Raises EmotionEdgeError when there is no picture that can be decoded."""
        self.name = f"{'folder' if path.is_dir() else 'image'} {path}"
        self.lossless = not settings.realtime
        self._loop = settings.loop
        self._closed = threading.Event()
        self._files = _pictures(path) if path.is_dir() else [path]
        self._position = 0
        self._kept: Image | None = None
        if not self._files:
            raise EmotionEdgeError(f"{self.name}: has no picture ({', '.join(SUFFIXES)})")
        if not path.is_dir():
            self._kept = read_image(path)
        self._next = self._load()
        if self._next is None:
            raise EmotionEdgeError(f"{self.name}: none of its pictures can be decoded")
        self._pace = Pace(settings.fps if settings.realtime else 0)

    def read(self) -> Picture | None:
        image, self._next = self._next, None
        if image is None:
            image = self._load()
        if image is None or self._closed.wait(self._pace.delay()):
            return None
        return Picture(image, time.monotonic())

    def skip(self) -> bool:
        return self.read() is not None

    def close(self) -> None:
        self._closed.set()

    def _load(self) -> Image | None:
        """The next picture that can be decoded, or None at the end."""
        while self._files and not self._closed.is_set():
            if self._position == len(self._files):
                if not self._loop:
                    return None
                self._position = 0
            self._position += 1
            if self._kept is not None:
                return self._kept.copy()
            try:
                return read_image(self._files[self._position - 1])
            except EmotionEdgeError as error:
                _log.warning("%s: left out", error)
                self._position -= 1
                del self._files[self._position]
        return None


def are_pictures(source: str) -> bool:
    """Whether what `camera.source` names is an image or a folder of images."""
    path = Path(source).expanduser()
    return path.suffix.lower() in SUFFIXES if path.is_file() else path.is_dir()


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
