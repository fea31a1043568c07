"""Two thousand connections that say nothing and five hundred viewers: what they cost, and who still gets in.

    python -m tests.bench.crowd --rounds 3 --seconds 20

The daemon watches its looped clip, with a password. In one half of a round nobody is there; in the other a process
beside it holds 2,000 connections that send nothing, and 500 that ask for the stream or the events and take what comes;
each that is closed is opened again after 5 s. Prints the frame rates, how often a new client with the password was
served meanwhile, and how the log grew. Status 1 where the median ratio of the rates is below 0.97, a client was not
served, or the log grew by 100 lines. On a machine that does other work the ratio says little.
"""

import argparse
import asyncio
import base64
import multiprocessing
import statistics
import tempfile
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

from edge.media import CLIP
from tests.support.daemon import free_port, running, wait_until
from tests.support.load import analysed_with

SILENT, VIEWERS = 2000, 500
PASSWORD = "open sesame"
AUTHORIZATION = "Basic " + base64.b64encode(f":{PASSWORD}".encode()).decode()
_AGAIN_S = 5.0


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
    asyncio.run(_crowd(port))


def served(port: int) -> bool:
    """Whether a new client with the password gets the newest reading."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/latest.json", headers={"Authorization": AUTHORIZATION})
    with suppress(OSError), urllib.request.urlopen(request, timeout=10) as answer:
        return bool(answer.read())
    return False


def rate(port: int, seconds: float, clients: list[bool]) -> float:
    """Frames analysed a second; a new client comes each second."""
    time.sleep(3)
    began, before = time.monotonic(), analysed_with(port, AUTHORIZATION)
    while time.monotonic() - began < seconds:
        clients.append(served(port))
        time.sleep(1)
    after, ended = analysed_with(port, AUTHORIZATION), time.monotonic()
    return (after - before) / (ended - began)


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    port, ratios, clients = free_port(), [], list[bool]()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        flags = {"camera.source": CLIP, "web.port": port, "web.host": "0.0.0.0", "web.password": PASSWORD}
        with running(log, flags):
            wait_until(lambda: served(port) and analysed_with(port, AUTHORIZATION) > 0, "the first frame")
            before = len(log.read_text().splitlines())
            for number in range(arguments.rounds):
                alone = rate(port, arguments.seconds, [])
                crowd = multiprocessing.get_context("spawn").Process(target=_run_crowd, args=(port,))
                crowd.start()
                loaded = rate(port, arguments.seconds, clients)
                crowd.kill()
                crowd.join()
                ratios.append(loaded / alone)
                print(f"round {number + 1}: {alone:.2f} frames a second alone, {loaded:.2f} in the crowd", flush=True)
            grown = len(log.read_text().splitlines()) - before
    median = statistics.median(ratios)
    print(f"ratio: median {median:.3f}, from {min(ratios):.3f} to {max(ratios):.3f}")
    print(f"new clients served: {sum(clients)} of {len(clients)}; the log grew by {grown} lines")
    return int(median < 0.97 or not all(clients) or grown >= 100)


if __name__ == "__main__":
    raise SystemExit(main())
