"""`emotion-edge bench`: measures the pipeline at full speed, then the whole daemon at the clip's own speed."""

import json
import os
import platform
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edge.cameras.choose import open_camera
from edge.commands.bench_scaling import FIRST, growth, write_plot
from edge.config import CameraSettings, Settings
from edge.daemon.stats import latency_percentiles
from edge.errors import EmotionEdgeError
from edge.media import CLIP
from edge.models.runtime import Runtime, choose
from edge.outputs.drawing.jpeg import JPEG_QUALITY
from edge.outputs.drawing.last_minute import LastMinute
from edge.outputs.drawing.overlay import annotate
from edge.outputs.mqtt.embedded_broker import start_broker
from edge.pipeline import open_pipeline
from edge.reading import Frame
from edge.translations import words_of


def report(settings: Settings, seconds: float, plot: Path | None = None) -> None:
    """Measure for about `seconds` in all on the bundled clip; print a table, then the same as one line of JSON.

    plot: an SVG file to write, which shows how the cost grows with faces and frame size.
    """
    facts: dict[str, Any] = {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    facts |= _flat_out(settings, seconds / 3)
    facts |= _growth(settings, seconds / 3, plot)
    facts |= _daemon(settings, seconds / 3)
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:{width}}  {value:.3g}" if isinstance(value, float) else f"{name:{width}}  {value}")
    print(json.dumps(facts))


def _flat_out(settings: Settings, seconds: float) -> dict[str, Any]:
    """Time each stage at full speed: decoding, analysis and the networks in it, drawing, and JPEG encoding."""
    runtime = choose(settings.runtime.interpreter)
    inside: list[float] = []
    pipeline = open_pipeline(settings, _watched(runtime, inside))
    camera = open_camera(CameraSettings(source=str(CLIP), realtime=False))
    minute = LastMinute(words_of())
    spent: dict[str, list[float]] = {name: [] for name in ("decode", "pipeline", "networks", "annotate", "encode")}
    stages: dict[str, list[float]] = {}
    faces = frames = 0
    ends = time.monotonic() + seconds
    try:
        while time.monotonic() < ends or frames < 2 * FIRST:
            with _timed(spent["decode"]):
                picture = camera.read()
            if picture is None:
                break
            # Time stamps at the clip's frame rate, so that tracking and smoothing behave as in real time.
            frame = Frame(picture.image, frames / 20, frames / 20, frames)
            with _timed(spent["pipeline"]):
                reading = pipeline.analyse(frame)
            spent["networks"].append(sum(inside))
            inside.clear()
            with _timed(spent["annotate"]):
                minute.put(reading)
                annotated = annotate(frame.image, reading, context=minute.context())
            with _timed(spent["encode"]):
                cv2.imencode(".jpg", annotated, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))
            frames += 1
            faces += len(reading.faces) if frames > FIRST else 0
            for name, milliseconds in reading.stages.items():
                stages.setdefault(name, []).append(milliseconds)
    finally:
        camera.close()
    # Means, because not every frame has every stage; without the first frames, in which the networks are set up.
    ms = {name: float(np.mean(times[FIRST:])) * 1000 for name, times in spent.items()}
    outside = ms["pipeline"] - ms["networks"]
    return {
        "interpreter": str(runtime),
        "model": f"{pipeline.card.name} {pipeline.card.version}",
        "frames": frames,
        "faces a frame": faces / (frames - FIRST),
        "frames a detection": frames / len(stages["detect"]),
        "frames a classification": frames / max(1, len(stages.get("classify", []))),
        "pipeline fps": 1000 / ms["pipeline"],
        **{f"{name} ms": float(np.median(times)) for name, times in stages.items()},
        **{f"{name} ms": value for name, value in ms.items()},
        "pipeline / networks": ms["pipeline"] / ms["networks"],
        "annotate / encode": ms["annotate"] / ms["encode"],
        "pipeline outside networks, % of a frame": 100 * outside / (ms["decode"] + ms["pipeline"] + ms["encode"]),
    }


