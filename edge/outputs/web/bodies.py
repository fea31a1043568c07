"""Request bodies while they are received, bounded in number and memory: a slow sender is disconnected for a new one."""

import time
from dataclasses import dataclass, field
from typing import Any

from tornado.web import RequestHandler


@dataclass(slots=True)
class _Body:
    """Body of one request.

    began: when receiving started, on the monotonic clock. size: bytes that count. complete: the client has sent all of
    it. dropped: there was no memory for it.
    """

    began: float
    data: bytearray = field(default_factory=bytearray)
    size: int = 0
    complete: bool = False
    dropped: bool = False

    def rate(self, now: float) -> float:
        return self.size / max(now - self.began, 1e-6)


class Bodies:
    """The request bodies of one path or server. For its event loop only.

    Requests are counted while they send; memory is counted until `end`, so that it includes requests in work.
    """

    def __init__(self, bytes_max: int, count_max: int, slow_s: float) -> None:
        """Start without any.

        Args:
            bytes_max: maximum bytes of all bodies together.
            count_max: maximum number of requests that send at the same time.
            slow_s: seconds that a request may always take. After that, the one with the lowest mean rate is
                disconnected where a new request or its bytes have no room.
        """
        self.bytes_max = bytes_max
        self.slow_s = slow_s
        self._count_max = count_max
        self._bodies: dict[RequestHandler, _Body] = {}

    def __len__(self) -> int:
        """Number of requests that are sending."""
        return sum(not body.complete for body in self._bodies.values())

    def begin(self, handler: RequestHandler) -> bool:
        """Register a request before its body; return False if there are too many and none of them is slow."""
        while len(self) >= self._count_max:
            if not self._end_slowest(handler):
                return False
        self._bodies[handler] = _Body(time.monotonic())
        return True

    def extend(self, handler: RequestHandler, chunk: bytes) -> None:
        """Append to a body. It is dropped if there is no memory for it and no other request is slow."""
        body = self._bodies.get(handler)
        if body is None or body.dropped:
            return
        while sum(other.size for other in self._bodies.values()) + len(chunk) > self.bytes_max:
            if not self._end_slowest(handler):
                body.data, body.size, body.dropped = bytearray(), 0, True
                return
        body.data += chunk
        body.size += len(chunk)

    def take(self, handler: RequestHandler) -> bytearray | None:
        """Return a body that is complete; None if it was dropped. Its bytes count until `end`."""
        body = self._bodies.get(handler)
        if body is None:
            return None
        body.complete = True
        data, body.data = body.data, bytearray()
        return None if body.dropped else data

    def end(self, handler: RequestHandler) -> None:
        """Remove a request that was answered or whose client has left. Nothing happens if it is not registered."""
        self._bodies.pop(handler, None)

    def _end_slowest(self, keep: RequestHandler) -> bool:
        now = time.monotonic()
        slow = {
            handler: body.rate(now)
            for handler, body in self._bodies.items()
            if handler is not keep and not body.complete and now - body.began > self.slow_s
        }
        if not slow:
            return False
        slowest = min(slow, key=slow.__getitem__)
        self.end(slowest)
        connection: Any = slowest.request.connection
        connection.stream.close()
        return True
