"""An HTTP server that sends exactly the bytes that a test gives it, to imitate cameras with quirks."""

import hashlib
import re
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from tests.support.mjpeg import Image, encode

Respond = Callable[[str], Iterable[bytes]]
"""Function from the head of a request to the pieces to send, after which the connection is closed."""


class RawServer:
    """Server on the loopback that answers each request with what `respond` returns; keeps the requests in `heads`."""

    def __init__(self, respond: Respond, tls: ssl.SSLContext | None = None, family: int = socket.AF_INET) -> None:
        self.heads: list[str] = []
        server = self

        class Handler(socketserver.StreamRequestHandler):
            def setup(self) -> None:
                if tls:
                    self.request = tls.wrap_socket(self.request, server_side=True)
                super().setup()

            def handle(self) -> None:
                head = ""
                while (line := self.rfile.readline().decode()).strip():
                    head += line
                server.heads.append(head)
                try:
                    for piece in respond(head):
                        self.wfile.write(piece)
                except OSError:  # the client went away
                    return

            def finish(self) -> None:
                try:
                    super().finish()
                except OSError:
                    return

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            address_family = family

        host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
        self._server = Server((host, 0), Handler)
        shown = f"[{host}]" if family == socket.AF_INET6 else host
        self.place = f"{shown}:{self._server.server_address[1]}"
        self.url = f"{'https' if tls else 'http'}://{self.place}/stream"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def head(content_type: str, *lines: str, status: str = "200 OK") -> bytes:
    """Format the head of an HTTP response."""
    fields = [f"HTTP/1.1 {status}", "Connection: close", *lines]
    return "\r\n".join([*fields, f"Content-Type: {content_type}"] if content_type else fields).encode() + b"\r\n\r\n"


MULTIPART = head("multipart/x-mixed-replace; boundary=frame")


def part(image: Image | bytes, length: int | None = -1, *, boundary: str = "--frame", line: str = "\r\n") -> bytes:
    """Format a part of a multipart stream.

    Args:
        image: the image, or the bytes of an encoded one.
        length: value of Content-Length; -1: the true one; None: no such header.
        boundary: the line before the part; empty: none.
        line: line ending.
    """
    data = image if isinstance(image, bytes) else encode(image)
    fields = ["Content-Type: image/jpeg"]
    if length is not None:
        fields.append(f"Content-Length: {len(data) if length == -1 else length}")
    return line.join([*([boundary] if boundary else []), *fields, "", ""]).encode() + data + line.encode()


def chunked(pieces: Iterable[bytes]) -> Iterable[bytes]:
    """Encode pieces in HTTP's chunked transfer encoding."""
    for piece in pieces:
        yield f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
    yield b"0\r\n\r\n"


def digest_allows(request: str, user: str, password: str) -> bool:
    """Return True if a request has the right digest (RFC 7616, MD5, qop=auth) for nonce `n` in realm `r`."""
    found = re.search(r"^Authorization: Digest (.+?)\r?$", request, re.MULTILINE)
    if not found:
        return False
    fields = dict(re.findall(r'(\w+)="?([^",]*)"?', found[1]))
    method, uri = request.split()[:2]
    one, two = _md5(f"{user}:r:{password}"), _md5(f"{method}:{uri}")
    return bool(fields["response"] == _md5(f"{one}:n:{fields['nc']}:{fields['cnonce']}:auth:{two}"))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
