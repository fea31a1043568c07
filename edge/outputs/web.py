"""The live page: the annotated stream, the emotions and the daemon's state, for a browser on this machine only."""

import asyncio
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import cv2
from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler, StaticFileHandler

from edge.config import WebSettings
from edge.errors import EmotionEdgeError
from edge.outputs.messages import faces_message, stats_message
from edge.outputs.overlay import COLOURS, annotate
from edge.reading import Frame, Reading, Stats

_log = logging.getLogger(__name__)

PAGE: Final = Path(__file__).parent / "page"
FRESH_SECONDS: Final = 5.0
"""Without a new frame for this long, the daemon does not count as healthy."""

PORTS_TRIED: Final = 20
JPEG_QUALITY: Final = 80
_EVENT_SECONDS: Final = 0.2
_STATUS_SECONDS: Final = 1.0
_STALL_SECONDS: Final = 10.0
"""A viewer that takes nothing for this long is let go: it would keep the encoder busy for nobody."""

_GOODBYE_SECONDS: Final = 0.3
_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-site",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Document:
    """Text that is made anew for each who asks. make: called in a thread of its own, so that it may wait for a disk."""

    content_type: str
    make: Callable[[], str]


class WebViewer:
    """A Viewer and Output that serves the live page from a thread with an event loop of its own.

    `show`, `put` and `report` only remember the newest value. Pictures are annotated and encoded once for all who look,
    and only while somebody looks.

    url: the page's address. encoded: pictures encoded since start.
    """

    def __init__(
        self,
        settings: WebSettings,
        device: str = "",
        topics: Sequence[str] = (),
        documents: Mapping[str, Document] = MappingProxyType({}),
        recorded: bool = False,
    ) -> None:
        """Listen on the port of the settings or the next free one.

        device: the name people know this board by. topics: what to subscribe to, each line shown as it is.
        documents: what else is served, by path. recorded: whether emotions are kept, which the page then says.
        Raises EmotionEdgeError when no port is free.
        """
        self.about: Final[Mapping[str, Any]] = {
            "device": device,
            "topics": list(topics),
            "colours": dict(COLOURS),
            "recorded": recorded,
        }
        self.documents = documents
        self.encoded = 0
        self.jpeg = b""
        self.newest: tuple[Frame, Reading] | None = None
        self.stats: Stats | None = None
        self._shown_at = 0.0
        self.visitors: set[_Endless] = set()
        self._watchers: dict[asyncio.Event, str] = {}
        self._arrived = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        sockets = _bind(settings.host, settings.port)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        port = sockets[0].getsockname()[1]
        if port != settings.port:
            _log.warning("live page: port %d is taken, so it is on %d", settings.port, port)
        self.url = f"http://{host}:{port}/"
        self._thread = threading.Thread(target=self._run, args=(sockets,), name="web", daemon=True)
        self._thread.start()

    def show(self, frame: Frame, reading: Reading) -> None:
        """Remember the newest frame; any thread."""
        self.newest = frame, reading
        self._shown_at = time.monotonic()
        if self._watchers:
            self._call(self._arrived.set)

    def put(self, reading: Reading) -> None:
        """Nothing: `show` brings the same Reading together with its frame."""

    def report(self, stats: Stats) -> None:
        """Remember the newest Stats; any thread."""
        self.stats = stats

    def close(self) -> None:
        """Let every viewer go and stop listening."""
        self._call(self._stop.set)
        self._thread.join(timeout=1.0)

    def problem(self) -> str:
        """Why there is no live picture, in words, or an empty string when there is one."""
        age = time.monotonic() - self._shown_at
        if self.newest is not None and age < FRESH_SECONDS:
            return ""
        since = "no picture yet" if self.newest is None else f"no new picture for {age:.0f} s"
        camera = self.stats.camera if self.stats else "online"
        return since if camera == "online" else f"{since}; camera: {camera}"

    @contextmanager
    def watching(self, new: asyncio.Event, page: str) -> Iterator[None]:
        """Set `new` whenever `jpeg` is new, for one who looks; page: the name the page gave itself. Server thread."""
        self._watchers[new] = page
        self._arrived.set()
        if self.jpeg:
            new.set()
        try:
            yield
        finally:
            del self._watchers[new]
            if not self._watchers:
                self.jpeg = b""  # it would be an old picture to whoever looks next

    def watches(self, page: str) -> bool:
        """Whether this page's stream is open; server thread."""
        return page in self._watchers.values()

    def _call(self, function: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(function)

    def _run(self, sockets: list[socket.socket]) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve(sockets))

    async def _serve(self, sockets: list[socket.socket]) -> None:
        server = HTTPServer(_application(self), max_body_size=1024, max_buffer_size=1 << 20)
        server.add_sockets(sockets)
        encoding = asyncio.create_task(self._encode())
        await self._stop.wait()
        server.stop()
        encoding.cancel()
        for visitor in self.visitors:
            visitor.on_connection_close()
        with suppress(TimeoutError):  # of those who stall
            await asyncio.wait_for(self._left(), _GOODBYE_SECONDS)
        await server.close_all_connections()
        await self._left()

    async def _left(self) -> None:
        while self.visitors:
            await asyncio.sleep(0.01)

    async def _encode(self) -> None:
        done: tuple[Frame, Reading] | None = None
        with ThreadPoolExecutor(1, "web-encoder") as pool:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                newest = self.newest
                if newest is None or not self._watchers or (newest is done and self.jpeg):
                    continue
                try:
                    jpeg = await self._loop.run_in_executor(pool, _jpeg, *newest)
                except cv2.error:
                    _log.exception("a picture could not be encoded")
                    continue
                done = newest
                self.encoded += 1
                if self._watchers:
                    self.jpeg = jpeg
                for event in self._watchers:
                    event.set()


def _jpeg(frame: Frame, reading: Reading) -> bytes:
    picture = annotate(frame.image, reading)
    return cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))[1].tobytes()


def _bind(host: str, port: int) -> list[socket.socket]:
    last = min(port + PORTS_TRIED - 1, 65535)
    for candidate in range(port, last + 1):
        try:
            return bind_sockets(candidate, host)
        except OSError as error:
            reason = error.strerror
    raise EmotionEdgeError(f"live page: no port from {port} to {last} can be had on {host}: {reason} (set web.port)")


class _Handler(RequestHandler):
    """What every answer has in common: for a browser on this machine, and not on behalf of another site.

    The Host header is checked because a site may let its own name resolve to 127.0.0.1 (DNS rebinding); Sec-Fetch-Site
    is what the browser says about who asks (W3C, Fetch Metadata Request Headers).
    """

    viewer: WebViewer

    def initialize(self, viewer: WebViewer) -> None:
        self.viewer = viewer

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        for name, value in _HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        name = self.request.host.lower()
        if not name.endswith("]"):
            name = name.rpartition(":")[0] or name
        if name not in _NAMES:
            raise HTTPError(403, reason="This page answers to localhost only")
        fetch = {key: self.request.headers.get(f"Sec-Fetch-{key}") for key in ("Site", "Mode", "Dest")}
        opened = self.request.path == "/" and fetch["Mode"] == "navigate" and fetch["Dest"] == "document"
        if fetch["Site"] == "cross-site" and not opened:
            raise HTTPError(403, reason="Requests from other sites are refused")

    def write_error(self, status_code: int, **_: Any) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{status_code} {self._reason}\n")


class _NotFound(_Handler):
    def get(self) -> None:
        raise HTTPError(404)


class _Page(_Handler, StaticFileHandler):
    def initialize(self, viewer: WebViewer, path: str, default_filename: str | None = None) -> None:  # type: ignore[override]
        _Handler.initialize(self, viewer)
        StaticFileHandler.initialize(self, path, default_filename)

    def set_extra_headers(self, path: str) -> None:  # noqa: ARG002
        self.set_header("Cache-Control", "no-cache")


