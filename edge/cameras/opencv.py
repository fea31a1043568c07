"""What all readers by OpenCV share: a cv2.VideoCapture that one thread may close while another reads it."""

import os
import threading
from typing import Any

# FFmpeg would write its own complaint to the terminal at each try to reopen; ours say the same once. It reads this
# when OpenCV opens the first video.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2
import numpy as np

from edge.cameras.camera import as_bgr
from edge.reading import Image

# OpenCV's own warnings likewise: errors only. OpenCV 4 and 5 have the function in different places.
_cv2: Any = cv2
(getattr(_cv2, "setLogLevel", None) or _cv2.utils.logging.setLogLevel)(2)


class VideoReader:
    """A cv2.VideoCapture that one thread may close while another reads it."""

    def __init__(self, source: str, backend: int, options: tuple[int, ...] = ()) -> None:
        """Open the source; `read` returns None where that failed.

        Args:
            source: what cv2.VideoCapture opens: a path or an address.
            backend: one of `cv2.CAP_*`.
            options: property, value, property, value, ... as cv2.VideoCapture takes them.
        """
        self._arguments = (source, backend, options)
        self._reading = threading.Lock()
        self.capture = cv2.VideoCapture(source, backend, options)
        self.closed = threading.Event()

    def read(self) -> Image | None:
        """The next picture as BGR; None where there is none, or the reader was closed."""
        with self._reading:
            if self.closed.is_set():
                return None
            found, image = self.capture.read()
            if self.closed.is_set():  # close() did not wait for this read to end
                self.capture.release()
                return None
        return as_bgr(image.astype(np.uint8, copy=False)) if found and image is not None and image.size else None

    def skip(self) -> bool:
        """Pass over the next picture: a device's is not decompressed then, a stream's not converted."""
        with self._reading:
            if self.closed.is_set():
                return False
            grabbed = bool(self.capture.grab())
            if self.closed.is_set():  # as in `read`
                self.capture.release()
            return grabbed and not self.closed.is_set()

    def restart(self) -> None:
        """Begin a file again."""
        with self._reading:
            if not self.closed.is_set():
                self.capture.open(*self._arguments)

    def close(self) -> None:
        """Release the source, or leave that to a read that takes longer than 0.3 s."""
        self.closed.set()
        if self._reading.acquire(timeout=0.3):
            self.capture.release()
            self._reading.release()
