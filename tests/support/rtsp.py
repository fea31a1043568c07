"""A small RTSP server for tests, like an IP camera: motion JPEG in RTP (RFC 2435), inside the RTSP connection."""

import socketserver
import ssl
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from tests.support.mjpeg import Image, encode

_FRAGMENT = 1400
"""Most bytes of a picture in one packet."""


def _segments(jpeg: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield marker and contents of each JPEG segment; the picture's data is last, without its end marker."""
    at = 2
    while True:
        marker, length = jpeg[at + 1], int.from_bytes(jpeg[at + 2 : at + 4], "big")
        yield marker, jpeg[at + 4 : at + 2 + length]
        at += 2 + length
        if marker == 0xDA:
            yield 0, jpeg[at:-2]
            return


def packets(image: Image | None, number: int, timestamp: int) -> Iterator[bytes]:
    """Yield a picture's RTP packets. number: the first packet's. timestamp: at 90 kHz. Sides: multiples of 16.

    image: None stands for a picture whose first packet is lost.
    """
    if image is None:
        head = struct.pack(">BBHII", 0x80, 26 | 1 << 7, (number + 1) & 0xFFFF, timestamp & 0xFFFFFFFF, 1)
        yield head + struct.pack(">IBBBB", _FRAGMENT, 1, 255, 6, 4) + b"\x55" * 99
        return
    height, width = image.shape[:2]
    parts = list(_segments(encode(image)))
    tables = b"".join(contents[1:65] for marker, contents in parts if marker == 0xDB)
    data = parts[-1][1]
    for offset in range(0, len(data), _FRAGMENT):
        last = offset + _FRAGMENT >= len(data)
        head = struct.pack(">BBHII", 0x80, 26 | last << 7, number & 0xFFFF, timestamp & 0xFFFFFFFF, 1)
        head += struct.pack(">IBBBB", offset, 1, 255, width // 8, height // 8)  # type 1: 4:2:0; 255: tables follow
        if offset == 0:
            head += struct.pack(">BBH", 0, 0, len(tables)) + tables
        yield head + data[offset : offset + _FRAGMENT]
        number += 1


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class RtspServer:
    """Serves pictures on the loopback over RTSP, over and over, until it is stopped."""

    def __init__(
        self, images: Sequence[Image | None], fps: float = 20.0, tls: ssl.SSLContext | None = None, tcp: bool = True
    ) -> None:
        """Listen.

        Args:
            images: BGR pictures; None: a picture of which a packet is lost.
            fps: pictures a second.
            tls: context with the server's certificate; None: no encryption.
            tcp: False refuses to send pictures over the RTSP connection.
        """
        self._images, self._fps, self._tcp = images, fps, tcp
        self._stopped = threading.Event()
        self._frozen = threading.Event()
        self.requests: list[str] = []
        """First line of each request, and the transports requested."""
        self._server = _Server(("127.0.0.1", 0), self._handler(tls))
        self.url = f"rtsp{'s' if tls else ''}://127.0.0.1:{self._server.server_address[1]}/stream"

    def freeze(self) -> None:
        """Stop sending, with connections left open."""
        self._frozen.set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self, tls: ssl.SSLContext | None) -> type[socketserver.StreamRequestHandler]:
        requests, images, fps, tcp = self.requests, self._images, self._fps, self._tcp
        stopped, frozen = self._stopped, self._frozen

        class Handler(socketserver.StreamRequestHandler):
            def setup(self) -> None:
                if tls:
                    self.request = tls.wrap_socket(self.request, server_side=True)
                super().setup()

            def handle(self) -> None:
                while request := self.rfile.readline().decode():
                    requests.append(request)
                    head = {}
                    while line := self.rfile.readline().decode().strip():
                        name, _, value = line.partition(":")
                        head[name.lower()] = value.strip()
                    requests.append(head.get("transport", ""))
                    if not self.answer(request.split()[0], head):
                        return

            def answer(self, method: str, head: dict[str, str]) -> bool:
                status, more, body = "200 OK", "Session: 1\r\n", ""
                if method == "OPTIONS":
                    more = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
                elif method == "DESCRIBE":
                    body = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=test\r\nt=0 0\r\n"
                    body += f"m=video 0 RTP/AVP 26\r\na=framerate:{fps}\r\na=control:track\r\n"
                    more = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
                elif method == "SETUP" and tcp and "interleaved" in head["transport"]:
                    more += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
                elif method == "SETUP":
                    status = "461 Unsupported Transport"
                reply = f"RTSP/1.0 {status}\r\nCSeq: {head['cseq']}\r\n{more}\r\n{body}"
                self.wfile.write(reply.encode())
                if method == "PLAY":
                    self.play()
                return method not in ("PLAY", "TEARDOWN")

            def play(self) -> None:
                began, number, shown = time.monotonic(), 0, 0
                try:
                    while not stopped.wait(max(0.01, began + shown / fps - time.monotonic())):
                        if frozen.is_set():
                            continue
                        for packet in packets(images[shown % len(images)], number, round(shown * 90000 / fps)):
                            self.wfile.write(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
                            number += 1
                        shown += 1
                except OSError:  # the client went away
                    return

        return Handler