class _Latest(_Handler):
    """The newest Reading as JSON, in the shape of the topic `faces`; null before the first."""

    def get(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.write(json.dumps(faces_message(self.viewer.newest[1]) if self.viewer.newest else None))


class _Document(_Handler):
    async def get(self) -> None:
        document = self.viewer.documents[self.request.path]
        text = await asyncio.get_running_loop().run_in_executor(None, document.make)
        self.set_header("Content-Type", document.content_type)
        self.finish(text)


class _Health(_Handler):
    def get(self) -> None:
        problem = self.viewer.problem()
        self.set_status(503 if problem else 200)
        self.write({"status": "failing", "reason": problem} if problem else {"status": "ok"})


class _Endless(_Handler):
    """An answer that goes on until the viewer leaves or stalls, or the server stops."""

    def initialize(self, viewer: WebViewer) -> None:
        super().initialize(viewer)
        self.gone = False
        self.new = asyncio.Event()
        self.page = self.get_query_argument("page", "")

    def on_connection_close(self) -> None:
        self.gone = True
        self.new.set()

    @contextmanager
    def staying(self) -> Iterator[None]:
        """Be known to the viewer meanwhile, which ends this answer when the server stops."""
        self.viewer.visitors.add(self)
        try:
            yield
        finally:
            self.viewer.visitors.discard(self)

    async def send(self, *parts: bytes) -> bool:
        """Hand the parts to the system; False when the viewer is gone. What is slow waits here, so nothing queues."""
        try:
            for part in parts:
                self.write(part)
            await asyncio.wait_for(self.flush(), _STALL_SECONDS)
        except (StreamClosedError, TimeoutError):
            connection: Any = self.request.connection
            connection.close()
            self.gone = True
        return not self.gone


class _Stream(_Endless):
    """Motion JPEG, `multipart/x-mixed-replace`. Each picture is followed by the next boundary at once: browsers show a
    part when they see its end."""

    async def get(self) -> None:
        self.set_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        with self.staying(), self.viewer.watching(self.new, self.page):
            alive = await self.send(b"--frame\r\n")
            while alive:
                await self.new.wait()
                self.new.clear()
                jpeg = self.viewer.jpeg
                if self.gone or not jpeg:
                    alive = not self.gone
                    continue
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                alive = await self.send(head.encode(), jpeg, b"\r\n--frame\r\n")


class _Events(_Endless):
    """Server-sent events: `about` once, `scene` when there is a new Reading, `status` every second."""

    async def get(self) -> None:
        self.set_header("Content-Type", "text/event-stream")
        with self.staying():
            alive = await self.send(b"retry: 2000\n\n", _event("about", self.viewer.about))
            sent, status_at = None, 0.0
            while alive:
                parts = []
                if self.viewer.newest and self.viewer.newest is not sent:
                    sent = self.viewer.newest
                    parts.append(_event("scene", _scene(sent[1])))
                if time.monotonic() - status_at >= _STATUS_SECONDS:
                    status_at = time.monotonic()
                    parts.append(_event("status", _status(self.viewer, self.viewer.watches(self.page))))
                alive = not self.gone and (not parts or await self.send(*parts))
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.new.wait(), _EVENT_SECONDS)


def _scene(reading: Reading) -> dict[str, Any]:
    leader = reading.leader
    return {"leader": leader.track if leader else None, "reading": faces_message(reading)}


def _event(name: str, data: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


def _status(viewer: WebViewer, streaming: bool) -> dict[str, Any]:
    problem = viewer.problem()
    stats = stats_message(viewer.stats, time.time()) if viewer.stats else None
    return {"live": not problem, "problem": problem, "streaming": streaming, "stats": stats}


def _application(viewer: WebViewer) -> Application:
    own: dict[str, Any] = {"viewer": viewer}
    files = {**own, "path": str(PAGE)}
    return Application(
        [
            (r"/()", _Page, {**files, "default_filename": "index.html"}),
            (r"/((?:style\.css|app\.js|icon\.svg))", _Page, files),
            (r"/stream\.mjpg", _Stream, own),
            (r"/events", _Events, own),
            (r"/latest\.json", _Latest, own),
            (r"/healthz", _Health, own),
            *((re.escape(path), _Document, own) for path in viewer.documents),
        ],
        default_handler_class=_NotFound,
        default_handler_args=own,
        log_function=lambda handler: _log.debug("%d %s", handler.get_status(), handler.request.uri),
    )
