"""A small HTTP server of motion JPEG for tests, like an IP camera."""

import ssl
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]

_BOUNDARY = "frame"


def encode(image: Image, quality: int = 95) -> bytes:
    """Encode a BGR or grey picture as JPEG."""
    ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert ok
    return bytes(data)


class MjpegServer:
    """Serves pictures on the loopback as multipart/x-mixed-replace, at any path, until it is stopped.

    Every client sees the same picture at the same time: number `time * fps`, over and over. It can be started again
    after `stop`, on the same port.
    """

    def __init__(
        self, images: Sequence[Image], fps: float = 20.0, port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        """images: BGR. port: 0 takes a free one, which it then keeps. tls: with its certificate; None: plain HTTP."""
        self._tls = tls
        self.port = port
        self._fps = fps
        self._began = time.monotonic()
        self._parts = [encode(image) for image in images]
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self._frozen = threading.Event()
        self.clients = 0
        """Number of connections accepted so far."""
        self.watchers = 0
        """Number of open connections."""
        self._counting = threading.Lock()

    @property
    def url(self) -> str:
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}/stream.mjpg"

    def show(self, images: Sequence[Image]) -> None:
        """Serve these pictures from now on, also to connected clients, beginning with the first."""
        self._parts, self._began = [encode(image) for image in images], time.monotonic()

    def freeze(self, frozen: bool = True) -> None:
        """Stop sending, with connections left open, like a camera that hangs; False resumes."""
        if frozen:
            self._frozen.set()
        else:
            self._frozen.clear()

    def start(self) -> Self:
        self._stopped.clear()
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), self._handler())
        self._server.daemon_threads = True
        if self._tls:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close the port and every connection."""
        if self._server is None or self._thread is None:
            return
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _part(self) -> bytes:
        data = self._parts[int((time.monotonic() - self._began) * self._fps) % len(self._parts)]
        head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
        return head.encode() + data + b"\r\n"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server, stopped = self, self._stopped

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with server._counting:
                    server.clients += 1
                    server.watchers += 1
                try:
                    self._stream()
                finally:
                    with server._counting:
                        server.watchers -= 1

            def _stream(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
                self.end_headers()
                due = time.monotonic()
                while not stopped.wait(max(0.0, due - time.monotonic())):
                    due = max(due + 1 / server._fps, time.monotonic() - 1)
                    if server._frozen.is_set():
                        continue
                    try:
                        self.wfile.write(server._part())
                    except OSError:  # the client went away
                        return

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler
