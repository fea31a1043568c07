"""Fifty slow viewers and a stalled broker: the daemon keeps its pace, and its memory does not grow."""

import json
import urllib.request
from pathlib import Path

import psutil

from edge.media import CLIP
from tests.support.broker import Mosquitto
from tests.support.daemon import Listener, free_port, running, wait_until
from tests.support.load import SlowPages, analysed

GROWTH = 40 * 2**20
"""Allowed growth in bytes for fifty viewers with one picture in transit each; queued frames would exceed it."""


def test_slow_pages_and_a_frozen_broker_cost_no_frames_and_no_memory(tmp_path: Path) -> None:
    port = free_port()
    with Mosquitto() as broker:
        flags = {"camera.source": CLIP, "web.port": port, "mqtt.host": "127.0.0.1", "mqtt.port": broker.port}
        listener = Listener(broker.port)
        with running(tmp_path / "log", flags) as daemon:
            listener.wait(lambda heard: heard.topic == "faces", "faces")
            process = psutil.Process(daemon.pid)

            def goes_on(frames: int) -> None:
                from_here = analysed(port)
                wait_until(lambda: analysed(port) >= from_here + frames, f"{frames} more frames", timeout=60)

            goes_on(40)
            with SlowPages(port) as pages:
                broker.freeze()
                goes_on(40)
                before = process.memory_info().rss
                goes_on(160)
                assert process.memory_info().rss - before < GROWTH
                assert pages.taken > 0
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=20) as answer:
                    assert json.load(answer) == {"status": "ok"}
            broker.freeze(False)
            since = len(listener.messages)
            listener.wait(lambda heard: heard.topic == "faces", "faces, when the broker is back", since, timeout=60)
            goes_on(20)
        assert "Traceback" not in (tmp_path / "log").read_text()
        listener.close()
