"""The annotated MJPEG stream, in the width that each viewer requests, and the newest frame as one JPEG."""

import asyncio
import logging
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Final

import cv2
from tornado.web import HTTPError

from edge.cameras.images import narrowed
from edge.outputs.drawing.jpeg import JpegEncoder
from edge.outputs.web.access import PageAccess
from edge.outputs.web.handler import PageHandler
from edge.outputs.web.latest import LatestReading
from edge.outputs.web.streaming import StreamingHandler
from edge.reading import Frame, Reading

_log = logging.getLogger(__name__)

WIDTHS: Final = (320, 480, 640, 960, 1280, 1920)
"""Stream widths in pixels besides the camera's own. Few, so that viewers share encoded frames."""

RATE: Final = 15.0
"""Maximum pictures a second for one viewer: enough to follow a face, and half the work of 30."""

SENDS_MAX: Final = 300
"""Maximum pictures a second to all viewers together: with more than 20, each gets fewer, to spare the analysis."""

_NICENESS: Final = 10


@dataclass(eq=False)
class StreamViewer:
    """A client of the MJPEG stream.

    Attributes:
        width: requested pixels; 0 for the camera's own width.
        page: id that the client's page gave itself.
        new: set when `jpeg` was replaced.
        jpeg: the newest encoded frame; it replaces one that was not sent in time.
        of: the frame and Reading that `jpeg` shows.
    """

    width: int
    page: str
    new: asyncio.Event
    jpeg: bytes = b""
    of: tuple[Frame, Reading] | None = None


class StreamEncoder:
    """Annotates and encodes the newest frame once per width, and only while there are viewers.

    All methods belong to the server's thread. encoded: number of frames encoded since start.
    """

    def __init__(self, live: LatestReading, draw: JpegEncoder) -> None:
        self.encoded = 0
        self._live = live
        self._draw = draw
        self._viewers: set[StreamViewer] = set()
        self._arrived = asyncio.Event()
        self._made: dict[int, tuple[tuple[Frame, Reading], bytes]] = {}
        self._pool = ThreadPoolExecutor(1, "web-encoder", initializer=below_the_analysis)

    @property
    def watched(self) -> bool:
        """Whether there are viewers. Thread-safe."""
        return bool(self._viewers)

    def arrived(self) -> None:
        """Wake the stream: a new picture is available."""
        self._arrived.set()

    def watches(self, page: str) -> bool:
        """Whether the stream of this page is open. page: id of the page."""
        return any(viewer.page == page for viewer in self._viewers)

    @contextmanager
    def viewing(self, width: int, page: str, new: asyncio.Event) -> Iterator[StreamViewer]:
        """Register a viewer during the body of the `with` statement."""
        viewer = StreamViewer(width, page, new)
        self._viewers.add(viewer)
        self._arrived.set()
        try:
            yield viewer
        finally:
            self._viewers.discard(viewer)
            if not self._viewers:
                self._made.clear()

    async def picture(self, width: int) -> bytes:
        """Encode the newest picture; return b"" before the first. Raises cv2.error."""
        newest = self._live.newest
        return await self._encoded(newest, min(width or _across(newest), _across(newest))) if newest else b""

    async def run(self) -> None:
        """Encode new frames for the viewers until cancelled."""
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                began = time.monotonic()
                try:
                    await self._serve()
                except cv2.error:
                    _log.exception("a picture could not be encoded")
                await asyncio.sleep(began + max(1 / RATE, len(self._viewers) / SENDS_MAX) - time.monotonic())
        finally:
            self._pool.shutdown(wait=False, cancel_futures=True)

    async def _serve(self) -> None:
        newest = self._live.newest
        if newest is None:
            return
        across = _across(newest)
        sizes = {viewer: min(viewer.width or across, across) for viewer in self._viewers}
        self._made = {width: made for width, made in self._made.items() if width in sizes.values()}
        for width in sorted(set(sizes.values())):
            made = await self._encoded(newest, width)
            self._made[width] = newest, made
            for viewer in sizes:
                if sizes[viewer] == width and viewer.of is not newest:
                    viewer.of, viewer.jpeg = newest, made
                    viewer.new.set()

    async def _encoded(self, newest: tuple[Frame, Reading], width: int) -> bytes:
        made = self._made.get(width)
        if made and made[0] is newest:
            return made[1]
        self.encoded += 1
        return await asyncio.get_running_loop().run_in_executor(self._pool, drawn, self._draw, *newest, width)


def below_the_analysis() -> None:
    """Lower this thread's priority below the analysis thread's (on Linux niceness is per thread)."""
    # The service manager may not allow it.
    with suppress(OSError):
        os.nice(_NICENESS)


def drawn(draw: JpegEncoder, frame: Frame, reading: Reading, width: int) -> bytes:
    """Encode the frame as a JPEG of at most `width`; it is shrunk before drawing, so that text stays legible."""
    return draw(replace(frame, image=narrowed(frame.image, width)), reading)


def _across(newest: tuple[Frame, Reading]) -> int:
    return newest[0].image.shape[1]


def _width(handler: PageHandler) -> int:
    """Return the requested width, rounded up to one of WIDTHS; 0 for the camera's own."""
    asked = handler.get_query_argument("width", "")
    if not asked:
        return 0
    if not asked.isascii() or not asked.isdigit() or len(asked) > 6:
        raise HTTPError(400, reason="width must be a number of pixels")
    return next((width for width in WIDTHS if width >= int(asked)), 0)


class StreamHandler(StreamingHandler):
    """Sends motion JPEG, `multipart/x-mixed-replace`.

    Each picture is followed by the next boundary at once: browsers show a part when they see its end.
    """

    def initialize(self, access: PageAccess, viewers: set[StreamingHandler], streams: StreamEncoder) -> None:  # type: ignore[override]
        super().initialize(access, viewers)
        self.streams = streams

    async def get(self) -> None:
        width = _width(self)
        self.set_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        with self.viewing(), self.streams.viewing(width, self.page, self.new) as viewer:
            alive = await self.send(b"--frame\r\n")
            while alive:
                await self.new.wait()
                self.new.clear()
                if self.gone or not viewer.jpeg:
                    alive = not self.gone
                    continue
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(viewer.jpeg)}\r\n\r\n"
                alive = await self.send(head.encode(), viewer.jpeg, b"\r\n--frame\r\n")


class LatestPictureHandler(PageHandler):
    """Answers with the newest picture, annotated; status 503 while there is no recent one."""

    def initialize(self, access: PageAccess, live: LatestReading, streams: StreamEncoder) -> None:  # type: ignore[override]
        super().initialize(access)
        self.live = live
        self.streams = streams

    async def get(self) -> None:
        width = _width(self)
        if problem := self.live.problem():
            raise HTTPError(503, reason=problem.encode("ascii", "replace").decode())
        self.set_header("Content-Type", "image/jpeg")
        self.finish(await self.streams.picture(width))
