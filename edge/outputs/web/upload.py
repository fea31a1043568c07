"""A picture that somebody gives to the page: read, handed back annotated, and forgotten."""

import asyncio
import json
import logging
import struct
import time
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import cv2
import numpy as np
from tornado.web import HTTPError, stream_request_body

from edge.cameras.camera import as_bgr
from edge.errors import EmotionEdgeError
from edge.outputs.drawing.jpeg import Draw
from edge.outputs.messages import faces_message
from edge.outputs.web.access import Access, Handler
from edge.outputs.web.mjpeg import behind_the_analysis, narrowed
from edge.reading import Frame, Image, Reading

_log = logging.getLogger(__name__)

BYTES_MAX: Final = 16 * 1024 * 1024
PIXELS_MAX: Final = 50_000_000
"""What a phone's camera makes; decoded, a picture takes three bytes of memory a pixel."""

WAITING_MAX: Final = 3
_LONGEST: Final = 1920
"""To this many pixels, the longer side is scaled down before anything else."""

Bytes = bytes | bytearray
Read = Callable[[Frame], Reading]
"""What is seen in one picture that has nothing to do with any other; it may take a second."""


class Pictures:
    """Reads pictures one at a time in a thread that gives way to the analysis. Nothing is kept."""

    def __init__(self, read: Read, draw: Draw) -> None:
        """read: called in that thread alone. Raises whatever it raises, EmotionEdgeError with words for people."""
        self.waiting = 0
        self._read = read
        self._draw = draw
        self._pool = ThreadPoolExecutor(1, "web-pictures", initializer=behind_the_analysis)

    async def answer(self, data: Bytes) -> str:
        """The JSON for a picture file: `reading` as on the topic `faces`, `picture` as a data URL.

        Raises EmotionEdgeError for what is no picture.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._answer, data)

    def close(self) -> None:
        """Begin no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _answer(self, data: Bytes) -> str:
        image = decoded(data)
        frame = Frame(image, time.monotonic(), time.time(), 1)
        reading = self._read(frame)
        picture = b64encode(self._draw(frame, reading)).decode()
        return json.dumps({"reading": faces_message(reading), "picture": f"data:image/jpeg;base64,{picture}"})


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


@stream_request_body
class PictureIn(Handler):
    """POST of a picture file; the answer is JSON, or a line of text that says what is wrong with it."""

    def initialize(self, access: Access, pictures: Pictures) -> None:  # type: ignore[override]
        super().initialize(access)
        self.pictures = pictures
        self.body = bytearray()
        self.taken = False
        self.whole = False

    async def prepare(self) -> None:
        await super().prepare()
        if self.request.method != "POST":
            raise HTTPError(405)
        length = self.request.headers.get("Content-Length", "")
        if length.isdecimal() and int(length) > BYTES_MAX:
            raise HTTPError(413, reason=f"The picture is larger than {BYTES_MAX // 1024**2} MB")
        if self.pictures.waiting >= WAITING_MAX:
            raise HTTPError(503, reason="Other pictures are being read: try again in a moment")
        self.pictures.waiting += 1
        self.taken = True
        connection: Any = self.request.connection
        connection.set_max_body_size(BYTES_MAX)

    def data_received(self, chunk: bytes) -> None:
        self.body += chunk

    async def post(self) -> None:
        self.whole = True
        try:
            answer = await self.pictures.answer(self.body)
        except EmotionEdgeError as error:
            self.set_status(422)
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.finish(f"{error}\n")
            return
        finally:  # not when its sender leaves: it takes memory for as long as it waits
            self._leave()
        self.set_header("Content-Type", "application/json")
        self.finish(answer)

    def on_connection_close(self) -> None:
        super().on_connection_close()
        if not self.whole:
            self._leave()

    def _leave(self) -> None:
        self.body = bytearray()
        if self.taken:
            self.taken = False
            self.pictures.waiting -= 1
