"""Measures the frame rate of the analysis with and without slow viewers and a stalled broker, in turns.

    python -m tests.support.load --rounds 5 --seconds 20

The daemon watches its looped clip at the clip's pace, 20 frames a second. In one half of a round there are no viewers
and the broker works; in the other 50 pages read more slowly than they are sent, and the broker is frozen with its
connection open. Prints both rates of each round and their ratio; status 1 where the median ratio is off by more than
3%. On a machine with other load, use more rounds and look at the spread of the ratio.
"""

import argparse
import re
import socket
import statistics
import tempfile
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from edge.media import CLIP
from tests.support.broker import Mosquitto
from tests.support.daemon import free_port, running, wait_until

VIEWERS = 50
ALLOWED = 0.03
_SIP_BYTES = 8192
_SIP_S = 0.25
"""Seconds between reads of a socket, which then takes 32 kB a second of a stream of about 600."""

_SETTLE_S = 2.0


class SlowPages:
    """Context manager: pages that read stream and events more slowly than they are sent.

    taken: number of bytes read from all streams.
    """

    def __init__(self, port: int, pages: int = VIEWERS) -> None:
        self.taken = 0
        self._port = port
        self._pages = pages
        self._sockets: list[socket.socket] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sip)

    def __enter__(self) -> Self:
        for page in range(self._pages):
            for path in (f"/stream?width=640&page={page}", f"/events?page={page}"):
                opened = socket.socket()
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SIP_BYTES)
                opened.connect(("127.0.0.1", self._port))
                opened.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                opened.setblocking(False)
                self._sockets.append(opened)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        for opened in self._sockets:
            opened.close()

    def _sip(self) -> None:
        while not self._stop.wait(_SIP_S):
            for opened in self._sockets:
                with suppress(BlockingIOError):
                    self.taken += len(opened.recv(_SIP_BYTES))


def analysed(port: int) -> int:
    """Read from the live page how many frames were analysed since the daemon's start."""
    return analysed_with(port, "")


def analysed_with(port: int, authorization: str) -> int:
    """Read the number of analysed frames from a page with a password. authorization: the HTTP header."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Authorization": authorization})
    with urllib.request.urlopen(request, timeout=20) as answer:
        found = re.search(r"^emotion_edge_latency_seconds_count (\d+)", answer.read().decode(), re.MULTILINE)
    return int(found[1]) if found else 0


def _rate(port: int, seconds: float) -> float:
    time.sleep(_SETTLE_S)
    began, before = time.monotonic(), analysed(port)
    time.sleep(seconds)
    after, ended = analysed(port), time.monotonic()
    return (after - before) / (ended - began)


def _seen(port: int) -> bool:
    try:
        return analysed(port) > 0
    except OSError:
        return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    port, ratios = free_port(), []
    with tempfile.TemporaryDirectory() as folder, Mosquitto() as broker:
        flags = {"camera.source": CLIP, "web.port": port, "mqtt.host": "127.0.0.1", "mqtt.port": broker.port}
        with running(Path(folder) / "log", flags):
            wait_until(lambda: _seen(port), "the first frame")
            for number in range(arguments.rounds):
                alone = _rate(port, arguments.seconds)
                broker.freeze()
                with SlowPages(port):
                    loaded = _rate(port, arguments.seconds)
                broker.freeze(False)
                ratios.append(loaded / alone)
                print(
                    f"round {number + 1}: {alone:.2f} frames a second alone, {loaded:.2f} with {VIEWERS} slow pages "
                    f"and a frozen broker: {ratios[-1]:.3f}",
                    flush=True,
                )
    median = statistics.median(ratios)
    print(f"ratio: median {median:.3f}, from {min(ratios):.3f} to {max(ratios):.3f}")
    return int(abs(median - 1) > ALLOWED)


if __name__ == "__main__":
    raise SystemExit(main())
