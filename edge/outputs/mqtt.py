"""Readings to an MQTT broker, through its outages.

One thread sends, and waits until a message is out before it takes the next, so that nothing piles up in the client
library when a broker stalls. What waits meanwhile is bounded: the newest state, the newest frame's faces, the newest
stats, and the last events.
"""

import logging
import math
import secrets
import sys
import threading
import time
from collections import deque
from dataclasses import replace
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge.config import MqttSettings
from edge.errors import EmotionEdgeError
from edge.outputs.messages import Message, encode, event_messages, faces_message, state_message, stats_message
from edge.reading import Reading, Stats

_log = logging.getLogger(__name__)

EVENTS_KEPT: Final = 200
"""Events kept through an outage; the oldest is dropped first."""

_KEEPALIVE_S: Final = 20
_LONGEST_DELAY_S: Final = 30
_EXPIRY_HEARTBEATS: Final = 3
_GOODBYE_S: Final = 0.5
_ANSWER_S: Final = 3.0
"""A broker that has not answered to MQTT 5 by then is asked in 3.1.1: some are silent where they do not understand."""


class MqttOutput:
    """An Output that publishes under `<base_topic>/<device_id>/`; its topics are in docs/mqtt.md.

    `put` and `report` never wait. MQTT 5 is spoken where the broker does, else 3.1.1.
    """

    def __init__(self, settings: MqttSettings) -> None:
        """Begin to connect; a broker that is not there yet is an outage like any other.

        Raises EmotionEdgeError when the password or a certificate cannot be read.
        """
        self._settings = settings
        self._topic = f"{settings.base_topic}/{settings.device_id}"
        self._where = f"{settings.host}:{settings.port}"
        self._password = _password(settings)
        self._changed = threading.Condition(threading.RLock())
        self._connected = False
        self._connections = 0
        self._problem = "connecting"
        self._fall_back = False
        self._asked_at = math.inf
        self._closed = False
        self._reading: Reading | None = None
        self._camera = "opening the camera"
        self._state_due = True
        self._sent_state: tuple[Any, ...] = ()
        self._sent_state_at = 0.0
        self._faces: Message | None = None
        self._faces_due = 0.0
        self._stats: Message | None = None
        self._events: deque[Message] = deque(maxlen=EVENTS_KEPT)
        old = settings.version == "3.1.1"
        self._client = self._new_client(MQTTProtocolVersion.MQTTv311 if old else MQTTProtocolVersion.MQTTv5)
        self._client.loop_start()
        self._sender = threading.Thread(target=self._send_all, name="mqtt", daemon=True)
        self._sender.start()

    @property
    def connection(self) -> str:
        """`connected`, or why not."""
        return "connected" if self._connected else self._problem

    def put(self, reading: Reading) -> None:
        """Note the Reading: events where something changed, the state, and its faces if the rate allows."""
        with self._changed:
            self._events.extend(event_messages(self._reading, reading))
            self._reading = reading
            now, period = time.monotonic(), 1 / self._settings.faces_rate
            if self._connected and now >= self._faces_due:
                self._faces = faces_message(reading)
                self._faces_due = max(self._faces_due + period, now)  # on the mean, whatever the camera's rate
            self._notice_state()

    def report(self, stats: Stats) -> None:
        """Note the Stats; a camera that is lost takes its faces with it."""
        now = time.time()
        with self._changed:
            self._stats = stats_message(stats, now)
            self._camera = stats.camera
            if stats.camera != "online" and self._reading:
                self._events.extend(event_messages(self._reading, replace(self._reading, faces=(), wall_time=now)))
                self._reading = None
            self._notice_state()

    def close(self) -> None:
        """Say `offline` where there is a connection, and end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._sender.join(timeout=_GOODBYE_S)
        if self._connected:
            goodbye = self._client.publish(f"{self._topic}/status", "offline", qos=1, retain=True)
            try:
                goodbye.wait_for_publish(_GOODBYE_S)
            except (ValueError, RuntimeError) as error:  # the connection ended just now: the will says it
                _log.debug("no goodbye: %s", error)
        self._client.disconnect()

    def _notice_state(self) -> None:
        """Mark the state for sending where it changed; wakes the sender in any case."""
        if self._state_key() != self._sent_state:
            self._state_due = True
        self._changed.notify_all()

    def _state_key(self) -> tuple[Any, ...]:
        reading = self._reading
        leader = reading.leader if reading else None
        return leader and leader.emotion, len(reading.faces) if reading else 0, self._camera

    def _send_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._something_to_do, timeout=self._until_heartbeat())
                if time.monotonic() - self._asked_at > _ANSWER_S:
                    self._give_up_5()
                if self._closed:
                    return
                fall_back, self._fall_back = self._fall_back, False
                message = self._next() if self._connected else None
            if fall_back:
                self._speak_3_1_1()
            if message:
                self._send(*message)

    def _something_to_do(self) -> bool:
        waiting = self._state_due or self._events or self._faces or self._stats
        return bool(self._closed or self._fall_back or (self._connected and waiting))

    def _until_heartbeat(self) -> float:
        return max(0.0, self._sent_state_at + self._settings.heartbeat - time.monotonic()) if self._connected else 1.0

    def _next(self) -> tuple[str, Message, int, bool] | None:
        """The next message as (topic, content, QoS, retain): events in their order, then what is coalesced."""
        if self._events:
            return "event", self._events.popleft(), 1, False
        if self._state_due or self._until_heartbeat() == 0:
            self._state_due, self._sent_state, self._sent_state_at = False, self._state_key(), time.monotonic()
            return "state", state_message(self._reading, self._camera, time.time()), 1, True
        if self._faces:
            faces, self._faces = self._faces, None
            return "faces", faces, 0, False
        if self._stats:
            stats, self._stats = self._stats, None
            return "stats", stats, 0, True
        return None

    def _send(self, topic: str, content: Message, qos: int, retain: bool) -> None:
        """Publish and wait until it is out: written for QoS 0, acknowledged for QoS 1, however long the broker stalls.

        A QoS 1 message that an outage catches is sent again by the client after it; a QoS 0 one is gone.
        """
        properties = None
        if topic == "state" and self._client.protocol == MQTTProtocolVersion.MQTTv5:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.MessageExpiryInterval = math.ceil(_EXPIRY_HEARTBEATS * self._settings.heartbeat)
        connection = self._connections
        info = self._client.publish(f"{self._topic}/{topic}", encode(content), qos, retain, properties)
        while not self._closed:
            try:
                info.wait_for_publish(0.2)
                if info.is_published():
                    return
            except (ValueError, RuntimeError):  # no connection any more
                return
            if qos == 0 and (not self._connected or self._connections != connection):
                return

    def _new_client(self, protocol: MQTTProtocolVersion) -> paho.Client:
        settings = self._settings
        client = paho.Client(
            CallbackAPIVersion.VERSION2, f"{settings.device_id}-{secrets.token_hex(4)}", protocol=protocol
        )
        if settings.username:
            client.username_pw_set(settings.username, self._password)
        if settings.tls:
            files = [str(file) if file else None for file in (settings.ca_file, settings.cert_file, settings.key_file)]
            try:
                client.tls_set(ca_certs=files[0], certfile=files[1], keyfile=files[2])
            except (OSError, ValueError) as error:
                named = ", ".join(file for file in files if file)
                raise EmotionEdgeError(f"mqtt: the certificates cannot be used ({named}): {error}") from error
        client.will_set(f"{self._topic}/status", "offline", qos=1, retain=True)
        client.on_socket_open = self._on_socket_open
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.reconnect_delay_set(1, _LONGEST_DELAY_S)
        client.connect_async(settings.host, settings.port, _KEEPALIVE_S)
        return client

    def _give_up_5(self) -> bool:
        """Have the sender change to 3.1.1; false where that is spoken already or a version is set."""
        with self._changed:
            self._asked_at = math.inf
            self._fall_back = self._settings.version == "auto" and self._client.protocol == MQTTProtocolVersion.MQTTv5
            self._changed.notify_all()
            return self._fall_back

    def _speak_3_1_1(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self._client = self._new_client(MQTTProtocolVersion.MQTTv311)
        self._client.loop_start()

    def _on_connect(
        self, client: paho.Client, _data: object, _flags: paho.ConnectFlags, code: ReasonCode, _: Properties | None
    ) -> None:
        self._asked_at = math.inf
        if code.is_failure:
            if str(code) != "Unsupported protocol version" or not self._give_up_5():
                self._lost(f"the broker refuses us: {code} (check mqtt.username, the password and mqtt.version)")
            return
        client.publish(f"{self._topic}/status", "online", qos=1, retain=True)
        version = "5" if client.protocol == MQTTProtocolVersion.MQTTv5 else "3.1.1"
        _log.info("MQTT: connected to %s, version %s", self._where, version)
        with self._changed:
            self._connected, self._problem = True, ""
            self._connections += 1
            self._state_due = True
            self._changed.notify_all()

    def _on_socket_open(self, _client: paho.Client, _data: object, _socket: object) -> None:
        self._asked_at = time.monotonic()

    def _on_connect_fail(self, _client: paho.Client, _data: object) -> None:
        # The library calls this while it handles the reason.
        self._lost(f"{sys.exception()} (is it running, and are mqtt.host and mqtt.port right?)")

    def _on_disconnect(
        self, _client: paho.Client, _data: object, _flags: paho.DisconnectFlags, code: ReasonCode, _: Properties | None
    ) -> None:
        self._asked_at = math.inf
        if self._connected:
            self._lost(f"the connection ended: {code}")

    def _lost(self, problem: str) -> None:
        """Not connected, and why; said once for each reason."""
        with self._changed:
            self._connected, self._faces = False, None
            told, self._problem = self._problem, problem
        if problem != told and not self._closed:
            _log.warning("MQTT: no connection to %s: %s; trying again until there is one", self._where, problem)


def _password(settings: MqttSettings) -> str | None:
    if settings.password_file is None:
        return settings.password.get_secret_value() or None
    try:
        lines = settings.password_file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EmotionEdgeError(f"mqtt.password_file {settings.password_file}: cannot be read: {error}") from error
    if not lines:
        raise EmotionEdgeError(
            f"mqtt.password_file {settings.password_file}: is empty (its first line is the password)"
        )
    return lines[0]
