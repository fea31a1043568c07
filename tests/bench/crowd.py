"""Measures what 2,000 silent connections and 500 viewers cost the daemon, and whether a new client is served.

    python -m tests.bench.crowd --rounds 3 --seconds 20

The daemon plays its looped clip, with a password. In one half of a round there are no clients; in the other a process
holds 2,000 connections that send nothing, and 500 that request the stream or the events and read them; a closed one is
opened again after 5 s. Prints for each half the frame rate, the processor time of the analysis thread for a frame, and
which part of the time that thread was ready and had no processor; how often a new client with the password was served;
how the log grew. Status 1 where the median ratio of the processor times is over 1.03, that of the rates is below 0.97
although the thread got its processor, a client was not served, or the log grew by 100 lines.

The crowd's own process takes only what processors are left (niceness 19): in the field it is other machines.
"""

import argparse
import asyncio
import base64
import multiprocessing
import os
import statistics
import tempfile
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edge.media import CLIP
from tests.support.daemon import free_port, running, wait_until
from tests.support.load import analysed_with

SILENT, VIEWERS = 2000, 500
PASSWORD = "open sesame"
AUTHORIZATION = "Basic " + base64.b64encode(f":{PASSWORD}".encode()).decode()
_AGAIN_S = 5.0
_WAITED_MAX = 0.05
"""Share of time that the analysis thread waits for a processor above which frame rates are not compared."""


@dataclass(frozen=True)
class Half:
    """Result of half a round: frame rate, processor time per frame in ms, share of time waiting for a processor."""

    rate: float
    cost: float
    waited: float

    def __str__(self) -> str:
        return f"{self.rate:.2f} frames a second, {self.cost:.2f} ms a frame, {self.waited:.0%} without a processor"


async def _silent(port: int) -> None:
    while True:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with suppress(OSError):
                await reader.read(1)
            writer.close()
        await asyncio.sleep(_AGAIN_S)


async def _viewer(port: int, number: int) -> None:
    path = f"/stream?width=640&page={number}" if number % 2 else f"/events?page={number}"
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {AUTHORIZATION}\r\n\r\n".encode()
    while True:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with suppress(OSError):
                writer.write(request)
                while await reader.read(1 << 20):
                    pass
            writer.close()
        await asyncio.sleep(_AGAIN_S)


async def _crowd(port: int) -> None:
    await asyncio.gather(*(_silent(port) for _ in range(SILENT)), *(_viewer(port, n) for n in range(VIEWERS)))


def _run_crowd(port: int) -> None:
    os.nice(19)
    asyncio.run(_crowd(port))


def served(port: int) -> bool:
    """Return True if a new client with the password gets the newest Reading."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/latest.json", headers={"Authorization": AUTHORIZATION})
    with suppress(OSError), urllib.request.urlopen(request, timeout=10) as answer:
        return bool(answer.read())
    return False


def _analysis_thread(pid: int) -> Path:
    """Return the folder of a daemon's analysis thread in /proc."""
    return next(task for task in Path(f"/proc/{pid}/task").iterdir() if (task / "comm").read_text() == "analysis\n")


def _scheduled(thread: Path) -> tuple[float, float]:
    """Seconds that a thread has run, and has waited for a processor (the kernel's schedstat)."""
    ran, waited, _ = map(int, (thread / "schedstat").read_text().split())
    return ran / 1e9, waited / 1e9


def half(port: int, thread: Path, seconds: float, clients: list[bool]) -> Half:
    """Measure for `seconds`; a new client connects each second, and `clients` gets whether it was served."""
    time.sleep(3)
    frames, began, (ran, waited) = analysed_with(port, AUTHORIZATION), time.monotonic(), _scheduled(thread)
    while time.monotonic() - began < seconds:
        clients.append(served(port))
        time.sleep(1)
    done, ended, (ran_then, waited_then) = analysed_with(port, AUTHORIZATION), time.monotonic(), _scheduled(thread)
    took = ended - began
    return Half((done - frames) / took, 1000 * (ran_then - ran) / max(1, done - frames), (waited_then - waited) / took)


def main() -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=15.0)
    arguments = parser.parse_args()
    port, halves, clients = free_port(), list[tuple[Half, Half]](), list[bool]()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        flags = {"camera.source": CLIP, "web.port": port, "web.host": "0.0.0.0", "web.password": PASSWORD}
        with running(log, flags) as daemon:
            wait_until(lambda: served(port) and analysed_with(port, AUTHORIZATION) > 0, "the first frame", timeout=120)
            before, thread = len(log.read_text().splitlines()), _analysis_thread(daemon.pid)
            for number in range(arguments.rounds):
                alone = half(port, thread, arguments.seconds, [])
                crowd = multiprocessing.get_context("spawn").Process(target=_run_crowd, args=(port,))
                crowd.start()
                loaded = half(port, thread, arguments.seconds, clients)
                crowd.kill()
                crowd.join()
                halves.append((alone, loaded))
                print(f"round {number + 1}, alone: {alone}\n         crowd: {loaded}", flush=True)
            grown = len(log.read_text().splitlines()) - before
    cost = statistics.median(loaded.cost / alone.cost for alone, loaded in halves)
    quiet = [loaded.rate / alone.rate for alone, loaded in halves if max(alone.waited, loaded.waited) <= _WAITED_MAX]
    rate = statistics.median(quiet) if quiet else None
    print(f"processor time for a frame, crowd / alone: median {cost:.3f}")
    print(f"frame rate, crowd / alone: {f'median {rate:.3f}' if rate else 'this machine is too busy to say'}")
    print(f"new clients served: {sum(clients)} of {len(clients)}; the log grew by {grown} lines")
    return int(cost > 1.03 or (rate is not None and rate < 0.97) or not all(clients) or grown >= 100)


if __name__ == "__main__":
    raise SystemExit(main())
