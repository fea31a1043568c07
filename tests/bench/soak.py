"""Measures memory over hours: the daemon on its looped clip with everything on, a subscriber and a viewer.

    python -m tests.bench.soak --minutes 120

Prints the resident memory every half minute, the median and the largest of its seconds, then the growth of the median
after the first five minutes; status 1 if that is more than 3 MB. One picture in transit is a megabyte.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from edge.media import CLIP
from tests.support.broker import Mosquitto
from tests.support.daemon import Listener, free_port, running

WARM_S = 300.0
"""Seconds at the start that are not counted, in which caches fill and the allocator settles."""

GROWTH_MB = 3.0
_EVERY_S = 30


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=120.0)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as folder, Mosquitto() as broker:
        samples = _measured(Path(folder), broker.port, minutes)
    counted = [(seconds, megabytes) for seconds, megabytes in samples if seconds >= WARM_S]
    if len(counted) < 3:
        print(f"too short: {WARM_S / 60:.0f} minutes are not counted")
        return 2
    at, resident = np.array(counted).T
    tenth = max(1, len(counted) // 10)
    growth = float(np.median(resident[-tenth:]) - np.median(resident[:tenth]))
    slope = float(np.polyfit(at / 3600, resident, 1)[0])
    print(
        f"after the first {WARM_S / 60:.0f} minutes: {growth:+.2f} MB from beginning to end, {slope:+.2f} MB an hour,"
    )
    print(f"between {resident.min():.1f} and {resident.max():.1f} MB")
    return int(growth > GROWTH_MB)


def _measured(folder: Path, broker: int, minutes: float) -> list[tuple[float, float]]:
    """Measure every half minute; returns seconds since the start and resident megabytes."""
    port = free_port()
    flags = {
        "camera.source": CLIP,
        "mqtt.host": "127.0.0.1",
        "mqtt.port": broker,
        "mqtt.faces_rate": 30,
        "mqtt.stats_every": 1,
        "record.enabled": "true",
        "record.file": folder / "record.db",
        "web.port": port,
    }
    samples = []
    listener = Listener(broker)
    with running(folder / "log", flags, STATE_DIRECTORY=str(folder)) as daemon:
        listener.wait(lambda heard: heard.topic == "faces", "frame")
        began = time.monotonic()
        with _looked_at(port):
            while (now := time.monotonic() - began) < minutes * 60 and daemon.poll() is None:
                seconds: list[tuple[float, int, int]] = []
                while len(seconds) < _EVERY_S and daemon.poll() is None:
                    time.sleep(1)
                    seconds.append(resources(daemon.pid))
                megabytes, threads, files = np.median(seconds, axis=0)
                most = max(size for size, _, _ in seconds)
                fps = next((heard.payload["fps"] for heard in reversed(listener.of("stats"))), 0.0)
                samples.append((now, float(megabytes)))
                said = f"{now / 60:6.1f} min  {megabytes:7.2f} MB, at most {most:7.2f}"
                print(f"{said}  {threads:.0f} threads  {files:.0f} files  {fps:.1f} fps", flush=True)
                listener.messages.clear()
        if daemon.poll() is not None:
            print((folder / "log").read_text()[-2000:])
    listener.close()
    return samples


def resources(process: int) -> tuple[float, int, int]:
    """Return resident megabytes, number of threads and number of open files of a process."""
    folder = Path(f"/proc/{process}")
    pages = int((folder / "statm").read_text().split()[1])
    return (
        pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
        len(list((folder / "task").iterdir())),
        len(list((folder / "fd").iterdir())),
    )


@contextmanager
def _looked_at(port: int) -> Iterator[None]:
    """Context manager: a viewer that reads the page's stream and events, and reconnects every minute."""
    done = threading.Event()

    def read(path: str) -> None:
        while not done.is_set():
            ends = time.monotonic() + 60
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                while not done.is_set() and time.monotonic() < ends and answer.read1(65536):
                    pass

    readers = [threading.Thread(target=read, args=(path,)) for path in ("/stream.mjpg", "/events")]
    for reader in readers:
        reader.start()
    try:
        yield
    finally:
        done.set()
        for reader in readers:
            reader.join()


if __name__ == "__main__":
    sys.exit(main())
