"""Cameras on the network, as FFmpeg reads them: RTSP, or motion JPEG over HTTP."""

import re
import socket
import time
from typing import Final
from urllib.parse import urlsplit

import cv2

from edge.cameras.camera import Picture
from edge.cameras.opencv import BadFrames, VideoReader
from edge.config.secrets import without_password
from edge.errors import EmotionEdgeError

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


class StreamCamera:
    """A camera on the network: RTSP, or motion JPEG over HTTP."""

    lossless = False

    def __init__(self, url: str) -> None:
        """Raises EmotionEdgeError when it sends no picture within 5 seconds."""
        self.name = f"camera {without_password(url)}"
        self._url = url
        self._video = VideoReader(url, cv2.CAP_FFMPEG, BadFrames(self.name), _STREAM_OPTIONS)
        self._first = self._video.read()
        if self._first is None:
            self._video.close()
            raise EmotionEdgeError(f"{self.name}: {_reason(url)}")

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


def _reason(url: str) -> str:
    """Why a stream does not open, which OpenCV does not tell. The text holds no part of a password."""
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
