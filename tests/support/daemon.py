"""The daemon as a process of its own, and an MQTT client that records its messages: for tests of the whole."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

DEVICE = "test-board"


@dataclass(frozen=True)
class Heard:
    """A received message. topic: without base topic and device id. payload: parsed JSON, or text if it is not JSON."""

    topic: str
    payload: Any
    retain: bool
    at: float


class Listener:
    """MQTT client that keeps every message of the device, and lets a test wait for one."""

    def __init__(self, port: int) -> None:
        self.messages: list[Heard] = []
        self._changed = threading.Condition()
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._on_message
        self._client.on_connect = lambda client, *_: client.subscribe(f"emotion/{DEVICE}/#", 1)
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        text = message.payload.decode()
        payload = json.loads(text) if text.startswith("{") else text
        topic = message.topic.removeprefix(f"emotion/{DEVICE}/")
        with self._changed:
            self.messages.append(Heard(topic, payload, message.retain, time.time()))
            self._changed.notify_all()

    def of(self, topic: str) -> list[Heard]:
        with self._changed:
            return [heard for heard in self.messages if heard.topic == topic]

    def wait(self, matches: Callable[[Heard], bool], what: str, since: int = 0, timeout: float = 30) -> Heard:
        """Return the first matching message from index `since` on; fails the test if none arrives in time."""

        def found() -> Heard | None:
            return next((heard for heard in self.messages[since:] if matches(heard)), None)

        with self._changed:
            heard = self._changed.wait_for(found, timeout)
        assert heard is not None, (
            f"no {what} within {timeout} s; heard {[h.topic for h in self.messages[since:]][-20:]}"
        )
        return heard

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def running(
    log: Path, flags: Mapping[str, object], command: str = "run", **variables: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Context manager: runs the daemon with flags (`camera.source`: ...), logs to `log`, and ends it by SIGTERM.

    variables: environment variables of the daemon.
    """
    given = {"display.mode": "off", "web.port": free_port(), "mqtt.device_id": DEVICE, **flags}
    words = [f"--{name}={value}" for name, value in given.items()]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EMOTION_EDGE_")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "edge.cli", command, *words],
            stdin=subprocess.DEVNULL,  # if standard input were a terminal, SIGHUP would mean its end
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment | {"PYTHONUNBUFFERED": "1", "XDG_STATE_HOME": str(log.parent / "state")} | variables,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def wait_until(condition: Callable[[], bool], what: str, timeout: float = 30) -> None:
    """Poll a condition until it is true; fails the test at the time-out."""
    ends = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < ends, f"not within {timeout} s: {what}"
        time.sleep(0.02)
