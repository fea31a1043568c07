"""Cameras over HTTP: motion JPEG, or an address that returns one picture for each request."""

import logging
import os
import re
import socket
import ssl
import threading
import time
from contextlib import suppress
from http.client import BadStatusLine, HTTPException, HTTPResponse, InvalidURL
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

import cv2
import numpy as np

from edge.cameras.camera import Picture, as_bgr
from edge.cameras.http_request import UnencryptedError, opener, request
from edge.cameras.image_header import image_format, read_header
from edge.cameras.mjpeg_parser import PART_MAX, MjpegParser
from edge.cameras.opencv import BadFrames
from edge.cameras.tls import SETTING, camera_context, untrusted
from edge.config import CameraSettings
from edge.config.address import NO_ADDRESS, UNESCAPED, has_unescaped_login
from edge.config.certificate import client_context
from edge.config.secrets import without_password
from edge.errors import EmotionEdgeError
from edge.reading import Image

_log = logging.getLogger(__name__)

TIMEOUT: Final = 5.0
"""Seconds after which a camera that does not answer, or sends no good picture, counts as lost."""

_RETRY_S: Final = 0.5
_PIXELS_MAX: Final = 50_000_000
_CHUNK: Final = 65536
_END: Final = b"\xff\xd9"


class NotPicturesError(Exception):
    """The address does not answer with pictures, but perhaps with something that FFmpeg reads, such as a video."""


class HttpCamera:
    """A camera that sends motion JPEG as a multipart stream, or one picture for each of `camera.fps` requests a second.

    Pictures that cannot be decoded are skipped.
    """

    lossless = False

    def __init__(self, url: str, settings: CameraSettings) -> None:
        """Open the address and read the first picture.

        Raises:
            EmotionEdgeError: it does not answer, refuses, or sends no picture within 5 seconds.
            NotPicturesError: it sends no pictures, but perhaps a video.
        """
        self.name = f"camera {without_password(url)}"
        self._url = url
        try:
            secure = url.startswith("https:")  # http may redirect to https
            context = camera_context(url, settings.ca_file) if secure else client_context(SETTING, None)
            self._opener = opener(url, context)
        except (OSError, ValueError) as error:
            raise EmotionEdgeError(f"{self.name}: {_reason(url, error)}") from None
        self._period = 1 / settings.fps
        self._closed = threading.Event()
        self._bad_frames = BadFrames(self.name)
        self._parser = MjpegParser()
        # Once an image has had an end marker, later images without one count as cut off.
        self._ends_are_marked = False
        self._damage = ""
        self._connection: socket.socket | None = None
        self._response = self._ask()
        kind = self._response.headers.get_content_type() if "Content-Type" in self._response.headers else ""
        self._polled = kind.startswith("image/")
        try:
            if kind.startswith("text/") or kind in ("application/json", "application/xml"):
                raise EmotionEdgeError(
                    f"{self.name}: answers but sends no video ({kind}): the camera's stream has another address"
                )
            coding = self._response.headers.get("Content-Encoding", "identity")
            if coding != "identity":
                raise EmotionEdgeError(
                    f"{self.name}: sends its pictures compressed ({coding}), unasked: switch that off in the camera, "
                    "or in the proxy before it"
                )
            if not self._polled and not kind.startswith("multipart/"):
                self._sort_out_another_type()
            self._due = time.monotonic()
            self._first = self._image()
        except BaseException:
            self.close()
            raise
        if self._polled:
            _log.info(
                "%s: gives one picture a request: it is asked %g times a second (camera.fps)", self.name, settings.fps
            )

    def read(self) -> Picture | None:
        image, self._first = self._first, None
        if image is None:
            image = self._image()
        return None if image is None else Picture(image, time.monotonic(), bad=self._bad_frames.taken())

    def skip(self) -> bool:
        """Receive the next picture without decoding it."""
        with suppress(EmotionEdgeError):
            return self._part(time.monotonic() + TIMEOUT) is not None
        # The next `read` raises the error, with its reason.
        return False

    def close(self) -> None:
        self._closed.set()
        if self._connection is not None:
            with suppress(OSError):
                # This ends a read for which another thread waits.
                self._connection.shutdown(socket.SHUT_RDWR)
            self._connection.close()

    def _ask(self) -> HTTPResponse:
        """Send the request and return the open response. Raises EmotionEdgeError."""
        try:
            response = self._opener.open(request(self._url), timeout=TIMEOUT)
        except (BadStatusLine, UnicodeEncodeError) as error:
            # The answer is not valid HTTP, or Python cannot encode the password.
            raise NotPicturesError from error
        except (OSError, HTTPException, ValueError) as error:
            # The original error is left out: its text contains the password.
            raise EmotionEdgeError(f"{self.name}: {_reason(self._url, error)}") from None
        assert isinstance(response, HTTPResponse)
        if self._connection is not None:
            self._connection.close()
        self._connection = None if response.isclosed() else socket.socket(fileno=os.dup(response.fileno()))
        return response

    def _sort_out_another_type(self) -> None:
        """Find out what an answer of another content type is. Raises NotPicturesError, and EmotionEdgeError."""
        whole_length = self._response.length
        try:
            start = self._response.read1(_CHUNK)
        except (OSError, HTTPException):
            raise NotPicturesError from None
        if whole_length and image_format(start):  # of a known length: a single picture
            self._polled = True
            self._response.close()
            self._response = self._ask()
        elif start.lstrip(b"\r\n").startswith((b"--", b"\xff\xd8\xff")):
            self._parser.feed(start)
        else:
            raise NotPicturesError

    def _image(self) -> Image | None:
        """Return the next picture that can be decoded, [H, W, 3]; None after `close`. Raises EmotionEdgeError."""
        deadline, bad = time.monotonic() + TIMEOUT, 0
        while time.monotonic() < deadline:
            try:
                part = self._part(deadline)
            except EmotionEdgeError:
                if not self._polled or time.monotonic() > deadline - _RETRY_S:
                    raise
                # A busy camera may refuse a single request.
                bad += 1
                if self._closed.wait(_RETRY_S):
                    return None
                continue
            if part is None:
                return None
            image = self._decoded(part)
            if image is not None:
                self._bad_frames.add(bad)
                return image
            bad += 1
        if bad:
            raise EmotionEdgeError(f"{self.name}: none of {bad} pictures in {TIMEOUT:.0f} s was good: {self._damage}")
        raise EmotionEdgeError(f"{self.name}: nothing came for {TIMEOUT:.0f} s")

    def _part(self, deadline: float) -> bytes | None:
        """Return the next picture file, undecoded; None after `close`. Raises EmotionEdgeError."""
        if self._closed.is_set():
            return None
        if self._polled:
            return self._polled_part()
        while (part := self._parser.next()) is None:
            if time.monotonic() > deadline:
                raise EmotionEdgeError(f"{self.name}: nothing came for {TIMEOUT:.0f} s")
            try:
                data = self._response.read1(_CHUNK)
            except (OSError, HTTPException, ValueError) as error:
                if self._closed.is_set():
                    return None
                hung = isinstance(error, TimeoutError)
                reason = f"nothing came for {TIMEOUT:.0f} s" if hung else f"the connection broke ({error})"
                raise EmotionEdgeError(f"{self.name}: {reason}") from error
            if self._closed.is_set():
                return None
            if not data:
                raise EmotionEdgeError(f"{self.name}: the stream ended")
            self._parser.feed(data)
        return part

    def _polled_part(self) -> bytes | None:
        now = time.monotonic()
        self._due = max(self._due, now - self._period)
        if self._closed.wait(max(0.0, self._due - now)):
            return None
        self._due += self._period
        if self._response.isclosed():
            self._response = self._ask()
        body, deadline = bytearray(), time.monotonic() + TIMEOUT
        try:
            with self._response:
                while data := self._response.read1(_CHUNK):
                    body += data
                    if len(body) > PART_MAX or time.monotonic() > deadline:
                        raise EmotionEdgeError(f"{self.name}: its picture does not end ({len(body)} bytes so far)")
        except (OSError, HTTPException, ValueError) as error:
            if self._closed.is_set():
                return None
            raise EmotionEdgeError(f"{self.name}: a picture broke off ({error})") from error
        return None if self._closed.is_set() else bytes(body)

    def _decoded(self, data: bytes) -> Image | None:
        """Decode an image file; return None if it is damaged."""
        try:
            header = read_header(data)
        except EmotionEdgeError as error:
            self._damage = str(error)
            return None
        self._damage = "it is damaged or not whole"
        if header.width * header.height > _PIXELS_MAX:
            self._damage = f"it has {header.width} x {header.height} pixels"
            return None
        if header.format == "JPEG":
            whole = data.rstrip(b"\0\r\n").endswith(_END)
            if self._ends_are_marked and not whole:
                return None
            self._ends_are_marked |= whole
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:
            return None
        return None if image is None else as_bgr(np.asarray(image, np.uint8))


