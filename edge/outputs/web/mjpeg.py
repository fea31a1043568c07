"""The pictures of the live page: the annotated stream, sized to those who look, and the newest picture alone."""

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
from edge.outputs.drawing.jpeg import Draw
from edge.outputs.web.access import Access, Handler
from edge.outputs.web.latest import Live
from edge.outputs.web.streaming import Endless
from edge.reading import Frame, Reading

_log = logging.getLogger(__name__)

WIDTHS: Final = (320, 480, 640, 960, 1280, 1920)
"""Widths in pixels that pictures are made in, besides their own: few, so that viewers share them."""

RATE: Final = 15.0
"""Pictures a second at most: enough to follow a face, and half the work of 30."""

_NICENESS: Final = 10


@dataclass(eq=False)
class Look:
    """One who looks. width: 0 for the picture's own. page: the name the page gave itself.

    new: set whenever there is another picture. jpeg: that picture, in place of one that was not fetched in time.
    """

    width: int
    page: str
    new: asyncio.Event
    jpeg: bytes = b""
    of: tuple[Frame, Reading] | None = None


class Streams:
    """Annotates and encodes the newest picture, once for all who look in one size, and only while somebody looks.

    Belongs to the server's thread, except `arrived`. encoded: pictures encoded since start.
    """

    def __init__(self, live: Live, draw: Draw) -> None:
        self.encoded = 0
        self._live = live
        self._draw = draw
        self._looks: set[Look] = set()
        self._arrived = asyncio.Event()
        self._made: dict[int, tuple[tuple[Frame, Reading], bytes]] = {}
        self._pool = ThreadPoolExecutor(1, "web-encoder", initializer=behind_the_analysis)

    @property
    def watched(self) -> bool:
        """Whether anybody looks; any thread."""
        return bool(self._looks)

    def arrived(self) -> None:
        """There is a new picture."""
        self._arrived.set()

    def watches(self, page: str) -> bool:
        """Whether this page's stream is open."""
        return any(look.page == page for look in self._looks)

    @contextmanager
    def looking(self, width: int, page: str, new: asyncio.Event) -> Iterator[Look]:
        """Somebody looks."""
        look = Look(width, page, new)
        self._looks.add(look)
        self._arrived.set()
        try:
            yield look
        finally:
            self._looks.discard(look)
            if not self._looks:
                self._made.clear()

    async def picture(self, width: int) -> bytes:
        """The newest picture as it is now; b"" before the first. Raises cv2.error."""
        newest = self._live.newest
        return await self._encoded(newest, min(width or _across(newest), _across(newest))) if newest else b""

    async def run(self) -> None:
        """Serve those who look, until cancelled."""
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                began = time.monotonic()
                try:
                    await self._serve()
                except cv2.error:
                    _log.exception("a picture could not be encoded")
                await asyncio.sleep(began + 1 / RATE - time.monotonic())
        finally:
            self._pool.shutdown(wait=False, cancel_futures=True)

    async def _serve(self) -> None:
        newest = self._live.newest
        if newest is None:
            return
        across = _across(newest)
        sizes = {look: min(look.width or across, across) for look in self._looks}
        self._made = {width: made for width, made in self._made.items() if width in sizes.values()}
        for width in sorted(set(sizes.values())):
            made = await self._encoded(newest, width)
            self._made[width] = newest, made
            for look in sizes:
                if sizes[look] == width and look.of is not newest:
                    look.of, look.jpeg = newest, made
                    look.new.set()

    async def _encoded(self, newest: tuple[Frame, Reading], width: int) -> bytes:
        made = self._made.get(width)
        if made and made[0] is newest:
            return made[1]
        self.encoded += 1
        return await asyncio.get_running_loop().run_in_executor(self._pool, drawn, self._draw, *newest, width)


def behind_the_analysis() -> None:
    """Let this thread give way where processor time is short (on Linux, a thread has a niceness of its own)."""
    with suppress(OSError):  # the service manager may not allow it
        os.nice(_NICENESS)


def drawn(draw: Draw, frame: Frame, reading: Reading, width: int) -> bytes:
    """The frame as a JPEG of that width, never wider than it is: made smaller first, so that text stays legible."""
    return draw(replace(frame, image=narrowed(frame.image, width)), reading)


def _across(newest: tuple[Frame, Reading]) -> int:
    return newest[0].image.shape[1]


def _width(handler: Handler) -> int:
    """The width that is asked for, rounded up to one that others ask for too; 0 for the picture's own."""
    asked = handler.get_query_argument("width", "")
    if not asked:
        return 0
    if not asked.isascii() or not asked.isdigit():
        raise HTTPError(400, reason="width must be a number of pixels")
    return next((width for width in WIDTHS if width >= int(asked)), 0)


class Stream(Endless):
    """Motion JPEG, `multipart/x-mixed-replace`. Each picture is followed by the next boundary at once: browsers show a
    part when they see its end."""

    def initialize(self, access: Access, visitors: set[Endless], streams: Streams) -> None:  # type: ignore[override]
        super().initialize(access, visitors)
        self.streams = streams

    async def get(self) -> None:
        width = _width(self)
        self.set_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        with self.staying(), self.streams.looking(width, self.page, self.new) as look:
            alive = await self.send(b"--frame\r\n")
            while alive:
                await self.new.wait()
                self.new.clear()
                if self.gone or not look.jpeg:
                    alive = not self.gone
                    continue
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(look.jpeg)}\r\n\r\n"
                alive = await self.send(head.encode(), look.jpeg, b"\r\n--frame\r\n")


class LatestPicture(Handler):
    """The newest picture, annotated; 503 while there is none that is new."""

    def initialize(self, access: Access, live: Live, streams: Streams) -> None:  # type: ignore[override]
        super().initialize(access)
        self.live = live
        self.streams = streams

    async def get(self) -> None:
        width = _width(self)
        if problem := self.live.problem():
            raise HTTPError(503, reason=problem.encode("ascii", "replace").decode())
        self.set_header("Content-Type", "image/jpeg")
        self.finish(await self.streams.picture(width))
