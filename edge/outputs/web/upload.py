"""A picture that somebody gives to the page: read, handed back annotated, and forgotten."""

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
from edge.outputs.messages import faces_message
from edge.outputs.web.access import Access, Handler
from edge.outputs.web.mjpeg import behind_the_analysis
from edge.reading import Frame, Reading

_log = logging.getLogger(__name__)

BYTES_MAX: Final = 16 * 1024 * 1024
WAITING_MAX: Final = 3
Read = Callable[[Frame], Reading]
"""What is seen in one picture that has nothing to do with any other; it may take a second."""


class Pictures:
    """Reads pictures one at a time in a thread that gives way to the analysis. Nothing is kept."""

    def __init__(self, read: Read, draw: JpegEncoder) -> None:
        """read: called in that thread alone. Raises whatever it raises, EmotionEdgeError with words for people."""
        self.waiting = 0
        self._read = read
        self._draw = draw
        self._decoder = ImageDecoder()
        self._pool = ThreadPoolExecutor(1, "web-pictures", initializer=behind_the_analysis)

    async def answer(self, data: Bytes) -> str:
        """The JSON for a picture file: `reading` as on the topic `faces`, `picture` as a data URL.

        Raises EmotionEdgeError for what is no picture.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._answer, data)

    def close(self) -> None:
        """Begin no more, and give up an image that is being decoded."""
        self._decoder.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _answer(self, data: Bytes) -> str:
        frame = Frame(self._decoder.decode(data), time.monotonic(), time.time(), 1)
        reading = self._read(frame)
        picture = b64encode(self._draw(frame, reading)).decode()
        return json.dumps({"reading": faces_message(reading), "picture": f"data:image/jpeg;base64,{picture}"})


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
