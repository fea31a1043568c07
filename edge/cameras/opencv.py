"""A cv2.VideoCapture that one thread may close while another reads it, for every camera that OpenCV reads."""

import logging
import os
import threading
import time
from typing import Any, Final

# Silence FFmpeg's own log, which repeats an error at each reconnect; this program logs it once. OpenCV reads the
# variable when it opens its first video.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2
import numpy as np

from edge.cameras.camera import as_bgr
from edge.cameras.mounting import turn
from edge.reading import Image

_log = logging.getLogger(__name__)

# OpenCV logs errors only. Its versions 4 and 5 have this function in different places.
_cv2: Any = cv2
(getattr(_cv2, "setLogLevel", None) or _cv2.utils.logging.setLogLevel)(2)

_BAD_FRAMES_MAX: Final = 300
"""Undecodable frames in a row after which a source ends: ten seconds at 30 frames a second."""
_BAD_FRAMES_S: Final = 5.0
"""Seconds without a good frame after which `VideoReader.read` returns None."""

_ASPECT_MAX: Final = 4.0
"""Pixels that claim a width/height ratio over this, or under its inverse, are treated as square."""


class BadFrames:
    """Counts the frames of a camera that cannot be decoded, and logs the 1st, 10th, 100th, ... of them."""

    def __init__(self, name: str) -> None:
        """Start with no bad frames. name: of the camera, for the log."""
        self.count = 0
        self._taken = 0
        self._name = name
        self._log_at = 1

    def add(self, number: int = 1) -> None:
        """Count `number` more frames that could not be decoded."""
        self.count += number
        if self.count >= self._log_at:
            while self._log_at <= self.count:
                self._log_at *= 10
            _log.warning("%s: %d frame(s) could not be decoded and were passed over", self._name, self.count)

    def taken(self) -> int:
        """Return the number of bad frames since the previous call of this method."""
        more, self._taken = self.count - self._taken, self.count
        return more


class VideoReader:
    """A cv2.VideoCapture that one thread may close while another reads it.

    Frames that cannot be decoded are skipped. Pictures are turned upright by the file's display matrix, and scaled to
    square pixels.
    """

    def __init__(self, source: str, backend: int, bad_frames: BadFrames, options: tuple[int, ...] = ()) -> None:
        """Open the source; if that fails, `read` returns None.

        Args:
            source: what cv2.VideoCapture opens: a path or an address.
            backend: one of `cv2.CAP_*`.
            bad_frames: counts the frames that cannot be decoded.
            options: property, value, property, value, ... as cv2.VideoCapture takes them.
        """
        self._arguments = (source, backend, options)
        self._bad_frames = bad_frames
        self._reading = threading.Lock()
        self.capture = cv2.VideoCapture(source, backend, options)
        self._rotation, self._pixel_aspect = 0, 1.0
        self._look_up_geometry()
        self.closed = threading.Event()

    def read(self) -> Image | None:
        """Return the next picture, BGR [H, W, 3]; None if there is none, or the reader was closed."""
        began = time.monotonic()
        for bad in range(_BAD_FRAMES_MAX):
            with self._reading:
                if self.closed.is_set():
                    return None
                found, image = self.capture.read()
                if self.closed.is_set():
                    # `close` did not wait for this read to end, so the source is released here.
                    self.capture.release()
                    return None
            if found and image is not None and image.size:
                if bad:
                    self._bad_frames.add(bad)
                return self._as_seen(as_bgr(image.astype(np.uint8, copy=False)))
            if time.monotonic() - began > _BAD_FRAMES_S:
                break
        return None

    def skip(self) -> bool:
        """Pass over the next picture without decoding (device) or converting it (stream); False if there is none."""
        with self._reading:
            if self.closed.is_set():
                return False
            grabbed = bool(self.capture.grab())
            if self.closed.is_set():
                # `close` did not wait for this call to end, so the source is released here.
                self.capture.release()
            return grabbed and not self.closed.is_set()

    def position(self) -> float:
        """Return the time stamp of the last picture in seconds; 0 if the source has none."""
        return float(self.capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000

    def restart(self) -> None:
        """Open the file again to read it from its beginning."""
        with self._reading:
            if not self.closed.is_set():
                self.capture.open(*self._arguments)
                self._look_up_geometry()

    def close(self) -> None:
        """Release the source; if another thread still reads after 0.3 s, that thread releases it."""
        self.closed.set()
        if self._reading.acquire(timeout=0.3):
            self.capture.release()
            self._reading.release()

    def _look_up_geometry(self) -> None:
        if self._arguments[1] != cv2.CAP_FFMPEG:
            return
        # OpenCV 4.14 rotates pictures by itself, 4.11 does not: switched off, as `_as_seen` does it for both.
        self.capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        self._rotation = int(self.capture.get(cv2.CAP_PROP_ORIENTATION_META)) % 360 // 90 * 90
        wide, high = (self.capture.get(ratio) for ratio in (cv2.CAP_PROP_SAR_NUM, cv2.CAP_PROP_SAR_DEN))
        aspect = wide / high if wide > 0 and high > 0 else 1.0
        self._pixel_aspect = aspect if 1 / _ASPECT_MAX <= aspect <= _ASPECT_MAX else 1.0

    def _as_seen(self, image: Image) -> Image:
        """Stretch a picture to square pixels, never shrinking it, and turn it upright."""
        if abs(self._pixel_aspect - 1) > 0.01:
            height, width = image.shape[:2]
            wide, high = max(1.0, self._pixel_aspect), max(1.0, 1 / self._pixel_aspect)
            image = np.asarray(cv2.resize(image, (round(width * wide), round(height * high))), np.uint8)
        return turn(image, self._rotation)
