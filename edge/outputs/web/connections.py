"""An HTTP server with a limit on its connections: who is idle makes room for who comes."""

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
"""Half of the 1,024 files that a process may have open where nobody says otherwise."""

_CROWDED_S: Final = 0.01
"""Between two connections that are accepted while there is no room: a hundred a second at most, so that a crowd that
connects again and again takes little processor time."""

_PAUSE_S: Final = 0.2
"""Until accepting is tried again where the system gives no descriptor."""


class Connections:
    """Those of one server. Belongs to its event loop.

    A connection is idle until a handler says that it works for it, and again once that has answered.
    """

    def __init__(self) -> None:
        self._open: set[IOStream] = set()
        self._idle: OrderedDict[IOStream, None] = OrderedDict()

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    def opened(self, stream: IOStream) -> None:
        """A connection was accepted."""
        self._open.add(stream)
        self._idle[stream] = None

    def closed(self, stream: IOStream) -> None:
        """A connection has ended."""
        self._open.discard(stream)
        self._idle.pop(stream, None)

    def working(self, handler: RequestHandler) -> None:
        """The handler works for its client."""
        self._idle.pop(_stream(handler), None)

    def idle(self, handler: RequestHandler) -> None:
        """The handler has answered."""
        stream = _stream(handler)
        if stream in self._open:
            self._idle[stream] = None
            self._idle.move_to_end(stream)

    def end_one(self) -> bool:
        """Close the connection that has been idle longest; False where none is idle."""
        if not self._idle:
            return False
        stream, _ = self._idle.popitem(last=False)
        stream.close()
        return True


class BoundedServer(HTTPServer):
    """An HTTPServer with at most CONNECTIONS_MAX connections.

    With the limit reached, a new connection takes the place of the one that has been idle longest; where none is idle,
    the new one is closed.
    """

    def initialize(self, application: Application, connections: Connections, **options: Any) -> None:  # type: ignore[override]
        """connections: those of this server. options: of HTTPServer."""
        super().initialize(application, **options)
        self._accepted = connections

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        """Begin to accept connections; in the event loop."""
        for listening in sockets:
            task = asyncio.get_running_loop().create_task(self._accept(listening))
            self._sockets[listening.fileno()] = listening
            self._handlers[listening.fileno()] = partial(_cancel, task)

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        """Serve a connection."""
        self._accepted.opened(stream)
        super().handle_stream(stream, address)

    def on_close(self, server_conn: Any) -> None:
        """A connection has ended."""
        super().on_close(server_conn)
        self._accepted.closed(server_conn.stream)

    async def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, address = await asyncio.get_running_loop().sock_accept(listening)
            except ConnectionError:  # gone before it was accepted
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
            await asyncio.sleep(_CROWDED_S if crowded else 0)  # let those be served who are here


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()


def _stream(handler: RequestHandler) -> Any:
    """The connection's, which Tornado's types do not know."""
    connection: Any = handler.request.connection
    return connection.stream
