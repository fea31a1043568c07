"""The MQTT output: publishes Readings and Stats, and reconnects after every outage."""

import logging
import math
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTProtocolVersion

from edge.config import MqttSettings, Settings
from edge.controls import Controls, Switches
from edge.outputs.drawing.jpeg import JpegEncoder, jpeg
from edge.outputs.mqtt.access import CONNACK_TIMEOUT_S, VERSIONS, broker_access
from edge.outputs.mqtt.connection import Connection, connect_error_text
from edge.outputs.mqtt.outbox import Outbox, Outgoing
from edge.outputs.mqtt.size_limit import SizeLimit
from edge.outputs.mqtt.topics import topics_of
from edge.reading import Frame, Reading, Stats
from edge.system.backoff import Backoff
from edge.system.threads import start_worker

_log = logging.getLogger(__name__)

_FOREIGN_STATES: Final = 3
"""Messages of another client on this device's topic that mean two devices have the same id."""

_SHORTEST_DELAY_S: Final = 0.5
_LONGEST_DELAY_S: Final = 30.0
_LASTED_S: Final = 10.0
"""Seconds after which a connection counts as successful: back-off and log then start anew."""

_FLUSH_S: Final = 0.3
_GOODBYE_S: Final = 0.5
_CLOSE_S: Final = 1.0


