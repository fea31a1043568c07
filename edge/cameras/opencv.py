"""Cameras that OpenCV reads: V4L2 and USB devices, video files, RTSP and HTTP streams."""

import os
import re
import socket
import threading
import time
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

# FFmpeg would write its own complaint to the terminal at each try to reopen; ours say the same once. It reads this
# when OpenCV opens the first video.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2
import numpy as np

from edge.cameras.camera import Pace, Picture, as_bgr, plausible
from edge.cameras.v4l2 import device_problem
from edge.config import CameraSettings
from edge.config.secrets import without_password
from edge.errors import EmotionEdgeError
from edge.reading import Image

# OpenCV's own warnings likewise: errors only. OpenCV 4 and 5 have the function in different places.
_cv2: Any = cv2
(getattr(_cv2, "setLogLevel", None) or _cv2.utils.logging.setLogLevel)(2)

STREAM_SCHEMES: Final = ("rtsp", "rtsps", "http", "https")

_TIMEOUT: Final = 5.0
"""Seconds after which a stream that does not open, or sends nothing more, is given up."""
_STREAM_OPTIONS: Final = (
    cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
    int(_TIMEOUT * 1000),
    cv2.CAP_PROP_READ_TIMEOUT_MSEC,
    int(_TIMEOUT * 1000),
)
_PORTS: Final = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
_DEVICE_BUFFERS: Final = 2
"""One is filled while the other is read; with a single one the driver has nowhere to put every second picture."""


class _Video:
    """A cv2.VideoCapture that one thread may close while another reads it."""

    def __init__(self, source: str, backend: int, options: tuple[int, ...] = ()) -> None:
        self._open = (source, backend, options)
        self._reading = threading.Lock()
        self.capture = cv2.VideoCapture(source, backend, options)
        self.closed = threading.Event()

    def read(self) -> Image | None:
        """The next picture as BGR, or None: there is none, or it was closed."""
        with self._reading:
            if self.closed.is_set():
                return None
            found, image = self.capture.read()
            if self.closed.is_set():  # close() did not wait for this read to end
                self.capture.release()
                return None
        return as_bgr(image.astype(np.uint8, copy=False)) if found and image is not None and image.size else None

    def skip(self) -> bool:
        """Let the next picture pass: a device's is not decompressed then, a stream's not converted."""
        with self._reading:
            if self.closed.is_set():
                return False
            there = bool(self.capture.grab())
            if self.closed.is_set():  # as in `read`
                self.capture.release()
            return there and not self.closed.is_set()

    def restart(self) -> None:
        """Begin a file again."""
        with self._reading:
            if not self.closed.is_set():
                self.capture.open(*self._open)

    def close(self) -> None:
        self.closed.set()
        if self._reading.acquire(timeout=0.3):
            self.capture.release()
            self._reading.release()


class DeviceCamera:
    """A V4L2 device, such as a USB camera."""

    lossless = False

    def __init__(self, path: str, settings: CameraSettings) -> None:
        """path: /dev/video0, or a link to it. Raises EmotionEdgeError when it gives no picture."""
        self.name = f"camera {path}"
        self._path = path
        problem = device_problem(path)
        if problem:
            raise EmotionEdgeError(f"{self.name}: {problem}")
        self._video = _Video(path, cv2.CAP_V4L2)
        # Compressed, or USB 2 has no room for more than a few uncompressed pictures a second; it has to be set first.
        self._video.capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        self._video.capture.set(cv2.CAP_PROP_FRAME_WIDTH, settings.width)
        self._video.capture.set(cv2.CAP_PROP_FRAME_HEIGHT, settings.height)
        self._video.capture.set(cv2.CAP_PROP_FPS, settings.fps)
        self._video.capture.set(cv2.CAP_PROP_BUFFERSIZE, _DEVICE_BUFFERS)
        if self._video.read() is None:
            self._video.close()
            raise EmotionEdgeError(f"{self.name}: opens but gives no picture (another program may be using it)")

    def read(self) -> Picture | None:
        image = self._video.read()
        if image is None:
            if self._video.closed.is_set():
                return None
            raise EmotionEdgeError(f"{self.name}: {device_problem(self._path) or 'gives no picture any more'}")
        # V4L2 drivers stamp pictures on the clock of time.monotonic().
        return Picture(image, plausible(self._video.capture.get(cv2.CAP_PROP_POS_MSEC) / 1000))

    def skip(self) -> bool:
        return self._video.skip()

    def close(self) -> None:
        self._video.close()


class StreamCamera:
    """A camera on the network: RTSP, or motion JPEG over HTTP."""

    lossless = False

    def __init__(self, url: str) -> None:
        """Raises EmotionEdgeError when it sends no picture within 5 seconds."""
        self.name = f"camera {without_password(url)}"
        self._url = url
        self._video = _Video(url, cv2.CAP_FFMPEG, _STREAM_OPTIONS)
        self._first = self._video.read()
        if self._first is None:
            self._video.close()
            raise EmotionEdgeError(f"{self.name}: {_stream_problem(url)}")

    def read(self) -> Picture | None:
        began = time.monotonic()
        image, self._first = self._first, None
        if image is None:
            image = self._video.read()
        now = time.monotonic()
        if image is None:
            if self._video.closed.is_set():
                return None
            hung = now - began > 0.9 * _TIMEOUT
            raise EmotionEdgeError(
                f"{self.name}: {f'nothing came for {_TIMEOUT:.0f} s' if hung else 'the stream ended'}"
            )
        return Picture(image, now)

    def skip(self) -> bool:
        return self._video.skip()

    def close(self) -> None:
        self._video.close()


class VideoFile:
    """A video file, at its own pace or as fast as it is read, once or over and over."""

    def __init__(self, path: Path, settings: CameraSettings) -> None:
        """Raises EmotionEdgeError when it is missing or no picture of it can be decoded."""
        self.name = f"video {path}"
        self.lossless = not settings.realtime
        self._loop = settings.loop
        if not path.is_file():
            raise EmotionEdgeError(f"{self.name}: not there")
        self._video = _Video(str(path), cv2.CAP_FFMPEG)
        self._next = self._video.read()
        if self._next is None:
            self._video.close()
            raise EmotionEdgeError(f"{self.name}: cannot be decoded (not a video, or of a kind OpenCV does not read)")
        fps = self._video.capture.get(cv2.CAP_PROP_FPS)
        self._pace = Pace(fps if 0 < fps <= 240 else settings.fps) if settings.realtime else Pace(0)

    def read(self) -> Picture | None:
        image, self._next = self._next, None
        if image is None:
            image = self._video.read()
        if image is None and self._loop:
            self._video.restart()
            image = self._video.read()
            if image is None and not self._video.closed.is_set():
                raise EmotionEdgeError(f"{self.name}: cannot be read again from its beginning")
        if image is None or self._video.closed.wait(self._pace.delay()):
            return None
        return Picture(image, time.monotonic())

    def close(self) -> None:
        self._video.close()


def _stream_problem(url: str) -> str:
    """Why a stream does not open: OpenCV does not say. What may be part of a password is not said."""
    if re.search("[/?#]", url.partition("://")[2].rpartition("@")[0]):
        return "cannot be opened (in a user name or password, write / as %2F, ? as %3F and # as %23)"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        with socket.create_connection((host, port), timeout=2):
            return f"{host}:{port} answers but sends no video (check the path, the user name and the password)"
    except ValueError:
        return "not an address (is there a : with anything but a port after it, or a [ without its ]?)"
    except OSError as error:
        return f"{host}:{port} does not answer ({error.strerror or error})"
