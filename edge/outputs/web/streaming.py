"""Answers that go on for as long as somebody is there: streams and events."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from tornado.iostream import StreamClosedError
from tornado.web import HTTPError

from edge.outputs.web.access import Access, Handler

VISITORS_MAX: Final = 200
"""Endless answers at once: each page has two."""

_STALL_SECONDS: Final = 10.0
"""A viewer that takes nothing for this long is let go: it would keep the encoder busy for nobody."""

_SEND_BUFFER: Final = 128 * 1024
"""Bytes that the system may hold for one viewer: what a slow one has not taken yet is old and costs memory."""


class Endless(Handler):
    """An answer that goes on until the viewer leaves or stalls, or the server stops."""

    def initialize(self, access: Access, visitors: set["Endless"]) -> None:  # type: ignore[override]
        super().initialize(access)
        self.visitors = visitors
        self.gone = False
        self.new = asyncio.Event()
        self.page = self.get_query_argument("page", "")[:32]

    def on_connection_close(self) -> None:
        self.gone = True
        self.new.set()

    @contextmanager
    def staying(self) -> Iterator[None]:
        """Be one of the visitors meanwhile; the server ends their answers when it stops."""
        if len(self.visitors) >= VISITORS_MAX:
            raise HTTPError(503, reason="Too many are looking")
        with suppress(OSError):
            self.connection.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self.visitors.add(self)
        try:
            yield
        finally:
            self.visitors.discard(self)

    @property
    def connection(self) -> Any:
        """Tornado's own, which its types do not know."""
        return self.request.connection

    async def send(self, *parts: bytes) -> bool:
        """Hand the parts to the system; False when the viewer is gone. What is slow waits here, so nothing queues."""
        try:
            for part in parts:
                self.write(part)
            await asyncio.wait_for(self.flush(), _STALL_SECONDS)
        except (StreamClosedError, TimeoutError):
            self.connection.close()
            self.gone = True
        return not self.gone
