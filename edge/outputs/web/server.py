"""The live page's server: the annotated stream, the emotions and the daemon's state, for a browser."""

import asyncio
import logging
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Final

from tornado.netutil import bind_sockets
from tornado.web import Application

from edge.config import WebSettings
from edge.errors import EmotionEdgeError
from edge.outputs.drawing.colours import all_colours
from edge.outputs.drawing.jpeg import JpegEncoder, jpeg
from edge.outputs.web.access import page_access
from edge.outputs.web.connections import BoundedServer, Connections
from edge.outputs.web.disclosure import Facts, is_shared
from edge.outputs.web.documents import (
    PAGE,
    SETTINGS,
    Document,
    DocumentHandler,
    HealthHandler,
    LatestReadingHandler,
    NoImagesHandler,
    NotFoundHandler,
    PageFileHandler,
    PageWordsHandler,
)
from edge.outputs.web.events import EventFeed, EventsHandler
from edge.outputs.web.latest import LatestReading
from edge.outputs.web.mjpeg import LatestPictureHandler, StreamEncoder, StreamHandler
from edge.outputs.web.streaming import StreamingHandler
from edge.outputs.web.upload import ImageReader, Read, UploadHandler
from edge.outputs.web.webcam import Analyse, WebcamHandler, Webcams
from edge.reading import Frame, Reading, Stats
from edge.system.threads import start_worker

_log = logging.getLogger(__name__)

PORTS_TRIED: Final = 20
_GOODBYE_SECONDS: Final = 0.3
_IDLE_SECONDS: Final = 60.0
"""Seconds that a connected client may take to send its request's header."""

_UPLOAD_SECONDS: Final = 120.0
"""Seconds that receiving an uploaded image may take: 16 MB at 140 kB a second."""


