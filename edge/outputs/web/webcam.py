"""Analyses frames that a visitor's browser sends from its own camera, one after another; none is kept."""

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
from edge.outputs.web.bodies import Bodies
from edge.outputs.web.handler import PageHandler
from edge.outputs.web.mjpeg import below_the_analysis
from edge.reading import Frame, Reading

BYTES_MAX: Final = 512 * 1024
"""Maximum bytes of one frame; the page sends JPEG of 640 pixels' width, about 40 kB."""

LIMITS: Final = ImageLimits(WEB_FORMATS, 1280 * 1280, 0, 60, 2)
SESSIONS_MAX: Final = 2
"""Maximum number of browsers at a time: each has networks of its own."""

RECEIVING_MAX: Final = 32
"""Maximum number of frames that are being received at a time; one more ends the slowest."""

HELD_MAX: Final = 4 << 20
"""Maximum bytes of all frames together."""

SLOW_S: Final = 0.25
"""Seconds that receiving a frame may always take."""

RECEIVING_S: Final = 5.0
"""Seconds after which a frame that is still being received is dropped, and its client disconnected."""

INTERVAL_S: Final = 0.08
"""Minimum seconds between two frames of one browser."""

IDLE_S: Final = 10.0
"""Seconds without a frame after which a browser's session ends."""

Analyse = Callable[[Frame], Reading]


@dataclass(slots=True)
class _Session:
    """Session of one browser. analyse: tracks faces from frame to frame; opened with the first frame."""

    last: float
    analyse: Analyse | None = None
    frames: int = 0
    busy: bool = field(default=False)


class Webcams:
    """Analyses frames of browsers' cameras in a thread of lower priority than the board's analysis. Nothing is kept.

    All methods belong to the server's thread.
    """

    def __init__(self, open_analysis: Callable[[], Analyse]) -> None:
        """Start the thread. open_analysis: opens networks and a tracker for one session; called in that thread."""
        self._open = open_analysis
        self.bodies = Bodies(HELD_MAX, RECEIVING_MAX, SLOW_S)
        self._sessions: dict[str, _Session] = {}
        self._decoder = ImageDecoder()
        self._pool = ThreadPoolExecutor(1, "web-webcam", initializer=below_the_analysis)

    def admit(self, name: str, now: float) -> None:
        """Admit a frame of a session. Raises HTTPError if it comes too early or too many sessions are open."""
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
        """End the handling of a frame that was admitted."""
        if session := self._sessions.get(name):
            session.busy = False

    async def answer(self, name: str, data: Bytes) -> str:
        """Return the Reading of a frame as JSON, as on the topic `faces`. Raises EmotionEdgeError if it is no image."""
        session = self._sessions[name]
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._analysed, session, data)

    def close(self) -> None:
        """Start no further analysis."""
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
    """Answers POST of one frame, `?session=NAME`, with its Reading as JSON, without any image."""

    def initialize(self, access: PageAccess, webcams: Webcams) -> None:  # type: ignore[override]
        super().initialize(access)
        self.webcams = webcams
        self.session = ""

    async def prepare(self) -> None:
        await super().prepare()
        self.require_post(BYTES_MAX, f"A frame is at most {BYTES_MAX // 1024} KB")
        self.session = self.get_query_argument("session", "")
        if not 1 <= len(self.session) <= 32:
            raise HTTPError(400, reason="session must be a name of 1 to 32 letters")
        if not self.webcams.bodies.begin(self):
            raise HTTPError(429, reason="Other frames are being sent")
        connection: Any = self.request.connection
        connection.set_max_body_size(BYTES_MAX)
        connection.set_body_timeout(RECEIVING_S)

    def data_received(self, chunk: bytes) -> None:
        self.webcams.bodies.extend(self, chunk)

    async def post(self) -> None:
        body = self.webcams.bodies.take(self)
        if body is None:
            raise HTTPError(429, reason="Other frames are being sent")
        self.webcams.admit(self.session, time.monotonic())
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

    def on_finish(self) -> None:
        self.webcams.bodies.end(self)
        super().on_finish()

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self.webcams.bodies.end(self)
