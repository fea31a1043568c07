"""`python -m tests.bench.scale`: many simulated boards at one local Mosquitto, through a restart of the broker.

Each board has its own client, id, will and back-off, and replays the messages that the daemon makes of the bundled
clip, at the daemon's rates. A subscriber counts. All boards run in one thread: their sockets are in one selector.
"""

import argparse
import json
import os
import random
import selectors
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import paho.mqtt.client as paho
import psutil
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edge import Analyser
from edge.config import MqttSettings
from edge.outputs.messages import encode, event_messages, state_message
from edge.outputs.mqtt.home_assistant import discovery_message
from edge.outputs.mqtt.topics import Topics, topics_of
from edge.reading import Image
from edge.system.backoff import Backoff
from tests.conftest import ROOT
from tests.support.broker import REMEMBERS, Mosquitto, Subscriber
from tests.support.daemon import wait_until

BACKOFF: Final = (0.5, 30.0, 0.5)
"""Shortest delay and longest delay, seconds, and jitter, as in edge/outputs/mqtt/output.py."""

HEARTBEAT_S: Final = 10.0


@dataclass(frozen=True)
class Script:
    """Messages that a board replays: a `faces` message per analysed frame, with the events of that frame."""

    faces: Sequence[bytes]
    events: Sequence[Sequence[dict[str, Any]]]
    state: bytes
    labels: Sequence[str]


def script_of_clip(frames: int = 60) -> Script:
    """Record the messages that the daemon publishes for every sixth frame of the bundled clip (5 a second)."""
    capture = cv2.VideoCapture(str(ROOT / "edge/media/clip.mp4"))
    pictures: list[Image] = []
    while len(pictures) < frames * 6 and (read := capture.read())[0]:
        pictures.append(np.asarray(read[1], np.uint8))
    with Analyser() as analyser:
        readings = [reading for _, reading in analyser.follow(pictures, fps=30)][::6]
        labels = analyser.labels
    pairs = zip([None, *readings[:-1]], readings, strict=True)
    return Script(
        [encode(reading.to_dict()) for reading in readings],
        [list(event_messages(before, after)) for before, after in pairs],
        encode(state_message(readings[-1], "online", time.time())),
        labels,
    )


class Board:
    """A simulated board. sent: the events that it sent, each with a number of its own."""

    def __init__(
        self, name: str, port: int, script: Script, faces_rate: float, selector: selectors.BaseSelector
    ) -> None:
        settings = MqttSettings(host="127.0.0.1", port=port, device_id=name)
        self.topics: Topics = topics_of(settings)
        self._discovery = discovery_message(settings, script.labels)
        self._script, self._port, self._selector = script, port, selector
        self._period = 1 / faces_rate
        self._backoff = Backoff(*BACKOFF)
        self._frame = random.randrange(len(script.faces))
        self._next_frame = self._next_state = self._retry_at = 0.0
        self._socket: int | None = None
        self.online, self.attempts, self.sent = False, 0, 0
        self.client = paho.Client(CallbackAPIVersion.VERSION2, name, protocol=MQTTProtocolVersion.MQTTv5)
        self.client.will_set(self.topics.status, b"offline", 1, retain=True)
        self.client.on_connect = lambda *_: self._connected()
        self.client.on_disconnect = lambda *_: self._lost()

    def _connected(self) -> None:
        self.online = True
        self._backoff.reset()
        now = time.monotonic()
        self._next_frame, self._next_state = now + random.random() * self._period, now
        self.client.publish(self.topics.status, b"online", 1, retain=True)
        if self._discovery:
            self.client.publish(self._discovery.topic, self._discovery.payload, 1, retain=True)

    def _lost(self) -> None:
        if self._socket is not None:
            self._selector.unregister(self._socket)
            self._socket = None
        self.online = False
        self._retry_at = time.monotonic() + self._backoff.next()

    def step(self, now: float) -> None:
        """Do what is due: connect, publish, keep alive."""
        if self._socket is None:
            if now >= self._retry_at:
                self._connect()
            return
        self.client.loop_misc()
        if not self.online:
            return
        if now >= self._next_state:
            self._next_state = now + HEARTBEAT_S
            self.client.publish(self.topics.state, self._script.state, 1, retain=True)
        if now >= self._next_frame:
            self._next_frame += self._period
            self._frame = (self._frame + 1) % len(self._script.faces)
            self.client.publish(self.topics.faces, self._script.faces[self._frame], 0)
            for event in self._script.events[self._frame]:
                self.sent += 1
                self.client.publish(self.topics.event, encode(event | {"number": self.sent}), 1)
        if self.client.want_write():
            self.client.loop_write()

    def read(self) -> None:
        """Read what has arrived."""
        self.client.loop_read()

    def _connect(self) -> None:
        self.attempts += 1
        try:
            self.client.connect("127.0.0.1", self._port, keepalive=20)
        except OSError:
            self._retry_at = time.monotonic() + self._backoff.next()
            return
        if opened := self.client.socket():
            self._socket = opened.fileno()
            self._selector.register(self._socket, selectors.EVENT_READ, self)


