"""HTTP requests to the page, with and without a password, and to the prediction server."""

import contextlib
import logging
import random
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from edge.config import WebSettings
from edge.outputs.web.server import WebViewer
from edge.serve.protocol import RefusedError
from tests.bench.fuzz.mutate import damaged
from tests.support.daemon import free_port
from tests.support.live import port_of, show
from tests.support.samples import face, frame, reading
from tests.support.serving import serving

_PATHS: Final[Sequence[str]] = (
    "/", "/stream", "/latest.jpg?width=640", "/events?page=1", "/latest.json", "/healthz", "/app.js", "/read",
    "/settings.json", "/predict", "/v1/models/emotion-small", "/v1/models/emotion-small/metadata",
    "/v1/models/emotion-small:predict", "/stream?width=" + "9" * 5000, "/stream?width=%ff", "/events?page=%00%ff",
    "/..%2f..%2fetc/passwd", "//", "/%00", "*", "http://evil.example/", "/v1/models/%2e%2e/versions/1",
    "/style.css?v=%zz", "/" + "a" * 8000,
)  # fmt: skip
_METHODS: Final = (
    "GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "get", "\x00",
)  # fmt: skip
_VALUES: Final[Sequence[str]] = (
    "", "x", "0", "-1", "9" * 5000, "\xe9", "\xff" * 100, "Basic \xe9", "Basic !", "Basic " + "A" * 5000, "Bearer",
    "Bearer \xff", "http://[", "http://[::1", "http://\xe9", "null", "localhost", "localhost:x", "[", "[::1]:",
    "a" * 4000, "bytes=0-", "bytes=9-1", "bytes=-" + "9" * 400, "bytes=0-0,1-1", "Thu, 99 Foo 2026 99:99:99 GMT",
    "Mon, 01 Jan 0000 00:00:00 GMT", "gzip, ;q=x", "chunked", "identity", "100-continue",
    "multipart/form-data; boundary=", "application/x-www-form-urlencoded", "keep-alive, close", "cross-site",
    "same-origin", "\x1b[2J", "a=b; \xff=\x01; =", "W/\"x\"", "*", "127.0.0.1, [", "2147483648",
)  # fmt: skip
_NAMES: Final = (
    "Authorization", "Origin", "Host", "Content-Length", "Transfer-Encoding", "Range", "If-Modified-Since",
    "If-None-Match", "Cookie", "Accept-Encoding", "Content-Type", "Expect", "Connection", "Sec-Fetch-Site",
    "X-Forwarded-For", "X-Real-Ip", "Upgrade", "x" * 300, "Content-Encoding", "Referer", "\xe9", "A B", "",
)  # fmt: skip


def request(chance: random.Random) -> bytes:
    """Make a request; its first byte selects which of the three servers gets it."""
    lines = [f"{chance.choice(_METHODS)} {chance.choice(_PATHS)} HTTP/1.{chance.choice('0111129')}"]
    headers = {"Host": "localhost"} if chance.random() < 0.9 else {}
    for _ in range(chance.choice((0, 1, 1, 2, 3, 30, 200))):
        headers[chance.choice(_NAMES)] = chance.choice(_VALUES)
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if chance.random() < 0.1:
        lines.append(" folded")
    text = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + b"body" * chance.choice((0, 1, 1000))
    if chance.random() < 0.3:
        text = damaged(text, chance)
    return bytes([chance.choice(b"012")]) + text


@contextmanager
def servers() -> Iterator[Callable[[bytes], None]]:
    """Context manager: yields a function that sends a request, and fails on an answer of 500 or a logged traceback."""
    caught = _Caught()
    logging.getLogger().addHandler(caught)
    guarded = {"port": free_port(), "host": "0.0.0.0", "password": "open sesame", "proxies": "127.0.0.1"}
    plain = WebViewer(WebSettings(port=free_port()), read=lambda given: reading((), given))
    locked = WebViewer(WebSettings.model_validate(guarded))
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        stack.callback(logging.getLogger().removeHandler, caught)
        stack.callback(plain.close)
        stack.callback(locked.close)
        log, port = Path(folder) / "log.txt", free_port()
        stack.enter_context(serving(log, port))
        for viewer in (plain, locked):
            show(viewer, frame(), face())

        def take(data: bytes) -> None:
            show(plain, frame(), face())
            status = _status((port_of(plain), port_of(locked), port)[data[0] - ord("0")], data[1:])
            assert status < 500 or status == 503, f"answered with {status}"
            refused = not 200 <= status < 400
            if caught.records:
                raise AssertionError(f"in the log: {caught.records.pop()}")
            assert "Traceback" not in log.read_text(), "a traceback in the log of the prediction server"
            if refused:
                raise RefusedError(status, "refused")

        yield take


def _status(port: int, data: bytes) -> int:
    """Send a request; returns the status of the answer, 0 if there is none."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.5) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        head = connection.recv(12)
        return int(head[9:12]) if head[:5] == b"HTTP/" and head[9:12].isdigit() else 0
    return 0


class _Caught(logging.Handler):
    """Log handler that keeps records of errors and records with a traceback."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR or record.exc_info:
            self.records.append(logging.Formatter().format(record))