def _reason(url: str, error: Exception) -> str:
    """Describe why an address could not be opened, without any part of its password."""
    if has_unescaped_login(url):
        return UNESCAPED
    if isinstance(error, HTTPError):
        with suppress(OSError):
            error.close()
        if error.code == 401 and "@" not in url:
            return "asks for a user name and a password: write them into the address, http://user:password@..."
        if error.code in (401, 403):
            return f"refuses the user name or the password ({error.code} {error.reason})"
        if "infinite loop" in str(error.reason):
            # The error's own text has three lines.
            return f"answers but sends no video ({error.code}: it is redirected without end): check the path"
        return f"answers but sends no video ({error.code} {error.reason}): check the path"
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return untrusted(cause)
    # The pattern matches the message of urllib's login handler for an unknown kind of login.
    if scheme := re.search("not support the following scheme: '([^']*)'", str(error)):
        return (
            f"asks for a login of the kind {scheme[1]}, which is not known here: choose Basic or Digest in the camera"
        )
    if isinstance(error, UnencryptedError):
        return f"{error.reason}, which protects neither pictures nor password: to allow it, write the http address"
    if isinstance(error, InvalidURL | ValueError):
        return NO_ADDRESS
    if isinstance(error, HTTPException):
        return f"answers, but not as HTTP wants it ({error})"
    parts = urlsplit(url)
    where = f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
    if isinstance(cause, TimeoutError):
        return f"{where} does not answer within {TIMEOUT:.0f} s"
    return f"{where} does not answer ({getattr(cause, 'strerror', None) or cause})"
