"""Soak test with changing viewers, uploads, broker, camera, switches and models: memory must not grow.

    python -m tests.bench.churn --minutes 60

Every few seconds one of these happens: pages are opened and closed, images are uploaded (one of them damaged), the
broker or the network camera is stopped and started, privacy is switched on and off, detection likewise, a model is
installed and rolled back. Prints memory, threads and descriptors every half minute, and how often each action worked.
Status 1 where the resident memory at the end is more than 5 MB above that of minute 10, threads or descriptors are more
than then, or an action never succeeded. Both ends are taken with nobody there, the median of 15 seconds.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edge.media import CLIP
from edge.models.card import CARD_FILE
from tests.bench.soak import resources
from tests.support.broker import Mosquitto
from tests.support.daemon import DEVICE, free_port, running, wait_until
from tests.support.images import encoded
from tests.support.mjpeg import Image, MjpegServer
from tests.support.samples import picture
from tests.support.serving import SMALL

WARM_MINUTES = 10.0
GROWTH_MB = 5.0
_REST_S = 45.0
"""Seconds of rest before a measurement, in which the image decoder and viewers' connections end."""
_FAILURES = (OSError, HTTPException, RuntimeError, ValueError, subprocess.SubprocessError)
"""Exceptions of an action that are expected while the broker, the camera or a model is being replaced."""


class Churn:
    """Actions on the daemon. port: port of its page. succeeded: number of successes by name of the action."""

    def __init__(
        self, port: int, broker: Mosquitto, camera: MjpegServer, folder: Path, variables: Mapping[str, str]
    ) -> None:
        self.succeeded: Counter[str] = Counter()
        self._port = port
        self._broker = broker
        self._camera = camera
        self._variables = os.environ | dict(variables)
        self._other = Path(shutil.copytree(SMALL, folder / "other"))
        card = json.loads((self._other / CARD_FILE).read_text()) | {"version": "99.0.0"}
        (self._other / CARD_FILE).write_text(json.dumps(card))
        self._chance = random.Random(1)

    def step(self) -> str:
        """Carry out one random action; returns its name."""
        actions: list[Callable[[], None]] = [
            self._look,
            self._look,
            self._upload,
            self._switch,
            self._stop_broker,
            self._stop_camera,
            self._model,
        ]
        action = self._chance.choice(actions)
        name = action.__name__.strip("_")
        self.succeeded[name] += 0
        with suppress(*_FAILURES):
            action()
            self.succeeded[name] += 1
        return name

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._port}{path}"

    def _look(self) -> None:
        for path in ("/stream?width=320", "/stream", "/events", "/latest.jpg", "/metrics", "/today.json"):
            with urllib.request.urlopen(self._url(path), timeout=10) as answer:
                answer.read(50_000 if path.startswith("/stream") else 1)

    def _upload(self) -> None:
        file = encoded(picture(1280, 720, self._chance.randrange(100)))
        for body in (file, file[: self._chance.randrange(len(file))], b"no image"):
            with suppress(OSError):
                urllib.request.urlopen(self._url("/read"), body, timeout=30).close()

    def _switch(self) -> None:
        client = paho.Client(CallbackAPIVersion.VERSION2)
        client.connect("127.0.0.1", self._broker.port)
        client.loop_start()
        for control in self._chance.sample(("privacy", "detection"), 2):
            for state in ("ON", "OFF") if control == "privacy" else ("OFF", "ON"):
                client.publish(f"emotion/{DEVICE}/{control}/set", state, 1).wait_for_publish(5)
                time.sleep(1)
        client.disconnect()
        client.loop_stop()

    def _stop_broker(self) -> None:
        self._broker.stop()
        time.sleep(1)
        self._broker.start()

    def _stop_camera(self) -> None:
        self._camera.stop()
        time.sleep(self._chance.choice((0.5, 3.0)))
        self._camera.start()

    def _model(self) -> None:
        for words in (["install", str(self._other)], ["rollback"]):
            command = [sys.executable, "-m", "edge.cli", "model", *words]
            subprocess.run(command, env=self._variables, capture_output=True, check=True, timeout=120)
            time.sleep(3)


def main() -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--warm", type=float, default=WARM_MINUTES, help="minutes before the first end is taken")
    arguments = parser.parse_args()
    port = free_port()
    with tempfile.TemporaryDirectory() as name, Mosquitto() as broker, MjpegServer(_frames(), 10.0) as camera:
        folder, variables = Path(name), {"STATE_DIRECTORY": name}
        flags = {
            "camera.source": camera.url, "web.port": port, "mqtt.host": "127.0.0.1", "mqtt.port": broker.port,
            "record.enabled": "true", "record.file": folder / "record.db",
        }  # fmt: skip
        with running(folder / "log", flags, **variables) as daemon:
            wait_until(lambda: _answers(port), "the page")
            churn, began, first = Churn(port, broker, camera, folder, variables), time.monotonic(), None
            printed = 0.0
            while (minutes := (time.monotonic() - began) / 60) < arguments.minutes - 1 and daemon.poll() is None:
                done = churn.step()
                time.sleep(1)
                if minutes - printed >= 0.5:
                    printed = minutes
                    print(f"{minutes:6.1f} min  {_text(resources(daemon.pid))}  {done}", flush=True)
                if first is None and minutes >= arguments.warm:
                    first = _at_rest(daemon.pid)
            if daemon.poll() is not None or first is None:
                print((folder / "log").read_text()[-2000:])
                return 1
            last = _at_rest(daemon.pid)
    print(f"minute {arguments.warm:.0f}: {_text(first)}\nthe end:   {_text(last)}")
    print("succeeded: " + ", ".join(f"{name} {times}" for name, times in sorted(churn.succeeded.items())))
    grown = last[0] - first[0] > GROWTH_MB or last[1] > first[1] or last[2] > first[2]
    return int(grown or not all(churn.succeeded.values()))


def _frames() -> list[Image]:
    """Read the frames of the bundled clip."""
    capture, frames = cv2.VideoCapture(str(CLIP)), list[Image]()
    while (read := capture.read())[0]:
        frames.append(np.asarray(read[1], np.uint8))
    return frames


def _answers(port: int) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/latest.json", timeout=5) as answer:
        return bool(answer.read() != b"null")
    return False


def _at_rest(pid: int) -> tuple[float, int, int]:
    time.sleep(_REST_S)
    samples = []
    for _ in range(15):
        samples.append(resources(pid))
        time.sleep(1)
    return median(size for size, _, _ in samples), min(n for _, n, _ in samples), min(n for _, _, n in samples)


def _text(seen: tuple[float, int, int]) -> str:
    return f"{seen[0]:7.2f} MB  {seen[1]} threads  {seen[2]} files"


if __name__ == "__main__":
    raise SystemExit(main())
