"""The live page: the annotated stream, the emotions and the daemon's state, for a browser."""

import asyncio
import logging
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Final

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from edge.config import WebSettings
from edge.errors import EmotionEdgeError
from edge.outputs.drawing.colours import COLOURS
from edge.outputs.drawing.jpeg import JpegEncoder, jpeg
from edge.outputs.web.access import access_of
from edge.outputs.web.documents import (
    PAGE,
    SETTINGS,
    Document,
    Health,
    Latest,
    NoImages,
    NotFound,
    OneDocument,
    PageFile,
)
from edge.outputs.web.events import Events, Feed
from edge.outputs.web.latest import Live
from edge.outputs.web.mjpeg import LatestPicture, Stream, Streams
from edge.outputs.web.streaming import Endless
from edge.outputs.web.upload import PictureIn, Pictures, Read
from edge.reading import Frame, Reading, Stats
from edge.system.threads import start_worker

_log = logging.getLogger(__name__)

PORTS_TRIED: Final = 20
_GOODBYE_SECONDS: Final = 0.3
_IDLE_SECONDS: Final = 60.0
_UPLOAD_SECONDS: Final = 120.0
"""For a picture that is given to the page: 16 MB at 140 kB a second."""


class WebViewer:
    """A Viewer and Output that serves the live page from a thread with an event loop of its own.

    `show`, `put` and `report` only remember the newest value. Pictures are annotated and encoded once for all who look
    in one size, and only while somebody looks.

    url: the page's address.
    """

    def __init__(
        self,
        settings: WebSettings,
        device: str = "",
        topics: Sequence[str] = (),
        documents: Mapping[str, Document] = MappingProxyType({}),
        recorded: bool = False,
        read: Read | None = None,
        health: Mapping[str, Callable[[], str]] = MappingProxyType({}),
        draw: JpegEncoder = jpeg,
        draw_given: JpegEncoder = jpeg,
    ) -> None:
        """Listen on the port of the settings or the next free one.

        device: the name people know this board by. topics: what to subscribe to, each line shown as it is.
        documents: what else is served, by path. recorded: whether emotions are kept, which the page then says.
        read: reads a picture that is given to the page, in a thread of the page's; None: the page takes none.
        health: how other parts of the daemon do, by name, in words; called in the page's thread, so it must not wait.
        draw: makes the pictures of the stream, draw_given those of pictures that are given to the page; in threads of
        the page's.
        Raises EmotionEdgeError when no port is free, and when the password or a certificate cannot be read.
        """
        about = {
            "device": device,
            "topics": list(topics),
            "colours": dict(COLOURS),
            "recorded": recorded,
            "images": settings.images,
            "open": settings.on_network,
            "reads": read is not None,
            "settings": SETTINGS in documents,
        }
        self._live = Live()
        self._streams = Streams(self._live, draw)
        self._feed = Feed(self._live, self._streams, about, health)
        self._pictures = Pictures(read, draw_given) if read else None
        self._documents = documents
        self._images = settings.images
        self._access = access_of(settings)
        self._visitors: set[Endless] = set()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        sockets = _bind(settings.host, settings.port)
        port = sockets[0].getsockname()[1]
        if port != settings.port:
            _log.warning("live page: port %d is taken, so it is on %d", settings.port, port)
        self.url = f"{'https' if self._access.tls else 'http'}://{_called(settings.host)}:{port}/"
        self._thread = start_worker("web", lambda: self._run(sockets))

    @property
    def encoded(self) -> int:
        """Pictures encoded since start."""
        return self._streams.encoded

    @property
    def reading(self) -> int:
        """Pictures that were given to the page and wait or are read now."""
        return self._pictures.waiting if self._pictures else 0

    def show(self, frame: Frame, reading: Reading) -> None:
        """Remember the newest frame; any thread."""
        self._live.show(frame, reading)
        if self._streams.watched:
            self._call(self._streams.arrived)

    def put(self, reading: Reading) -> None:
        """Nothing: `show` brings the same Reading together with its frame."""

    def report(self, stats: Stats) -> None:
        """Remember the newest Stats; any thread."""
        self._live.stats = stats

    def close(self) -> None:
        """Let every viewer go and stop listening."""
        self._call(self._stop.set)
        self._thread.join(timeout=1.0)

    def _call(self, function: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(function)

    def _run(self, sockets: list[socket.socket]) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve(sockets))

    async def _serve(self, sockets: list[socket.socket]) -> None:
        server = HTTPServer(
            self._application(),
            ssl_options=self._access.tls,
            idle_connection_timeout=_IDLE_SECONDS,
            body_timeout=_UPLOAD_SECONDS,
            max_body_size=1024,
            max_buffer_size=1 << 20,
        )
        server.add_sockets(sockets)
        streaming = asyncio.create_task(self._streams.run())
        await self._stop.wait()
        server.stop()
        streaming.cancel()
        if self._pictures:
            self._pictures.close()
        for visitor in self._visitors:
            visitor.on_connection_close()
        with suppress(TimeoutError):  # of those who stall
            await asyncio.wait_for(self._left(), _GOODBYE_SECONDS)
        await server.close_all_connections()
        await self._left()

    async def _left(self) -> None:
        while self._visitors:
            await asyncio.sleep(0.01)

    def _application(self) -> Application:
        own: dict[str, Any] = {"access": self._access}
        files = {**own, "path": str(PAGE)}
        live = {**own, "live": self._live}
        endless = {**own, "visitors": self._visitors}
        images: list[Any] = [
            (r"/stream(?:\.mjpg)?", Stream, {**endless, "streams": self._streams}),
            (r"/latest\.jpg", LatestPicture, {**live, "streams": self._streams}),
        ]
        return Application(
            [
                (r"/()", PageFile, {**files, "default_filename": "index.html"}),
                (r"/((?:(?:style|live)\.css|[a-z]+\.js|icon\.svg))", PageFile, files),
                *(images if self._images else [(path, NoImages, own) for path, *_ in images]),
                *([(r"/read", PictureIn, {**own, "pictures": self._pictures})] if self._pictures else []),
                (r"/events", Events, {**endless, "feed": self._feed}),
                (r"/latest\.json", Latest, live),
                (r"/healthz", Health, live),
                *((re.escape(path), OneDocument, {**own, "documents": self._documents}) for path in self._documents),
            ],
            default_handler_class=NotFound,
            default_handler_args=own,
            log_function=lambda handler: _log.debug("%d %s", handler.get_status(), handler.request.uri),
        )


def _called(host: str) -> str:
    """The host of an address that people can open."""
    if host in ("0.0.0.0", "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def _bind(host: str, port: int) -> list[socket.socket]:
    last = min(port + PORTS_TRIED - 1, 65535)
    for candidate in range(port, last + 1):
        try:
            return bind_sockets(candidate, host)
        except OSError as error:
            reason = error.strerror
    raise EmotionEdgeError(f"live page: no port from {port} to {last} can be had on {host}: {reason} (set web.port)")