def _growth(settings: Settings, seconds: float, plot: Path | None) -> dict[str, float]:
    by_faces, by_width = growth(settings, choose(settings.runtime.interpreter), seconds)
    if plot:
        write_plot(plot, by_faces, by_width)
    found = ((by_faces, "{} faces"), (by_width, "{} pixels wide"))
    return {
        f"processor ms a frame, k {k}, {words.format(at)}": cost
        for curves, words in found
        for k, curve in curves.items()
        for at, cost in curve.items()
    }


def _daemon(settings: Settings, seconds: float) -> dict[str, Any]:
    """Measure the daemon in a process of its own, with a viewer of the page and a subscriber that times messages."""
    broker = start_broker()
    latencies: list[float] = []
    stats: dict[str, Any] = {}

    def received(_client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        content = json.loads(message.payload)
        if message.topic.endswith("/faces"):
            latencies.append((time.time() - datetime.fromisoformat(content["ts"]).timestamp()) * 1000)
        else:
            stats.update(content)

    subscriber = paho.Client(CallbackAPIVersion.VERSION2)
    subscriber.on_message = received
    subscriber.connect("127.0.0.1", broker.port)
    subscriber.subscribe([("+/+/faces", 0), ("+/+/stats", 0)])
    subscriber.loop_start()
    flags = {
        "camera.source": CLIP,
        "mqtt.host": "127.0.0.1",
        "mqtt.port": broker.port,
        "mqtt.version": "3.1.1",
        "mqtt.faces_rate": 60,
        "mqtt.stats_every": 1,
        "display.mode": "off",
        "web.port": (page := _free_port()),
        "emotion.model": settings.emotion.model,
        "emotion.rate": settings.emotion.rate,
        "detector.every": settings.detector.every,
        "runtime.interpreter": settings.runtime.interpreter,
        "runtime.threads": settings.runtime.threads,
    }
    command = [sys.executable, "-m", "edge.cli", "run", *(f"--{name}={value}" for name, value in flags.items())]
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as daemon:
        try:
            while not latencies:
                if daemon.poll() is not None:
                    raise EmotionEdgeError(f"bench: the daemon ended with status {daemon.returncode}, see above")
                time.sleep(0.01)
            first = time.monotonic() - began
            with _looking_at(page):
                # Wait until caches have filled.
                time.sleep(2)
                latencies.clear()
                cpu, at = _cpu_seconds(daemon.pid), time.monotonic()
                time.sleep(seconds)
                share = (_cpu_seconds(daemon.pid) - cpu) / (time.monotonic() - at)
                resident = _resident_mb(daemon.pid)
        finally:
            daemon.terminate()
            subscriber.loop_stop()
            broker.close()
    return {
        "start to first message s": first,
        "daemon fps": stats["fps"],
        "dropped": f"{stats['dropped']} of {stats['captured']}",
        **{f"capture to subscriber {name} ms": value for name, value in latency_percentiles(latencies).items()},
        "one core's share": share,
        "resident MB": resident,
    }


@contextmanager
def _timed(times: list[float]) -> Iterator[None]:
    """Append the seconds that the body of the `with` statement takes."""
    began = time.perf_counter()
    yield
    times.append(time.perf_counter() - began)


def _watched(runtime: Runtime, inside: list[float]) -> Runtime:
    """Wrap an interpreter so that it appends the seconds of each inference to `inside`."""
    base: Any = runtime.interpreter

    class Watched(base):  # type: ignore[misc]
        def invoke(self) -> None:
            with _timed(inside):
                super().invoke()

    return replace(runtime, interpreter=Watched)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def _looking_at(port: int) -> Iterator[None]:
    """Read the live page's stream, as a browser does, during the body of the `with` statement."""
    done = threading.Event()

    def read() -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/stream.mjpg", timeout=5) as stream:
            while not done.is_set() and stream.read(65536):
                pass

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    yield
    done.set()
    reader.join(timeout=2)


def _cpu_seconds(process: int) -> float:
    """Return the processor seconds of a process, user and system (proc(5): fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mb(process: int) -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