class WebViewer:
    """A Viewer and Output that serves the live page from a thread with an event loop of its own.

    `show`, `put` and `report` only store the newest value. Pictures are annotated and encoded once for all viewers of
    the same width, and only while there are viewers.

    url: the page's address.
    """

    def __init__(
        self,
        settings: WebSettings,
        device: str = "",
        topics: Sequence[str] = (),
        documents: Mapping[str, Document] = MappingProxyType({}),
        facts: Facts | None = None,
        read: Read | None = None,
        webcam: Callable[[], Analyse] | None = None,
        health: Mapping[str, Callable[[], str]] = MappingProxyType({}),
        draw: JpegEncoder = jpeg,
        draw_given: JpegEncoder = jpeg,
        language: str = "en",
    ) -> None:
        """Listen on the port of the settings or the next free one.

        Args:
            settings: of the page.
            device: name of the board, as users know it.
            topics: commands that subscribe to its MQTT topics, to be shown on the page.
            documents: additional documents to serve, by path.
            facts: for the statements about images and the record; None: as the page's own settings say.
            read: analyses an uploaded image, in a thread of the page's; None: there are no uploads.
            webcam: opens an analysis for the camera of a visitor's browser; None: the page offers none.
            health: returns the state of other parts of the daemon as text, by name; called in the event loop, so it
                must not wait.
            draw: makes the JPEGs of the stream, in a thread of the page's.
            draw_given: makes the JPEGs of uploaded images.
            language: of the page for browsers that ask for none of the available ones.

        Raises:
            EmotionEdgeError: no port is free, or the password or a certificate cannot be read.
        """
        facts = facts or Facts(images=settings.images, shared=is_shared(settings))
        about = {
            "device": device,
            "topics": list(topics),
            "colours": dict(all_colours()),
            "recorded": facts.record_days > 0,
            "images": settings.images,
            "reads": read is not None,
            "webcam": webcam is not None,
            "settings": SETTINGS in documents,
        }
        self._live = LatestReading()
        self._streams = StreamEncoder(self._live, draw)
        self._feed = EventFeed(self._live, self._streams, about, health, facts)
        self._reader = ImageReader(read, draw_given) if read else None
        self._webcams = Webcams(webcam) if webcam else None
        self._documents = documents
        self._language = language
        self._images = settings.images
        self._access = page_access(settings)
        self._connections = Connections()
        self._viewers: set[StreamingHandler] = set()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        sockets = _bind(settings.host, settings.port)
        port = sockets[0].getsockname()[1]
        if port != settings.port:
            _log.warning("live page: port %d is taken, so it is on %d", settings.port, port)
        self.url = f"{'https' if self._access.tls else 'http'}://{_url_host(settings.host)}:{port}/"
        self._thread = start_worker("web", lambda: self._run(sockets))

    @property
    def encoded(self) -> int:
        """Number of pictures encoded since start."""
        return self._streams.encoded

    @property
    def reading(self) -> int:
        """Number of uploads that are being received, wait for the analysis, or are being analysed."""
        return self._reader.waiting + len(self._reader.bodies) if self._reader else 0

    def show(self, frame: Frame, reading: Reading) -> None:
        """Store the newest frame and Reading. Thread-safe."""
        self._live.show(frame, reading)
        if self._streams.watched:
            self._call(self._streams.arrived)

    def put(self, reading: Reading) -> None:
        """Ignored: `show` gets the same Reading with its frame."""

    def report(self, stats: Stats) -> None:
        """Store the newest Stats. Thread-safe."""
        self._live.stats = stats

    def close(self) -> None:
        """Disconnect every client and stop listening."""
        self._call(self._stop.set)
        self._thread.join(timeout=1.0)

    def _call(self, function: Callable[[], None]) -> None:
        # RuntimeError means that the event loop is closed.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function)

    def _run(self, sockets: list[socket.socket]) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve(sockets))

    async def _serve(self, sockets: list[socket.socket]) -> None:
        server = BoundedServer(
            self._application(),
            self._connections,
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
        if self._reader:
            self._reader.close()
        if self._webcams:
            self._webcams.close()
        for viewer in self._viewers:
            viewer.on_connection_close()
        # Clients that stall must not delay the end.
        with suppress(TimeoutError):
            await asyncio.wait_for(self._left(), _GOODBYE_SECONDS)
        await server.close_all_connections()
        await self._left()

    async def _left(self) -> None:
        while self._viewers:
            await asyncio.sleep(0.01)

    def _application(self) -> Application:
        own: dict[str, Any] = {"access": self._access}
        files = {**own, "path": str(PAGE)}
        live = {**own, "live": self._live}
        documents = {**own, "documents": self._documents}
        endless = {**own, "viewers": self._viewers}
        images: list[Any] = [
            (r"/stream(?:\.mjpg)?", StreamHandler, {**endless, "streams": self._streams}),
            (r"/latest\.jpg", LatestPictureHandler, {**live, "streams": self._streams}),
        ]
        return Application(
            [
                (r"/()", PageFileHandler, {**files, "default_filename": "index.html"}),
                (
                    r"/((?:(?:style|live)\.css|[a-z]+\.js|icon\.svg|inter-\w+\.woff))",
                    PageFileHandler,
                    files,
                ),
                *(images if self._images else [(path, NoImagesHandler, own) for path, *_ in images]),
                *([(r"/read", UploadHandler, {**own, "reader": self._reader})] if self._reader else []),
                *([(r"/webcam", WebcamHandler, {**own, "webcams": self._webcams})] if self._webcams else []),
                (r"/words\.json", PageWordsHandler, {**own, "fallback": self._language}),
                (r"/events", EventsHandler, {**endless, "feed": self._feed}),
                (r"/latest\.json", LatestReadingHandler, live),
                (r"/healthz", HealthHandler, live),
                *((re.escape(path), DocumentHandler, documents) for path in self._documents),
            ],
            default_handler_class=NotFoundHandler,
            default_handler_args=own,
            connections=self._connections,
            log_function=lambda handler: _log.debug("%d %s", handler.get_status(), handler.request.uri),
        )


def _url_host(host: str) -> str:
    """Return the host part of a URL for a listening address: this machine's name if that is all addresses."""
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
