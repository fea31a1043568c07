"""What all readers by OpenCV share: a cv2.VideoCapture that one thread may close while another reads it."""

import logging
import os
import threading
import time
from typing import Any, Final

# Silence FFmpeg's own log, which repeats an error at each reconnect; ours reports it once. It is read when OpenCV opens
# the first video.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2
import numpy as np

from edge.cameras.camera import as_bgr
from edge.cameras.mounting import turn
from edge.reading import Image

_log = logging.getLogger(__name__)

# OpenCV's own warnings likewise: errors only. OpenCV 4 and 5 have the function in different places.
_cv2: Any = cv2
(getattr(_cv2, "setLogLevel", None) or _cv2.utils.logging.setLogLevel)(2)

_BAD_FRAMES_MAX: Final = 300
"""So many frames in a row that cannot be decoded end a source: ten seconds at 30 frames a second."""
_BAD_FRAMES_S: Final = 5.0
"""Seconds without a good frame after which no further one is tried."""

_ASPECT_MAX: Final = 4.0
"""Pixels that claim to be wider or higher than this are taken for square."""


class BadFrames:
    """Counts the frames of a source that cannot be decoded, and logs the 1st, 10th, 100th, ... of them."""

    def __init__(self, name: str) -> None:
        """name: of the camera, for the log."""
        self.count = 0
        self._taken = 0
        self._name = name
        self._log_at = 1

    def add(self, number: int = 1) -> None:
        """So many more were passed over."""
        self.count += number
        if self.count >= self._log_at:
            while self._log_at <= self.count:
                self._log_at *= 10
            _log.warning("%s: %d frame(s) could not be decoded and were passed over", self._name, self.count)

    def taken(self) -> int:
        """How many were passed over since this was called last."""
        more, self._taken = self.count - self._taken, self.count
        return more


class VideoReader:
    """A cv2.VideoCapture that one thread may close while another reads it.

    Frames that cannot be decoded are passed over. Pictures come upright as the file's display matrix says, and with
    square pixels.
    """

    def __init__(self, source: str, backend: int, bad_frames: BadFrames, options: tuple[int, ...] = ()) -> None:
        """Open the source; `read` returns None where that failed.

        Args:
            source: what cv2.VideoCapture opens: a path or an address.
            backend: one of `cv2.CAP_*`.
            bad_frames: counts what cannot be decoded.
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
        """The next picture as BGR; None where there is none, or the reader was closed."""
        began = time.monotonic()
        for bad in range(_BAD_FRAMES_MAX):
            with self._reading:
                if self.closed.is_set():
                    return None
                found, image = self.capture.read()
                if self.closed.is_set():  # close() did not wait for this read to end
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
        """Pass over the next picture: a device's is not decompressed then, a stream's not converted."""
        with self._reading:
            if self.closed.is_set():
                return False
            grabbed = bool(self.capture.grab())
            if self.closed.is_set():  # as in `read`
                self.capture.release()
            return grabbed and not self.closed.is_set()

    def position(self) -> float:
        """The time stamp of the last picture in seconds; 0 where the source has none."""
        return float(self.capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000

    def restart(self) -> None:
        """Begin a file again."""
        with self._reading:
            if not self.closed.is_set():
                self.capture.open(*self._arguments)
                self._look_up_geometry()

    def close(self) -> None:
        """Release the source, or leave that to a read that takes longer than 0.3 s."""
        self.closed.set()
        if self._reading.acquire(timeout=0.3):
            self.capture.release()
            self._reading.release()

    def _look_up_geometry(self) -> None:
        if self._arguments[1] != cv2.CAP_FFMPEG:
            return
        # OpenCV 4.11 does not turn pictures by itself, 4.14 does: neither is to.
        self.capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        self._rotation = int(self.capture.get(cv2.CAP_PROP_ORIENTATION_META)) % 360 // 90 * 90
        wide, high = (self.capture.get(ratio) for ratio in (cv2.CAP_PROP_SAR_NUM, cv2.CAP_PROP_SAR_DEN))
        aspect = wide / high if wide > 0 and high > 0 else 1.0
        self._pixel_aspect = aspect if 1 / _ASPECT_MAX <= aspect <= _ASPECT_MAX else 1.0

    def _as_seen(self, image: Image) -> Image:
        """The picture with square pixels, none lost, and upright."""
        if abs(self._pixel_aspect - 1) > 0.01:
            height, width = image.shape[:2]
            wide, high = max(1.0, self._pixel_aspect), max(1.0, 1 / self._pixel_aspect)
            image = np.asarray(cv2.resize(image, (round(width * wide), round(height * high))), np.uint8)
        return turn(image, self._rotation)
