"""What waits for the broker: never more than the last events and the newest of everything else."""

import math
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from edge.config import MqttSettings
from edge.controls import Switches
from edge.outputs.drawing.jpeg import JpegEncoder, jpeg
from edge.outputs.messages import Message, encode, event_messages, faces_message, state_message, stats_message
from edge.outputs.mqtt.access import device_topic
from edge.reading import Frame, Reading, Stats

EVENTS_KEPT: Final = 200
"""Events kept through an outage; the oldest is dropped first."""

_EXPIRY_HEARTBEATS: Final = 3
_STATES_KNOWN: Final = 16
_ENDED: Final = "off: the daemon has ended"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message on its way.

    expiry: seconds after which a broker forgets it, None: never. kept: it is sent again when it is not acknowledged.
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool
    expiry: int | None = None
    kept: bool = False


class Outbox:
    """Filled by the analysis thread, emptied by the sender's; neither waits for the other.

    Open while there is a connection. Shut, it keeps events, and neither faces nor a picture; the announcement and the
    newest switches, state and stats are sent first thing when it opens again.

    dropped: events lost because too many waited.
    """

    def __init__(self, settings: MqttSettings, announcement: Outgoing | None = None, draw: JpegEncoder = jpeg) -> None:
        """announcement: what tells Home Assistant of this device. draw: makes the pictures that are sent."""
        self.dropped = 0
        self._draw = draw
        self._topic = device_topic(settings)
        self._heartbeat = settings.heartbeat
        self._faces_period = 1 / settings.faces_rate
        self._lock = threading.Lock()
        self._open = False
        self._announcement = announcement
        self._announcing = False
        self._switches: Switches | None = None
        self._switches_sent: dict[str, bool] = {}
        self._reading: Reading | None = None
        self._camera = "opening the camera"
        self._events: deque[Outgoing] = deque(maxlen=EVENTS_KEPT)
        self._state_sent: tuple[Any, ...] | None = None
        self._state_due = -math.inf
        self._states: deque[bytes] = deque(maxlen=_STATES_KNOWN)
        self._faces: Reading | None = None
        self._faces_due = -math.inf
        self._picture: tuple[Frame, Reading] | None = None
        self._stats: Outgoing | None = None
        self._stats_waiting = False

    def change(self, settings: MqttSettings) -> None:
        """Go on by the rates of these settings."""
        with self._lock:
            self._heartbeat = settings.heartbeat
            self._faces_period = 1 / settings.faces_rate
            self._faces_due = -math.inf
            self._state_due = min(self._state_due, time.monotonic() + settings.heartbeat)

    def put(self, reading: Reading) -> bool:
        """Note a Reading: events where something changed, the state, and its faces if the rate allows.

        Returns whether there is something to send now.
        """
        with self._lock:
            self._note_events(reading)
            self._reading = reading
            if self._open and reading.analysed and reading.captured_at >= self._faces_due:
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
            self._stats = self._outgoing("stats", encode(stats_message(stats, now)), qos=0, retain=True)
            self._stats_waiting = True
            self._camera = stats.camera
            if stats.camera != "online":
                self._all_leave(now)
            return self._open and self._something()

    def switched(self, switches: Switches) -> bool:
        """Note how the switches are; privacy takes a picture back. Returns whether there is something to send now."""
        with self._lock:
            self._switches = switches
            if switches.privacy:
                self._picture = None
            return self._open and self._something()

    def picture(self, frame: Frame, reading: Reading) -> bool:
        """Note a picture that was asked for. Returns whether it is sent: not without a connection."""
        with self._lock:
            if self._open:
                self._picture = frame, reading
            return self._open

    def announce(self) -> None:
        """Tell Home Assistant again."""
        with self._lock:
            self._announcing = self._announcement is not None

    def open(self) -> None:
        """There is a connection, to a broker that may have forgotten everything."""
        with self._lock:
            self._open = True
            self._announcing = self._announcement is not None
            self._switches_sent = {}
            self._state_sent = None
            self._stats_waiting = self._stats is not None

    def shut(self, unsure: Iterable[Outgoing]) -> None:
        """There is none any more. unsure: what was sent and not acknowledged; the events among it go back in front."""
        with self._lock:
            self._open = False
            self._faces = self._picture = None
            back = [outgoing for outgoing in unsure if outgoing.kept]
            self._keep([*back, *self._events])

    def next(self) -> Outgoing | None:
        """The next message: events in their order, then what only its newest counts of. None when nothing is due."""
        with self._lock:
            outgoing = self._next()
            if outgoing or not self._picture:
                return outgoing
            picture, self._picture = self._picture, None
        # Not while the lock is held: the analysis need not wait for this.
        return self._outgoing("snapshot", self._draw(*picture), qos=0, retain=False)

    def until_due(self) -> float:
        """Seconds until something is to be sent though nothing new comes."""
        with self._lock:
            return 0.0 if self._something() else max(0.0, self._state_due - time.monotonic())

    def end(self) -> None:
        """Nothing more is noted: whoever is in view leaves; of the state, the farewell is left to send."""
        with self._lock:
            self._all_leave(time.time())
            self._state_sent, self._state_due = self._scene(), math.inf

    def farewell(self) -> Outgoing:
        """The state that stays behind: nobody is watched any more."""
        return self._state(state_message(None, _ENDED, time.time()))

    def is_ours(self, state: bytes) -> bool:
        """Whether a message on the topic `state` is one of the last that were sent from here."""
        return state in self._states

    def _next(self) -> Outgoing | None:
        if self._announcing:
            self._announcing = False
            return self._announcement
        if self._events:
            return self._events.popleft()
        if self._switches:
            for name, on in asdict(self._switches).items():
                if self._switches_sent.get(name) != on:
                    self._switches_sent[name] = on
                    return self._outgoing(f"{name}/state", b"ON" if on else b"OFF", qos=1, retain=True)
        if self._state_is_due():
            self._state_sent, self._state_due = self._scene(), time.monotonic() + self._heartbeat
            return self._state(state_message(self._reading, self._camera, time.time()))
        if self._faces:
            reading, self._faces = self._faces, None
            return self._outgoing("faces", encode(faces_message(reading)), qos=0, retain=False)
        if self._stats_waiting:
            self._stats_waiting = False
            return self._stats
        return None

    def _outgoing(self, topic: str, payload: bytes, qos: int, retain: bool) -> Outgoing:
        return Outgoing(f"{self._topic}/{topic}", payload, qos, retain)

    def _state(self, message: Message) -> Outgoing:
        payload = encode(message)
        self._states.append(payload)
        expiry = math.ceil(_EXPIRY_HEARTBEATS * self._heartbeat)
        return Outgoing(f"{self._topic}/state", payload, qos=1, retain=True, expiry=expiry)

    def _something(self) -> bool:
        waiting = self._announcing or self._events or self._faces or self._picture or self._stats_waiting
        return bool(waiting) or self._switches_are_due() or self._state_is_due()

    def _switches_are_due(self) -> bool:
        return self._switches is not None and asdict(self._switches) != self._switches_sent

    def _state_is_due(self) -> bool:
        return self._scene() != self._state_sent or time.monotonic() >= self._state_due

    def _scene(self) -> tuple[Any, ...]:
        """What must change for the state to be sent before its heartbeat.

        Of the camera's text only the kind, as in `lost: ...`: each try to open it may fail in another way, and that is
        no change of the scene.
        """
        reading, kind = self._reading, self._camera.partition(":")[0]
        if reading is None:
            return None, 0, False, kind
        return reading.leader and reading.leader.emotion, len(reading.faces), reading.analysed, kind

    def _all_leave(self, now: float) -> None:
        if self._reading:
            self._note_events(replace(self._reading, faces=(), wall_time=now))
            self._reading = None

    def _note_events(self, reading: Reading) -> None:
        new = [
            replace(self._outgoing("event", encode(message), qos=1, retain=False), kept=True)
            for message in event_messages(self._reading, reading)
        ]
        if new:
            self._keep([*self._events, *new])

    def _keep(self, events: list[Outgoing]) -> None:
        self.dropped += max(0, len(events) - EVENTS_KEPT)
        self._events = deque(events, maxlen=EVENTS_KEPT)
