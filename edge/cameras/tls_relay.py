"""A local relay through which FFmpeg reads cameras over TLS, because FFmpeg checks no certificate.

FFmpeg connects to a port of the loopback interface. On every connection to the camera the certificate is checked before
anything else is sent. RTSP passes through unchanged. HTTP requests are sent anew with the password, which FFmpeg does
not get; a token in the address keeps other programs on the board out. Playlists (HLS) are rewritten so that https
addresses in them lead through the relay too.
"""

import re
import secrets
import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from http.client import HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Final
from urllib.error import HTTPError
from urllib.parse import urlsplit

from edge.cameras.http_request import opener, request
from edge.cameras.tls import TIMEOUT_S, camera_context, connected
from edge.system.threads import start_worker

_HOST: Final = "127.0.0.1"
_CLIENTS_MAX: Final = 8
"""Maximum number of connections at a time: FFmpeg needs up to three."""
_CHUNK: Final = 65536
_PLAYLIST_MAX: Final = 1_000_000
"""Maximum bytes of a playlist; the rest of a longer one is dropped."""
_PASSED_ON: Final = ("Content-Type", "Content-Length", "Content-Range", "Accept-Ranges")
_UDP_REFUSED: Final = b"RTSP/1.0 461 Unsupported Transport\r\nCSeq: %s\r\n\r\n"
_ADDRESS: Final = re.compile(rb'https://|(?m:^|(?<=URI="))(//?)')
"""Pattern of addresses in a playlist: beginning with https://, with a host name (//), or with a path (/)."""


class TlsRelay:
    """A relay that gives FFmpeg an unencrypted local address for a camera's `https` or `rtsps` address.

    Attributes:
        url: the local address.
    """

    def __init__(self, url: str, ca_file: Path | None) -> None:
        """Check the camera's certificate, and start to listen.

        Args:
            url: of the camera, with user name and password.
            ca_file: certificates to trust, PEM; None: the system's authorities.

        Raises:
            EmotionEdgeError: the file cannot be read, or holds no certificate.
            OSError, ValueError: the camera cannot be reached, or its certificate is not trusted.
        """
        self._camera = url
        self._context = camera_context(url, ca_file)
        connected(url, self._context).close()
        parts = urlsplit(url)
        login, _, camera = parts.netloc.rpartition("@")
        self._listener = socket.create_server((_HOST, 0))
        here = f"{_HOST}:{self._listener.getsockname()[1]}"
        if parts.scheme == "rtsps":
            self.url = parts._replace(scheme="rtsp", netloc=f"{login}@{here}" if login else here).geturl()
            answer = self._pass_on
        else:
            self._opener = opener(url, self._context)
            self._prefix = f"/{secrets.token_urlsafe()}/"
            self._base = f"http://{here}{self._prefix}"
            self.url = parts._replace(scheme="", netloc="", path=f"{self._base}{camera}{parts.path or '/'}").geturl()
            answer = self._answer_http
        self._free = threading.BoundedSemaphore(_CLIENTS_MAX)
        start_worker("camera-relay", partial(self._listen, answer))

    def close(self) -> None:
        """Accept no more connections; open ones end when FFmpeg or the camera closes them."""
        with suppress(OSError):
            # This ends the `accept` in the listening thread.
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _listen(self, answer: Callable[[socket.socket], None]) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                # The relay was closed.
                return
            if self._free.acquire(blocking=False):
                start_worker("camera-client", partial(self._answer, answer, client))
            else:
                client.close()

    def _answer(self, answer: Callable[[socket.socket], None], client: socket.socket) -> None:
        try:
            # Errors mean that FFmpeg or the camera closed the connection, or that the certificate is no longer trusted.
            with client, suppress(OSError, HTTPException, ValueError):
                answer(client)
        finally:
            self._free.release()

    def _pass_on(self, client: socket.socket) -> None:
        """Copy bytes both ways until one side closes. Pictures over UDP, which is not encrypted, are refused."""
        with connected(self._camera, self._context) as camera, selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ)
            selector.register(camera, selectors.EVENT_READ)
            while True:
                ready = [camera] if camera.pending() else [key.fileobj for key, _ in selector.select()]
                for source, sink in ((client, camera), (camera, client)):
                    if source in ready:
                        data = source.recv(_CHUNK)
                        if not data:
                            return
                        refusal = _udp_refused(data) if source is client else b""
                        (client if refusal else sink).sendall(refusal or data)

    def _answer_http(self, client: socket.socket) -> None:
        relay = self

        class Handler(BaseHTTPRequestHandler):
            timeout = TIMEOUT_S

            def do_GET(self) -> None:
                relay._fetch(self)

            def log_message(self, format: str, *args: object) -> None:
                """Log nothing, because addresses contain the token."""

        Handler(client, None, None)  # type: ignore[arg-type]  # no server of its own

    def _fetch(self, handler: BaseHTTPRequestHandler) -> None:
        if not secrets.compare_digest(handler.path[: len(self._prefix)].encode(), self._prefix.encode()):
            handler.send_error(404)
            return
        asked = request(f"https://{handler.path.removeprefix(self._prefix)}")
        if wanted := handler.headers["Range"]:
            asked.add_header("Range", wanted)
        try:
            response = self._opener.open(asked, timeout=TIMEOUT_S)
        except HTTPError as error:
            error.close()
            handler.send_error(error.code)
            return
        except (OSError, HTTPException, ValueError):
            handler.send_error(502)
            return
        with response:
            self._send(handler, response)

    def _send(self, handler: BaseHTTPRequestHandler, response: HTTPResponse) -> None:
        start = response.peek(7)
        playlist = start.startswith(b"#EXTM3U")
        handler.send_response(response.status)
        for name in _PASSED_ON:
            if (value := response.headers[name]) and not (playlist and name == "Content-Length"):
                handler.send_header(name, value)
        handler.end_headers()
        if playlist:
            handler.wfile.write(self._rewritten(response.read(_PLAYLIST_MAX), urlsplit(response.url).netloc))
            return
        # FFmpeg may pause reading for any time.
        handler.connection.settimeout(None)
        while data := response.read1(_CHUNK):
            handler.wfile.write(data)

    def _rewritten(self, playlist: bytes, camera: str) -> bytes:
        base = self._base.encode()
        own = {b"/": base + camera.encode() + b"/", b"//": base, None: base}
        return _ADDRESS.sub(lambda found: own[found[1]], playlist)


def _udp_refused(request: bytes) -> bytes:
    """Return the refusal if an RTSP request asks for pictures over UDP; empty for any other request."""
    number = re.search(rb"(?i)\r\ncseq: *(\d+)", request)
    if number and request.startswith(b"SETUP ") and b"RTP/AVP/TCP" not in request:
        return _UDP_REFUSED % number[1]
    return b""
