"""An HTTP server with a limit on its connections: at the limit, a new connection replaces an idle one."""

import asyncio
import logging
import socket
from collections import OrderedDict
from collections.abc import Iterable
from functools import partial
from typing import Any, Final

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.web import Application, RequestHandler

_log = logging.getLogger(__name__)

CONNECTIONS_MAX: Final = 512
"""Maximum number of open connections: half of the 1,024 files that a process may open by default."""

_CROWDED_S: Final = 0.01
"""Seconds between two accepted connections while the limit is reached: at a hundred a second, clients that reconnect
again and again cost little processor time.
"""

_PAUSE_S: Final = 0.2
"""Seconds until accepting is retried if the system has no file descriptor left."""


class Connections:
    """The open connections of one server. For its event loop only.

    A connection is idle except while a handler works on its request.
    """

    def __init__(self) -> None:
        self._open: set[IOStream] = set()
        self._idle: OrderedDict[IOStream, None] = OrderedDict()

    def __len__(self) -> int:
        """Number of open connections."""
        return len(self._open)

    def opened(self, stream: IOStream) -> None:
        """Register an accepted connection, as idle."""
        self._open.add(stream)
        self._idle[stream] = None

    def closed(self, stream: IOStream) -> None:
        """Remove a connection that has ended."""
        self._open.discard(stream)
        self._idle.pop(stream, None)

    def working(self, handler: RequestHandler) -> None:
        """Mark the connection of a handler as busy, while it works on the request."""
        self._idle.pop(_stream(handler), None)

    def idle(self, handler: RequestHandler) -> None:
        """Mark the connection of a handler as idle, after its answer."""
        stream = _stream(handler)
        if stream in self._open:
            self._idle[stream] = None
            self._idle.move_to_end(stream)

    def end_one(self) -> bool:
        """Close the connection that has been idle longest; return False if none is idle."""
        if not self._idle:
            return False
        stream, _ = self._idle.popitem(last=False)
        stream.close()
        return True


class BoundedServer(HTTPServer):
    """An HTTPServer with at most CONNECTIONS_MAX connections.

    At the limit, a new connection replaces the one that has been idle longest; if none is idle, the new one is closed.
    """

    def initialize(self, application: Application, connections: Connections, **options: Any) -> None:  # type: ignore[override]
        """Prepare the server. connections: registry of its open connections. options: of HTTPServer."""
        super().initialize(application, **options)
        self._accepted = connections

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        """Start to accept connections on listening sockets. Call it in the event loop."""
        for listening in sockets:
            task = asyncio.get_running_loop().create_task(self._accept(listening))
            self._sockets[listening.fileno()] = listening
            self._handlers[listening.fileno()] = partial(_cancel, task)

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        """Register and serve an accepted connection."""
        self._accepted.opened(stream)
        super().handle_stream(stream, address)

    def on_close(self, server_conn: Any) -> None:
        """Remove a connection that has ended."""
        super().on_close(server_conn)
        self._accepted.closed(server_conn.stream)

    async def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, address = await asyncio.get_running_loop().sock_accept(listening)
            except ConnectionError:
                # The client left before it was accepted.
                continue
            except OSError as error:
                _log.warning("no connection is accepted for the moment: %s", error.strerror)
                self._accepted.end_one()
                await asyncio.sleep(_PAUSE_S)
                continue
            crowded = len(self._accepted) >= CONNECTIONS_MAX
            if crowded and not self._accepted.end_one():
                connection.close()
            else:
                self._handle_connection(connection, address)
            # Let open connections be served first.
            await asyncio.sleep(_CROWDED_S if crowded else 0)


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()


def _stream(handler: RequestHandler) -> Any:
    """Return the connection of a handler's request, which Tornado's types do not declare."""
    connection: Any = handler.request.connection
    return connection.stream