class MqttOutput:
    """An Output that publishes under `<base_topic>/<device_id>/`; its topics are in docs/mqtt.md.

    `put` and `report` never wait: a thread of its own connects and sends. It uses MQTT 5, or 3.1.1 if the broker does
    not support 5.
    """

    def __init__(
        self,
        settings: MqttSettings,
        controls: Controls | None = None,
        discovery: Outgoing | None = None,
        draw: JpegEncoder = jpeg,
        choose_model: Callable[[bytes], None] | None = None,
    ) -> None:
        """Start to connect; a broker that is not available yet is an outage like any other.

        Args:
            settings: broker, topics and rates.
            controls: the switches that commands may set; None: no commands are accepted.
            discovery: Home Assistant's discovery message; None: none is sent.
            draw: makes the JPEG of a requested snapshot.
            choose_model: called with the payload of each command on `model/set`; None: the topic is not subscribed.

        Raises:
            EmotionEdgeError: the password or a certificate cannot be read.
        """
        self._access = broker_access(settings)
        self._versions = VERSIONS[settings.version]
        self._outbox = Outbox(settings, discovery, draw)
        self._controls = controls
        self._topics = topics_of(settings)
        self._commands = {self._topics.command(name): name for name in controls.names} if controls else {}
        self._birth = self._topics.home_assistant if discovery else None
        self._choose_model = choose_model
        self._subscriptions = [self._topics.state, *self._commands, *([self._birth] if self._birth else [])]
        if choose_model:
            self._subscriptions.append(self._topics.model_command)
        self._foreign_states = 0
        self._problem = "connecting"
        self._logged: set[str] = set()
        self._warned: set[str] = set()
        self._size_limit = SizeLimit()
        self._closing = threading.Event()
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._thread = start_worker("mqtt", self._run)
        if controls:
            controls.add_listener(self._switched)

    @property
    def connection(self) -> str:
        """`connected`, or why there is no connection."""
        return self._problem or "connected"

    @property
    def dropped(self) -> int:
        """Number of events lost because too many waited for a connection."""
        return self._outbox.dropped

    def put(self, reading: Reading) -> None:
        """Publish a Reading as events, state and faces, as far as something changed and the rates allow."""
        if self._outbox.put(reading):
            self._wake()

    def report(self, stats: Stats) -> None:
        """Publish Stats, and the state if the camera was lost or found."""
        if self._outbox.report(stats):
            self._wake()

    def change(self, settings: Settings) -> None:
        """Apply the rates of new settings. Thread-safe."""
        self._outbox.change(settings.mqtt)
        self._wake()

    def picture(self, frame: Frame, reading: Reading) -> None:
        """Publish a snapshot on the topic `snapshot`; without a connection it is dropped."""
        if self._outbox.picture(frame, reading):
            self._wake()

    def close(self) -> None:
        """Publish waiting messages, `face_left` of every face, the final state and `offline`; then disconnect.

        Takes at most a second. Without a connection nothing is published.
        """
        self._outbox.end()
        self._closing.set()
        self._wake()
        self._thread.join(_CLOSE_S)

    def _switched(self, switches: Switches) -> None:
        if self._outbox.switched(switches):
            self._wake()

    def _on_message(self, message: paho.MQTTMessage) -> None:
        """Handle a message from another client. Called in the sender's thread."""
        if message.topic == self._topics.status:
            if not message.payload:
                # `emotion-edge forget` deleted a retained message of this device.
                _log.info("MQTT: the retained messages of this device were deleted; publishing them again")
                self._outbox.on_connected()
        elif message.topic == self._birth:
            if message.payload == b"online":
                self._outbox.send_discovery()
        elif message.topic == self._topics.state:
            self._check_foreign_state(message)
        elif message.retain:
            # A retained command would arrive again on each connection and undo later ones.
            _log.warning(
                "MQTT: %s: ignored, because it is retained (publish commands without the retain flag)", message.topic
            )
        elif self._controls and message.topic in self._commands:
            self._controls.handle(self._commands[message.topic], bytes(message.payload))
        elif self._choose_model and message.topic == self._topics.model_command:
            self._choose_model(bytes(message.payload))

    def _check_foreign_state(self, message: paho.MQTTMessage) -> None:
        if message.retain or not message.payload or self._outbox.sent_state(bytes(message.payload)):
            return
        self._foreign_states += 1
        if self._foreign_states == _FOREIGN_STATES:
            _log.warning(
                "MQTT: another board publishes on %s too: give each board its own mqtt.device_id", message.topic
            )

    def _wake(self) -> None:
        # If the socket is full, the thread wakes anyway; if it is closed, the thread has ended.
        with suppress(OSError):
            self._waker.send(b"\0")

    def _run(self) -> None:
        backoff, version = Backoff(_SHORTEST_DELAY_S, _LONGEST_DELAY_S, jitter=0.5), 0
        while not self._closing.is_set():
            connection = self._connect(self._versions[version])
            if connection:
                lasted = self._use(connection) >= _LASTED_S
                if connection.version_refused and version + 1 < len(self._versions):
                    version += 1
                    continue
                if connection.accepted:
                    self._size_limit.connection_lost(connection.unconfirmed, lasted)
                if lasted:
                    backoff.reset()
                self._lost(connection.end_reason())
            version = 0
            self._closing.wait(backoff.next())
        self._woken.close()
        self._waker.close()

    def _connect(self, protocol: MQTTProtocolVersion) -> Connection | None:
        try:
            return Connection(
                self._access,
                self._topics.status,
                protocol,
                self._subscriptions,
                self._on_message,
                warned=self._warned,
            )
        except (OSError, ValueError) as error:
            self._lost(connect_error_text(error))
            return None

    def _use(self, connection: Connection) -> float:
        """Serve a connection until it ends or `close` is called; return the seconds since the broker accepted it."""
        accepted_at = math.inf
        try:
            self._wait_for_answer(connection)
            if connection.accepted and not self._closing.is_set():
                accepted_at = time.monotonic()
                text = f"MQTT: connected to {self._access.address}, version {connection.version}"
                announced = self._log_once(logging.INFO, text)
                connection.start_session()
                self._outbox.on_connected()
                self._problem = ""
            while connection.accepted and connection.open and not self._closing.is_set():
                self._send_due(connection)
                # While the broker stalls, messages that are due must not make this loop spin.
                connection.wait(self._woken, min(1.0, self._outbox.until_due()) if connection.ready else 1.0)
                if self._logged and time.monotonic() - accepted_at >= _LASTED_S:
                    self._logged.clear()
                    announced = announced or self._log_once(logging.INFO, text)
            if self._closing.is_set():
                self._flush(connection)
                if connection.accepted and connection.open:
                    connection.send(self._outbox.final_state())
            connection.end(self._woken, _GOODBYE_S)
        except Exception:
            # The next connection may work.
            _log.exception("MQTT: the connection to %s failed", self._access.address)
            connection.abort()
        finally:
            self._outbox.on_disconnected(connection.unacknowledged)
        return time.monotonic() - accepted_at

    def _wait_for_answer(self, connection: Connection) -> None:
        ends = time.monotonic() + CONNACK_TIMEOUT_S
        while connection.open and not connection.accepted and not self._closing.is_set() and time.monotonic() < ends:
            connection.wait(self._woken, max(0.0, ends - time.monotonic()))

    def _send_due(self, connection: Connection) -> None:
        while connection.ready and (outgoing := self._outbox.next()):
            if self._size_limit.allows(outgoing, connection.max_packet_size):
                connection.send(outgoing)

    def _flush(self, connection: Connection) -> None:
        ends = time.monotonic() + _FLUSH_S
        while connection.accepted and connection.open and self._outbox.until_due() == 0 and time.monotonic() < ends:
            self._send_due(connection)
            connection.wait(self._woken, 0.0 if connection.ready else max(0.0, ends - time.monotonic()))

    def _lost(self, problem: str) -> None:
        """Store and log why there is no connection."""
        self._problem = problem
        if not self._closing.is_set():
            text = f"MQTT: no connection to {self._access.address}: {problem}; trying again until there is one"
            self._log_once(logging.WARNING, text)

    def _log_once(self, level: int, text: str) -> bool:
        """Log a text unless it was logged since the last successful connection; return whether it was logged now."""
        if text in self._logged:
            return False
        self._logged.add(text)
        _log.log(level, "%s", text)
        return True
