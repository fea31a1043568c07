"""Readings to an MQTT broker, through its outages."""

import logging
import random
import socket
import threading
import time
from contextlib import suppress
from typing import Final

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTProtocolVersion

from edge.config import MqttSettings, Settings
from edge.controls import Controls, Switches
from edge.outputs.drawing.jpeg import JpegEncoder, jpeg
from edge.outputs.mqtt.access import ANSWER_S, VERSIONS, access_of
from edge.outputs.mqtt.connection import Link, why_unreachable
from edge.outputs.mqtt.home_assistant import birth_topic
from edge.outputs.mqtt.outbox import Outbox, Outgoing
from edge.reading import Frame, Reading, Stats

_log = logging.getLogger(__name__)

_RIVAL_STATES: Final = 3
"""So many messages of another board under our name are no earlier run's last words any more."""

_SHORTEST_DELAY_S: Final = 0.5
_LONGEST_DELAY_S: Final = 30.0
_FLUSH_S: Final = 0.3
_GOODBYE_S: Final = 0.5
_CLOSE_S: Final = 1.0


class MqttOutput:
    """An Output that publishes under `<base_topic>/<device_id>/`; its topics are in docs/mqtt.md.

    `put` and `report` never wait: a thread of its own connects, again and again, and sends. MQTT 5 is spoken where the
    broker does, else 3.1.1.
    """

    def __init__(
        self,
        settings: MqttSettings,
        controls: Controls | None = None,
        announcement: Outgoing | None = None,
        draw: JpegEncoder = jpeg,
    ) -> None:
        """Begin to connect; a broker that is not there yet is an outage like any other.

        controls: what people may switch; None: nothing. announcement: what tells Home Assistant of this device.
        draw: makes the pictures that are sent.
        Raises EmotionEdgeError when the password or a certificate cannot be read.
        """
        self._access = access_of(settings)
        self._where = f"{settings.host}:{settings.port}"
        self._versions = VERSIONS[settings.version]
        self._outbox = Outbox(settings, announcement, draw)
        self._controls = controls
        self._commands = {f"{self._access.topic}/{name}/set": name for name in controls.names} if controls else {}
        self._birth = birth_topic(settings) if announcement else None
        self._state = f"{self._access.topic}/state"
        self._topics = [self._state, *self._commands, *([self._birth] if self._birth else [])]
        self._rival_states = 0
        self._problem = "connecting"
        self._told: set[str] = set()
        self._closing = threading.Event()
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._thread.start()
        if controls:
            controls.listen(self._switched)

    @property
    def connection(self) -> str:
        """`connected`, or why not."""
        return self._problem or "connected"

    @property
    def dropped(self) -> int:
        """Events lost because too many waited for a connection."""
        return self._outbox.dropped

    def put(self, reading: Reading) -> None:
        """One Reading: sent as events, state and faces, as far as something changed and the rate allows."""
        if self._outbox.put(reading):
            self._wake()

    def report(self, stats: Stats) -> None:
        """Stats, and with them whether the camera is there."""
        if self._outbox.report(stats):
            self._wake()

    def change(self, settings: Settings) -> None:
        """Go on by the rates of other settings; any thread."""
        self._outbox.change(settings.mqtt)
        self._wake()

    def picture(self, frame: Frame, reading: Reading) -> None:
        """Send this picture on the topic `snapshot`; without a connection it is forgotten."""
        if self._outbox.picture(frame, reading):
            self._wake()

    def close(self) -> None:
        """Send what waits, that every face leaves and nobody is watched any more, and `offline`; then disconnect.

        All within a second. Without a connection, just end.
        """
        self._outbox.end()
        self._closing.set()
        self._wake()
        self._thread.join(_CLOSE_S)

    def _switched(self, switches: Switches) -> None:
        if self._outbox.switched(switches):
            self._wake()

    def _hear(self, message: paho.MQTTMessage) -> None:
        """A message that another client sent; in the sender's thread, which looks afterwards what is to be sent."""
        if message.topic == self._birth:
            if message.payload == b"online":
                self._outbox.announce()
        elif message.topic == self._state:
            self._note_rival(message)
        elif self._controls and message.topic in self._commands:
            if message.retain:  # it would come again with each connection, over what was wanted since
                _log.warning("MQTT: %s: ignored, since it is retained (send it without)", message.topic)
            else:
                self._controls.obey(self._commands[message.topic], bytes(message.payload))

    def _note_rival(self, message: paho.MQTTMessage) -> None:
        if message.retain or not message.payload or self._outbox.is_ours(bytes(message.payload)):
            return
        self._rival_states += 1
        if self._rival_states == _RIVAL_STATES:
            _log.warning(
                "MQTT: another board publishes on %s too: give each board its own mqtt.device_id", message.topic
            )

    def _wake(self) -> None:
        with suppress(OSError):  # full: it will wake all the same; closed: there is no one to wake
            self._waker.send(b"\0")

    def _run(self) -> None:
        delay, version = _SHORTEST_DELAY_S, 0
        while not self._closing.is_set():
            link = self._connect(self._versions[version])
            if link:
                self._converse(link)
                if link.not_understood and version + 1 < len(self._versions):
                    version += 1
                    continue
                if link.accepted:
                    delay = _SHORTEST_DELAY_S
                self._lost(link.why_ended())
            version = 0
            self._closing.wait(delay * random.uniform(0.5, 1.0))  # not all boards in the same moment
            delay = min(2 * delay, _LONGEST_DELAY_S)
        self._woken.close()
        self._waker.close()

    def _connect(self, protocol: MQTTProtocolVersion) -> Link | None:
        try:
            return Link(self._access, protocol, self._topics, self._hear)
        except (OSError, ValueError) as error:
            self._lost(why_unreachable(error))
            return None

    def _converse(self, link: Link) -> None:
        """From CONNECT to the connection's end, or to the goodbye when we close."""
        try:
            self._wait_for_answer(link)
            if link.accepted and not self._closing.is_set():
                self._told.clear()
                _log.info("MQTT: connected to %s, version %s", self._where, link.version)
                link.greet()
                self._outbox.open()
                self._problem = ""
            while link.accepted and link.open and not self._closing.is_set():
                self._send_due(link)
                # A broker that stalls is no reason to look at what waits for it over and over.
                link.wait(self._woken, min(1.0, self._outbox.until_due()) if link.ready else 1.0)
            if self._closing.is_set():
                self._flush(link)
                if link.accepted and link.open:
                    link.send(self._outbox.farewell())
            link.end(self._woken, _GOODBYE_S)
        except Exception:  # whatever it was, the next connection may go better
            _log.exception("MQTT: the connection to %s failed", self._where)
            link.drop()
        finally:
            self._outbox.shut(link.unsure)

    def _wait_for_answer(self, link: Link) -> None:
        ends = time.monotonic() + ANSWER_S
        while link.open and not link.accepted and not self._closing.is_set() and time.monotonic() < ends:
            link.wait(self._woken, max(0.0, ends - time.monotonic()))

    def _send_due(self, link: Link) -> None:
        while link.ready and (outgoing := self._outbox.next()):
            link.send(outgoing)

    def _flush(self, link: Link) -> None:
        ends = time.monotonic() + _FLUSH_S
        while link.accepted and link.open and self._outbox.until_due() == 0 and time.monotonic() < ends:
            self._send_due(link)
            link.wait(self._woken, 0.0 if link.ready else max(0.0, ends - time.monotonic()))

    def _lost(self, problem: str) -> None:
        """Not connected, and why; each reason is said once until there is a connection again."""
        self._problem = problem
        if problem not in self._told and not self._closing.is_set():
            self._told.add(problem)
            _log.warning("MQTT: no connection to %s: %s; trying again until there is one", self._where, problem)