@dataclass(frozen=True)
class Result:
    """Figures of a run. broker_cpu: share of a core while all publish, may exceed 1. broker_mb: resident at the end."""

    boards: int
    connect_s: float
    messages_s: float
    broker_cpu: float
    broker_mb: float
    retained: int
    back_s: float
    attempts: int
    events: int
    lost: int


def run(count: int, seconds: float, faces_rate: float) -> Result:
    """Connect boards, publish, restart the broker, publish, and count what arrived."""
    script = script_of_clip()
    selector = selectors.DefaultSelector()
    with Mosquitto(*REMEMBERS, "max_queued_messages 0") as broker:
        counted: Counter[str] = Counter()
        got: set[tuple[str, int]] = set()

        def note(_client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
            kind = message.topic.rpartition("/")[2]
            counted[kind] += 1
            if kind == "event":
                got.add((message.topic.split("/")[1], json.loads(message.payload)["number"]))

        listener = paho.Client(CallbackAPIVersion.VERSION2, "counter", clean_session=False)
        listener.on_message = note
        listener.on_connect = lambda client, *_: client.subscribe([("emotion/+/faces", 0), ("emotion/+/event", 1)])
        listener.reconnect_delay_set(1, 1)
        listener.connect("127.0.0.1", broker.port)
        listener.loop_start()
        boards = [Board(f"board-{n:04}", broker.port, script, faces_rate, selector) for n in range(count)]

        def loop(until: float, stop: Any = None) -> None:
            while time.monotonic() < until and not (stop and stop()):
                for key, _ in selector.select(0.005):
                    key.data.read()
                now = time.monotonic()
                for board in boards:
                    board.step(now)

        def all_online() -> bool:
            return all(board.online for board in boards)

        started = time.monotonic()
        loop(started + 120, all_online)
        connect_s = time.monotonic() - started
        process = psutil.Process(broker.pid)
        before, used = sum(counted.values()), sum(process.cpu_times()[:2])
        began = time.monotonic()
        loop(began + seconds)
        span = time.monotonic() - began
        broker_cpu = (sum(process.cpu_times()[:2]) - used) / span
        messages_s = (sum(counted.values()) - before) / span
        broker_mb = process.memory_info().rss / 1e6
        broker.end()
        attempts = sum(board.attempts for board in boards)
        loop(time.monotonic() + 3)
        broker.start()
        returned = time.monotonic()
        loop(returned + 120, all_online)
        back_s = time.monotonic() - returned
        attempts = sum(board.attempts for board in boards) - attempts
        loop(time.monotonic() + min(seconds, 5))
        for board in boards:
            board._next_frame = float("inf")
        events = sum(board.sent for board in boards)
        loop(time.monotonic() + 60, lambda: len(got) >= events)
        listener.disconnect()
        listener.loop_stop()
        with Subscriber(broker.port) as retained:
            wait_until(lambda: len(retained.of("")) >= 3 * count, "retained messages", 60)
            kept = len([message for message in retained.of("") if message.retain])
    return Result(
        count, connect_s, messages_s, broker_cpu, broker_mb, kept, back_s, attempts, events, events - len(got)
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures of a run."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale", description=__doc__)
    parser.add_argument("--boards", type=int, default=1000, metavar="N")
    parser.add_argument("--seconds", type=float, default=15.0, help="of publishing (default: 15)")
    parser.add_argument("--faces-rate", type=float, default=5.0, help="`faces` a second and board (default: 5)")
    given = parser.parse_args(arguments)
    result = run(given.boards, given.seconds, given.faces_rate)
    for name, value in vars(result).items():
        print(f"{name:12} {value:.2f}" if isinstance(value, float) else f"{name:12} {value}")
    print(f"{'load':12} {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
