"""What waits for the broker: never more than the last events and the newest of everything else."""

import math
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from edge.config import MqttSettings
from edge.outputs.messages import Message, event_messages, faces_message, state_message, stats_message
from edge.reading import Reading, Stats

EVENTS_KEPT: Final = 200
"""Events kept through an outage; the oldest is dropped first."""

_EXPIRY_HEARTBEATS: Final = 3


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message on its way. topic: its last level; expiry: seconds after which a broker forgets it, None: never."""

    topic: str
    content: Message
    qos: int
    retain: bool
    expiry: int | None = None


class Outbox:
    """Filled by the analysis thread, emptied by the sender's; neither waits for the other.

    Open while there is a connection. Shut, it keeps events, and no faces; the newest state and stats are sent first
    thing when it opens again.
    """

    def __init__(self, settings: MqttSettings) -> None:
        self._heartbeat = settings.heartbeat
        self._faces_period = 1 / settings.faces_rate
        self._lock = threading.Lock()
        self._open = False
        self._reading: Reading | None = None
        self._camera = "opening the camera"
        self._events: deque[Outgoing] = deque(maxlen=EVENTS_KEPT)
        self._state_sent: tuple[Any, ...] | None = None
        self._state_due = -math.inf
        self._faces: Reading | None = None
        self._faces_due = -math.inf
        self._stats: Outgoing | None = None
        self._stats_waiting = False

    def put(self, reading: Reading) -> bool:
        """Note a Reading: events where something changed, the state, and its faces if the rate allows.

        Returns whether there is something to send now.
        """
        with self._lock:
            self._note_events(reading)
            self._reading = reading
            if self._open and reading.captured_at >= self._faces_due:
                # Counted from when it was due, so that a camera a little faster than the rate does not halve it.
                late = reading.captured_at - self._faces_due
                since = self._faces_due if late < self._faces_period else reading.captured_at
                self._faces_due = since + self._faces_period
                self._faces = reading
            return self._open and self._something()

    def report(self, stats: Stats) -> bool:
        """Note Stats; a camera that is lost takes its faces with it. Returns whether there is something to send now."""
        now = time.time()
        with self._lock:
            self._stats = Outgoing("stats", stats_message(stats, now), qos=0, retain=True)
            self._stats_waiting = True
            self._camera = stats.camera
            if stats.camera != "online" and self._reading:
                self._note_events(replace(self._reading, faces=(), wall_time=now))
                self._reading = None
            return self._open and self._something()

    def open(self) -> None:
        """There is a connection, to a broker that may have forgotten everything."""
        with self._lock:
            self._open = True
            self._state_sent = None
            self._stats_waiting = self._stats is not None

    def shut(self, unsure: Iterable[Outgoing]) -> None:
        """There is none any more. unsure: what was sent and not acknowledged; the events among it go back in front."""
        with self._lock:
            self._open = False
            self._faces = None
            back = [outgoing for outgoing in unsure if outgoing.topic == "event"]
            self._events = deque([*back, *self._events], maxlen=EVENTS_KEPT)

    def next(self) -> Outgoing | None:
        """The next message: events in their order, then what only its newest counts of. None when nothing is due."""
        with self._lock:
            if self._events:
                return self._events.popleft()
            if self._state_is_due():
                self._state_sent, self._state_due = self._scene(), time.monotonic() + self._heartbeat
                content = state_message(self._reading, self._camera, time.time())
                return Outgoing("state", content, 1, True, math.ceil(_EXPIRY_HEARTBEATS * self._heartbeat))
            if self._faces:
                reading, self._faces = self._faces, None
                return Outgoing("faces", faces_message(reading), qos=0, retain=False)
            if self._stats_waiting:
                self._stats_waiting = False
                return self._stats
            return None

    def until_due(self) -> float:
        """Seconds until something is to be sent though nothing new comes."""
        with self._lock:
            return 0.0 if self._something() else max(0.0, self._state_due - time.monotonic())

    def _something(self) -> bool:
        return bool(self._events or self._faces or self._stats_waiting or self._state_is_due())

    def _state_is_due(self) -> bool:
        return self._scene() != self._state_sent or time.monotonic() >= self._state_due

    def _scene(self) -> tuple[Any, ...]:
        """What must change for the state to be sent before its heartbeat."""
        leader = self._reading.leader if self._reading else None
        return leader and leader.emotion, len(self._reading.faces) if self._reading else 0, self._camera

    def _note_events(self, reading: Reading) -> None:
        self._events.extend(
            Outgoing("event", message, qos=1, retain=False) for message in event_messages(self._reading, reading)
        )
