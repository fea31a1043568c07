"""Base class for answers that do not end by themselves: the MJPEG stream and the events."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from tornado.iostream import StreamClosedError
from tornado.web import HTTPError

from edge.outputs.web.access import PageAccess
from edge.outputs.web.handler import PageHandler

VIEWERS_MAX: Final = 200
"""Maximum number of unfinished responses (MJPEG streams and events) at a time: each open page has two."""

_STALL_SECONDS: Final = 10.0
"""Seconds after which a viewer that accepts no data is disconnected."""

_SEND_BUFFER: Final = 128 * 1024
"""Bytes that the kernel may buffer for one viewer: frames that a slow viewer has not read are old, and cost memory."""


class StreamingHandler(PageHandler):
    """A response that continues until the viewer disconnects or stalls, or the server stops."""

    def initialize(self, access: PageAccess, viewers: set["StreamingHandler"]) -> None:  # type: ignore[override]
        super().initialize(access)
        self.viewers = viewers
        self.gone = False
        self.new = asyncio.Event()
        self.page = ""

    async def prepare(self) -> None:
        await super().prepare()
        # A malformed argument raises HTTPError, which Tornado does not handle in `initialize`.
        self.page = self.get_query_argument("page", "")[:32]

    def on_connection_close(self) -> None:
        self.gone = True
        self.new.set()

    @contextmanager
    def viewing(self) -> Iterator[None]:
        """Register this response as a viewer during the `with` statement. Raises HTTPError if there are too many."""
        if len(self.viewers) >= VIEWERS_MAX:
            raise HTTPError(503, reason="Too many pages are open")
        if self.connection.stream.closed():
            self.gone = True
        else:
            with suppress(OSError):
                self.connection.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self.viewers.add(self)
        try:
            yield
        finally:
            self.viewers.discard(self)

    @property
    def connection(self) -> Any:
        """The request's connection, which Tornado's types do not declare."""
        return self.request.connection

    async def send(self, *parts: bytes) -> bool:
        """Write the parts and wait until the system has accepted them; return False if the viewer left or stalls."""
        try:
            for part in parts:
                self.write(part)
            await asyncio.wait_for(self.flush(), _STALL_SECONDS)
        except (StreamClosedError, TimeoutError):
            self.connection.close()
            self.gone = True
        return not self.gone
