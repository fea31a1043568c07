"""The camera of a browser: frames that the page's own visitor sends, analysed one after another, and forgotten."""

import asyncio
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from tornado.web import HTTPError, stream_request_body

from edge.cameras.image_decoder import ImageDecoder, ImageLimits
from edge.cameras.image_header import WEB_FORMATS, Bytes
from edge.errors import EmotionEdgeError
from edge.outputs.web.access import PageAccess
from edge.outputs.web.handler import PageHandler
from edge.outputs.web.mjpeg import below_the_analysis
from edge.reading import Frame, Reading

BYTES_MAX: Final = 512 * 1024
"""Bytes of one frame; the page sends JPEG of 640 pixels' width, about 40 kB."""

LIMITS: Final = ImageLimits(WEB_FORMATS, 1280 * 1280, 0, 60, 2)
SESSIONS_MAX: Final = 2
"""Browsers at once: each has networks of its own."""

RECEIVING_MAX: Final = 8
"""Frames on their way at once; together they take 4 MB."""

INTERVAL_S: Final = 0.08
"""Least time between two frames of one browser."""

IDLE_S: Final = 10.0
"""A browser that sends nothing for this long gives its place up."""

Analyse = Callable[[Frame], Reading]


@dataclass(slots=True)
class _Session:
    """analyse: tracks faces from frame to frame; opened with the first frame, in the thread that runs it."""

    last: float
    analyse: Analyse | None = None
    frames: int = 0
    busy: bool = field(default=False)


class Webcams:
    """Analyses the frames of browsers' cameras in a thread that gives way to the board's own. Nothing is kept.

    All methods belong to the server's thread. receiving: requests whose body is on its way.
    """

    def __init__(self, open_analysis: Callable[[], Analyse]) -> None:
        """open_analysis: opens networks and a tracker of their own; called in the thread that runs them."""
        self._open = open_analysis
        self.receiving: set[WebcamHandler] = set()
        self._sessions: dict[str, _Session] = {}
        self._decoder = ImageDecoder()
        self._pool = ThreadPoolExecutor(1, "web-webcam", initializer=below_the_analysis)

    def admit(self, name: str, now: float) -> None:
        """Admit a frame of this session. Raises HTTPError if it comes too early or too many sessions are open."""
        self._sessions = {key: one for key, one in self._sessions.items() if one.busy or now - one.last < IDLE_S}
        session = self._sessions.get(name)
        if session is None:
            if len(self._sessions) >= SESSIONS_MAX:
                raise HTTPError(503, reason="Other browsers' cameras are being read: try again in a moment")
            self._sessions[name] = _Session(now)
        elif session.busy or now - session.last < INTERVAL_S:
            raise HTTPError(429, reason="Too many frames")
        self._sessions[name].last = now
        self._sessions[name].busy = True

    def release(self, name: str) -> None:
        """The frame is done with."""
        if session := self._sessions.get(name):
            session.busy = False

    async def answer(self, name: str, data: Bytes) -> str:
        """The Reading of a frame as JSON, as on the topic `faces`. Raises EmotionEdgeError for what is no image."""
        session = self._sessions[name]
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._analysed, session, data)

    def close(self) -> None:
        """Begin no more."""
        self._decoder.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _analysed(self, session: _Session, data: Bytes) -> str:
        image = self._decoder.decode(data, LIMITS)
        if session.analyse is None:
            session.analyse = self._open()
        session.frames += 1
        frame = Frame(image, time.monotonic(), time.time(), session.frames)
        return json.dumps(session.analyse(frame).to_dict())


@stream_request_body
class WebcamHandler(PageHandler):
    """POST of one frame, `?session=NAME`; the answer is its Reading as JSON, without any image."""

    def initialize(self, access: PageAccess, webcams: Webcams) -> None:  # type: ignore[override]
        super().initialize(access)
        self.webcams = webcams
        self.body = bytearray()
        self.session = ""

    async def prepare(self) -> None:
        await super().prepare()
        self.require_post(BYTES_MAX, f"A frame is at most {BYTES_MAX // 1024} KB")
        self.session = self.get_query_argument("session", "")
        if not 1 <= len(self.session) <= 32:
            raise HTTPError(400, reason="session must be a name of 1 to 32 letters")
        if len(self.webcams.receiving) >= RECEIVING_MAX:
            raise HTTPError(503, reason="Other frames are being sent: try again in a moment")
        self.webcams.receiving.add(self)
        connection: Any = self.request.connection
        connection.set_max_body_size(BYTES_MAX)

    def data_received(self, chunk: bytes) -> None:
        self.body += chunk

    async def post(self) -> None:
        self.webcams.receiving.discard(self)
        self.webcams.admit(self.session, time.monotonic())
        body, self.body = self.body, bytearray()
        try:
            answer = await self.webcams.answer(self.session, body)
        except EmotionEdgeError as error:
            self.set_status(422)
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.finish(f"{error}\n")
            return
        finally:
            self.webcams.release(self.session)
        self.set_header("Content-Type", "application/json")
        self.finish(answer)

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self.webcams.receiving.discard(self)
