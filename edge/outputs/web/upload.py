"""Images that visitors upload to the page: analysed, sent back annotated, and not kept."""

import asyncio
import json
import logging
import time
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from tornado.web import HTTPError, stream_request_body

from edge.cameras.image_decoder import ImageDecoder
from edge.cameras.image_header import Bytes
from edge.errors import EmotionEdgeError
from edge.outputs.drawing.jpeg import JpegEncoder
from edge.outputs.web.access import PageAccess
from edge.outputs.web.handler import PageHandler
from edge.outputs.web.mjpeg import below_the_analysis
from edge.reading import Frame, Reading

_log = logging.getLogger(__name__)

BYTES_MAX: Final = 16 * 1024 * 1024
"""Maximum bytes of one image."""

HELD_MAX: Final = 48 * 1024 * 1024
"""Maximum bytes of all uploads together in memory."""

WAITING_MAX: Final = 3
"""Maximum number of complete images that wait for the analysis or are being analysed."""

RECEIVING_MAX: Final = 8
"""Maximum number of uploads that are being received; one more ends the slowest."""

_SLOW_S: Final = 2.0
"""Age in seconds below which an upload never counts as the slowest."""

Read = Callable[[Frame], Reading]
"""Analyses one frame by itself; a call may take a second."""


class ImageReader:
    """Analyses uploaded images one at a time, in a thread of lower priority than the analysis of the camera."""

    def __init__(self, read: Read, draw: JpegEncoder) -> None:
        """Start the thread.

        Args:
            read: analyses an image, called in that thread only. May raise EmotionEdgeError, whose text is sent to the
                client.
            draw: makes the annotated image that is sent back.
        """
        self.waiting = 0
        self.receiving: set[UploadHandler] = set()
        self._read = read
        self._draw = draw
        self._decoder = ImageDecoder()
        self._pool = ThreadPoolExecutor(1, "web-uploads", initializer=below_the_analysis)

    @property
    def held(self) -> int:
        """Bytes of the uploads that are being received."""
        return sum(len(upload.body) for upload in self.receiving)

    async def answer(self, data: Bytes) -> str:
        """Return JSON for an image file: `reading` as on the topic `faces`, `picture` as a data URL.

        Raises EmotionEdgeError if it cannot be decoded.
        """
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._answer, data)
        finally:
            self.waiting -= 1

    def close(self) -> None:
        """Start no further analysis, and drop an image that is being decoded."""
        self._decoder.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _answer(self, data: Bytes) -> str:
        frame = Frame(self._decoder.decode(data), time.monotonic(), time.time(), 1)
        reading = self._read(frame)
        picture = b64encode(self._draw(frame, reading)).decode()
        return json.dumps({"reading": reading.to_dict(), "picture": f"data:image/jpeg;base64,{picture}"})


@stream_request_body
class UploadHandler(PageHandler):
    """Answers POST of an image file with JSON, or with one line of text in case of an error."""

    def initialize(self, access: PageAccess, reader: ImageReader) -> None:  # type: ignore[override]
        super().initialize(access)
        self.reader = reader
        self.body = bytearray()
        self.began = time.monotonic()
        self.crowded = False

    @property
    def rate(self) -> float:
        """Mean rate of the upload so far, in bytes per second."""
        return len(self.body) / (time.monotonic() - self.began)

    async def prepare(self) -> None:
        await super().prepare()
        self.require_post(BYTES_MAX, f"The picture is larger than {BYTES_MAX // 1024**2} MB")
        if len(self.reader.receiving) >= RECEIVING_MAX and not self._end_slowest():
            raise HTTPError(503, reason="Other pictures are being sent: try again in a moment")
        self.began = time.monotonic()
        self.reader.receiving.add(self)
        connection: Any = self.request.connection
        connection.set_max_body_size(BYTES_MAX)

    def data_received(self, chunk: bytes) -> None:
        if self.reader.held + len(chunk) > HELD_MAX:
            self.crowded = True
            self.body.clear()
        elif not self.crowded:
            self.body += chunk

    async def post(self) -> None:
        self.reader.receiving.discard(self)
        if self.crowded or self.reader.waiting >= WAITING_MAX:
            raise HTTPError(503, reason="Other pictures are being read: try again in a moment")
        body, self.body = self.body, bytearray()
        try:
            answer = await self.reader.answer(body)
        except EmotionEdgeError as error:
            self.set_status(422)
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.finish(f"{error}\n")
            return
        self.set_header("Content-Type", "application/json")
        self.finish(answer)

    def on_finish(self) -> None:
        self.reader.receiving.discard(self)
        super().on_finish()

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self.reader.receiving.discard(self)

    def _end_slowest(self) -> bool:
        now = time.monotonic()
        slowest = min(
            (upload for upload in self.reader.receiving if now - upload.began > _SLOW_S),
            key=lambda upload: upload.rate,
            default=None,
        )
        if slowest is None:
            return False
        connection: Any = slowest.request.connection
        self.reader.receiving.discard(slowest)
        connection.stream.close()
        return True
