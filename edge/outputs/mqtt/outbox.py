"""The queue of messages to the broker: the latest events in order, and only the newest message of every other topic."""

import math
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from edge import __version__
from edge.config import MqttSettings
from edge.controls import Switches
from edge.outputs.drawing.jpeg import JpegEncoder, jpeg
from edge.outputs.messages import Message, encode, event_messages, state_message, stats_message
from edge.outputs.mqtt.topics import topics_of
from edge.reading import Frame, Reading, Stats
from edge.system.newest_version import newest_version

EVENTS_KEPT: Final = 200
"""Maximum number of events that wait for a connection; beyond that the oldest are dropped."""

_EXPIRY_HEARTBEATS: Final = 3
_STATES_REMEMBERED: Final = 16
_ENDED: Final = "off: the daemon has ended"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish.

    Attributes:
        expiry: seconds after which an MQTT 5 broker deletes it; None: never.
        resend: whether it is sent again on the next connection if this one ends before its acknowledgement.
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool
    expiry: int | None = None
    resend: bool = False


class Outbox:
    """Queue that the analysis thread fills and the sender's thread empties; neither waits for the other.

    Without a connection, events are kept and faces and pictures are dropped. A new connection begins with the discovery
    message and the newest switches, state and stats.

    Attributes:
        dropped: events lost because more than EVENTS_KEPT waited.
    """

    def __init__(self, settings: MqttSettings, discovery: Outgoing | None = None, draw: JpegEncoder = jpeg) -> None:
        """Start empty and without a connection.

        Args:
            settings: topics and rates.
            discovery: Home Assistant's discovery message; None: none is sent.
            draw: makes the JPEG of a requested snapshot.
        """
        self.dropped = 0
        self._draw = draw
        self._topics = topics_of(settings)
        self._heartbeat = settings.heartbeat
        self._faces_period = 1 / settings.faces_rate
        self._lock = threading.Lock()
        self._connected = False
        self._discovery = discovery
        self._discovery_due = False
        self._switches: Switches | None = None
        self._switches_sent: dict[str, bool] = {}
        self._reading: Reading | None = None
        self._camera = "opening the camera"
        self._events: deque[Outgoing] = deque(maxlen=EVENTS_KEPT)
        self._state_sent: tuple[Any, ...] | None = None
        self._state_due = -math.inf
        self._states: deque[bytes] = deque(maxlen=_STATES_REMEMBERED)
        self._faces: Reading | None = None
        self._faces_due = -math.inf
        self._picture: tuple[Frame, Reading] | None = None
        self._stats: Outgoing | None = None
        self._stats_waiting = False

    def change(self, settings: MqttSettings) -> None:
        """Apply the rates of new settings."""
        with self._lock:
            self._heartbeat = settings.heartbeat
            self._faces_period = 1 / settings.faces_rate
            self._faces_due = -math.inf
            self._state_due = min(self._state_due, time.monotonic() + settings.heartbeat)

    def put(self, reading: Reading) -> bool:
        """Queue a Reading: events for changes, the state, and its faces if the rate allows.

        Returns whether a message is ready to be sent.
        """
        with self._lock:
            self._add_events(reading)
            self._reading = reading
            if self._connected and reading.analysed and reading.captured_at >= self._faces_due:
                # Counted from the previous due time, not from the frame: else a camera slightly faster than
                # `faces_rate` would halve the published rate.
                late = reading.captured_at - self._faces_due
                since = self._faces_due if late < self._faces_period else reading.captured_at
                self._faces_due = since + self._faces_period
                self._faces = reading
            return self._connected and self._is_due()

    def report(self, stats: Stats) -> bool:
        """Queue Stats; if the camera is lost, also `face_left` of its faces. Returns whether a message is ready."""
        now = time.time()
        with self._lock:
            message = stats_message(stats, now, newest_version(__version__))
            self._stats = Outgoing(self._topics.stats, encode(message), qos=0, retain=True)
            self._stats_waiting = True
            self._camera = stats.camera
            if stats.camera != "online":
                self._end_tracks(now)
            return self._connected and self._is_due()

    def switched(self, switches: Switches) -> bool:
        """Queue the state of the switches; privacy drops a waiting snapshot. Returns whether a message is ready."""
        with self._lock:
            self._switches = switches
            if switches.privacy:
                self._picture = None
            return self._connected and self._is_due()

    def picture(self, frame: Frame, reading: Reading) -> bool:
        """Queue a requested snapshot. Returns whether it will be sent: not without a connection."""
        with self._lock:
            if self._connected:
                self._picture = frame, reading
            return self._connected

    def send_discovery(self) -> None:
        """Queue the discovery message again."""
        with self._lock:
            self._discovery_due = self._discovery is not None

    def on_connected(self) -> None:
        """Queue all retained messages again, because the broker may have lost them."""
        with self._lock:
            self._connected = True
            self._discovery_due = self._discovery is not None
            self._switches_sent = {}
            self._state_sent = None
            self._stats_waiting = self._stats is not None

    def on_disconnected(self, unacknowledged: Iterable[Outgoing]) -> None:
        """Drop faces and snapshot, and put the unacknowledged events back in front."""
        with self._lock:
            self._connected = False
            self._faces = self._picture = None
            back = [outgoing for outgoing in unacknowledged if outgoing.resend]
            self._queue_events([*back, *self._events])

    def next(self) -> Outgoing | None:
        """Remove and return the next message: first events in order, then the newest of each topic; else None."""
        with self._lock:
            outgoing = self._next()
            if outgoing or not self._picture:
                return outgoing
            picture, self._picture = self._picture, None
        # Drawn outside the lock, so that the analysis does not wait for the JPEG.
        return Outgoing(self._topics.snapshot, self._draw(*picture), qos=0, retain=False)

    def until_due(self) -> float:
        """Return the seconds until the next message is due if nothing changes."""
        with self._lock:
            return 0.0 if self._is_due() else max(0.0, self._state_due - time.monotonic())

    def end(self) -> None:
        """Queue `face_left` of every face in view, and stop queueing the state: `final_state` replaces it."""
        with self._lock:
            self._end_tracks(time.time())
            self._state_sent, self._state_due = self._scene(), math.inf

    def final_state(self) -> Outgoing:
        """Return the retained state of a daemon that has ended."""
        return self._state(state_message(None, _ENDED, time.time()))

    def sent_state(self, payload: bytes) -> bool:
        """Whether a message on the topic `state` is one of the last that this outbox created."""
        return payload in self._states

    def _next(self) -> Outgoing | None:
        if self._discovery_due:
            self._discovery_due = False
            return self._discovery
        if self._events:
            return self._events.popleft()
        if self._switches:
            for name, on in asdict(self._switches).items():
                if self._switches_sent.get(name) != on:
                    self._switches_sent[name] = on
                    return Outgoing(self._topics.control_state(name), b"ON" if on else b"OFF", qos=1, retain=True)
        if self._state_is_due():
            self._state_sent, self._state_due = self._scene(), time.monotonic() + self._heartbeat
            return self._state(state_message(self._reading, self._camera, time.time()))
        if self._faces:
            reading, self._faces = self._faces, None
            return Outgoing(self._topics.faces, encode(reading.to_dict()), qos=0, retain=False)
        if self._stats_waiting:
            self._stats_waiting = False
            return self._stats
        return None

    def _state(self, message: Message) -> Outgoing:
        payload = encode(message)
        self._states.append(payload)
        expiry = math.ceil(_EXPIRY_HEARTBEATS * self._heartbeat)
        return Outgoing(self._topics.state, payload, qos=1, retain=True, expiry=expiry)

    def _is_due(self) -> bool:
        waiting = self._discovery_due or self._events or self._faces or self._picture or self._stats_waiting
        return bool(waiting) or self._switches_are_due() or self._state_is_due()

    def _switches_are_due(self) -> bool:
        return self._switches is not None and asdict(self._switches) != self._switches_sent

    def _state_is_due(self) -> bool:
        return self._scene() != self._state_sent or time.monotonic() >= self._state_due

    def _scene(self) -> tuple[Any, ...]:
        """Return the values whose change sends the state before its heartbeat.

        Of the camera's text only the part before the colon counts, as in `lost: ...`: each attempt to open the camera
        may fail for another reason, and that is no change of the scene.
        """
        reading, kind = self._reading, self._camera.partition(":")[0]
        if reading is None:
            return None, 0, False, kind
        return reading.leader and reading.leader.emotion, len(reading.faces), reading.analysed, kind

    def _end_tracks(self, now: float) -> None:
        if self._reading:
            self._add_events(replace(self._reading, faces=(), wall_time=now))
            self._reading = None

    def _add_events(self, reading: Reading) -> None:
        new = [
            Outgoing(self._topics.event, encode(message), qos=1, retain=False, resend=True)
            for message in event_messages(self._reading, reading)
        ]
        if new:
            self._queue_events([*self._events, *new])

    def _queue_events(self, events: list[Outgoing]) -> None:
        self.dropped += max(0, len(events) - EVENTS_KEPT)
        self._events = deque(events, maxlen=EVENTS_KEPT)
