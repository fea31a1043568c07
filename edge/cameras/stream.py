"""Cameras on the network that FFmpeg reads: RTSP, or a video over HTTP."""

import re
import socket
import ssl
import time
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import cv2

from edge.cameras.camera import Picture
from edge.cameras.opencv import BadFrames, VideoReader
from edge.cameras.tls import TLS_PORTS, untrusted
from edge.config.address import NO_ADDRESS, UNESCAPED, has_unescaped_login
from edge.config.secrets import without_password
from edge.errors import EmotionEdgeError

_TIMEOUT: Final = 5.0
"""Seconds after which a stream that sends nothing counts as lost."""
_OPEN_TIMEOUT: Final = 10.0
"""Seconds that opening may take: FFmpeg itself probes the stream for 5 s if no key frame comes."""
_FIRST_PICTURE_S: Final = 20.0
"""Seconds to wait for the first picture of an open stream."""
_STREAM_OPTIONS: Final = (
    cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
    int(_OPEN_TIMEOUT * 1000),
    cv2.CAP_PROP_READ_TIMEOUT_MSEC,
    int(_TIMEOUT * 1000),
)
_PORTS: Final = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}


class StreamCamera:
    """A camera on the network: RTSP, or a video over HTTP."""

    lossless = False

    def __init__(self, url: str, ca_file: Path | None = None) -> None:
        """Open the address and read the first picture.

        Args:
            url: of the camera.
            ca_file: certificates to trust, PEM; None: the system's authorities.

        Raises:
            EmotionEdgeError: the camera's certificate is not trusted, the stream does not open within 10 seconds, or no
                picture follows within 20 more.
        """
        self.name = f"camera {without_password(url)}"
        self._relay = None
        if url.startswith(tuple(f"{scheme}://" for scheme in TLS_PORTS)):
            # Imported here, because few cameras need it.
            from edge.cameras.tls_relay import TlsRelay

            try:
                self._relay = TlsRelay(url, ca_file)
            except EmotionEdgeError as error:
                raise EmotionEdgeError(f"{self.name}: {error}") from None
            except ssl.SSLCertVerificationError as error:
                raise EmotionEdgeError(f"{self.name}: {untrusted(error)}") from None
            except (OSError, ValueError):
                raise EmotionEdgeError(f"{self.name}: {_reason(url)}") from None
        self._bad_frames = BadFrames(self.name)
        opened = self._relay.url if self._relay else url
        self._video = VideoReader(opened, cv2.CAP_FFMPEG, self._bad_frames, _STREAM_OPTIONS)
        # No picture can be decoded before the first key frame; some cameras send one only every 10 s or more.
        self._first, deadline = None, time.monotonic() + _FIRST_PICTURE_S
        while self._first is None and self._video.capture.isOpened() and time.monotonic() < deadline:
            began = time.monotonic()
            self._first = self._video.read()
            if time.monotonic() - began < 0.1:
                # The read did not wait for data: the stream has ended.
                break
        if self._first is None:
            self.close()
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
        return Picture(image, now, bad=self._bad_frames.taken())

    def skip(self) -> bool:
        return self._video.skip()

    def close(self) -> None:
        self._video.close()
        if self._relay:
            self._relay.close()


def _reason(url: str) -> str:
    """Describe why a stream does not open, which OpenCV does not tell, without any part of its password."""
    if has_unescaped_login(url):
        return UNESCAPED
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        with socket.create_connection((host, port), timeout=2) as connection:
            status = _rtsp_status(connection, parts._replace(netloc=f"{host}:{port}").geturl())
        match status:
            case 401 if parts.username is None:
                return f"asks for a user name and a password: write them into the address, {parts.scheme}://user:..."
            case 404:
                return f"{host}:{port} has no stream at this address: check the path"
        return f"{host}:{port} answers but sends no video (check the path, the user name and the password)"
    except ValueError:
        return NO_ADDRESS
    except OSError as error:
        return f"{host}:{port} does not answer ({error.strerror or error})"


def _rtsp_status(connection: socket.socket, url: str) -> int:
    """Send a DESCRIBE request without a password (RFC 2326) and return its status; 0 if the answer is not RTSP."""
    if not url.startswith("rtsp:"):
        return 0
    try:
        connection.sendall(f"DESCRIBE {url} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n".encode())
        answer = re.match(rb"RTSP/1\.\d (\d{3})", connection.recv(64))
    except OSError:
        return 0
    return int(answer[1]) if answer else 0
