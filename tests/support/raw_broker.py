"""A minimal broker for tests of hostile behaviour: it can send oversized packets and hang up."""

import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

CONNECT, PUBLISH, SUBSCRIBE = 1, 3, 8


def length_bytes(length: int) -> bytes:
    """Encode the Remaining Length field (MQTT 3.1.1, section 2.2.3)."""
    out = bytearray()
    while True:
        length, digit = divmod(length, 128)
        out.append(digit | (128 if length else 0))
        if not length:
            return bytes(out)


class RawBroker:
    """Accepts every CONNECT, acknowledges subscriptions and QoS 1 messages, and records what it receives.

    Attributes:
        port: on 127.0.0.1.
        connects: the content of each CONNECT packet.
        published: topic and payload of each PUBLISH packet.
        acknowledged: packet identifiers of each PUBACK that it received.
    """

    def __init__(self, version: int, after_subscribe: Callable[[socket.socket], None]) -> None:
        """Listen. version: 4 (MQTT 3.1.1) or 5. after_subscribe: called with a subscribed client's socket."""
        self._version = version
        self._after_subscribe = after_subscribe
        self.connects: list[bytes] = []
        self.published: list[tuple[str, bytes]] = []
        self.acknowledged: list[int] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, client.makefile("rb") as stream:
                while first := stream.read(1):
                    self._handle(client, first[0], stream.read(_remaining_length(stream.read)))
        except (OSError, ValueError):
            pass  # the client, or the test, closed the socket

    def _handle(self, client: socket.socket, first: int, content: bytes) -> None:
        five = self._version == 5
        match first >> 4:
            case 1:
                self.connects.append(content)
                client.sendall(b"\x20\x03\x00\x00\x00" if five else b"\x20\x02\x00\x00")
            case 3:
                topic_end = 2 + int.from_bytes(content[:2])
                rest = content[topic_end:]
                if first & 0b110:
                    client.sendall(b"\x40\x02" + rest[:2])
                    rest = rest[2:]
                self.published.append((content[2:topic_end].decode(), rest[1 + rest[0] :] if five else rest))
            case 4:
                self.acknowledged.append(int.from_bytes(content[:2]))
            case 8:
                topics = content.count(b"/")  # at least as many codes as topics
                codes = bytes([1]) * topics
                body = content[:2] + (b"\x00" if five else b"") + codes
                client.sendall(b"\x90" + length_bytes(len(body)) + body)
                self._after_subscribe(client)


def _remaining_length(read: Callable[[int], bytes]) -> int:
    length, shift = 0, 0
    while True:
        digit = read(1)[0]
        length |= (digit & 127) << shift
        if digit < 128:
            return length
        shift += 7


def send_publish(client: socket.socket, topic: str, size: int, five: bool, mid: int = 7) -> None:
    """Send a retained PUBLISH with QoS 1 and a payload of `size` zeros."""
    name = topic.encode()
    head = len(name).to_bytes(2) + name + mid.to_bytes(2) + (b"\x00" if five else b"")
    client.sendall(b"\x32" + length_bytes(len(head) + size) + head)
    chunk = bytes(1_000_000)
    for start in range(0, size, len(chunk)):
        client.sendall(chunk[: size - start])
