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
from edge.outputs.web.bodies import Bodies
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

SLOW_S: Final = 2.0
"""Seconds that an upload may always take."""

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
        self.bodies = Bodies(HELD_MAX, RECEIVING_MAX, SLOW_S)
        self._read = read
        self._draw = draw
        self._decoder = ImageDecoder()
        self._pool = ThreadPoolExecutor(1, "web-uploads", initializer=below_the_analysis)

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

    async def prepare(self) -> None:
        await super().prepare()
        self.require_post(BYTES_MAX, f"The picture is larger than {BYTES_MAX // 1024**2} MB")
        if not self.reader.bodies.begin(self):
            raise HTTPError(503, reason="Other pictures are being sent: try again in a moment")
        connection: Any = self.request.connection
        connection.set_max_body_size(BYTES_MAX)

    def data_received(self, chunk: bytes) -> None:
        self.reader.bodies.extend(self, chunk)

    async def post(self) -> None:
        body = self.reader.bodies.take(self)
        if body is None or self.reader.waiting >= WAITING_MAX:
            raise HTTPError(503, reason="Other pictures are being read: try again in a moment")
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
        self.reader.bodies.end(self)
        super().on_finish()

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self.reader.bodies.end(self)
