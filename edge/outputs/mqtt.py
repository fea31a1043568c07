"""Readings to an MQTT broker, through its outages."""

import logging
import random
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from paho.mqtt.enums import MQTTProtocolVersion

from edge.config import MqttSettings
from edge.errors import EmotionEdgeError
from edge.outputs.mqtt_link import Access, Link, why_unreachable
from edge.outputs.mqtt_outbox import Outbox
from edge.reading import Reading, Stats

_log = logging.getLogger(__name__)

_VERSIONS: Final[Mapping[str, tuple[MQTTProtocolVersion, ...]]] = {
    "auto": (MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311),
    "5": (MQTTProtocolVersion.MQTTv5,),
    "3.1.1": (MQTTProtocolVersion.MQTTv311,),
}
"""What is tried on each connection, by mqtt.version."""

_ANSWER_S: Final = 4.0
"""For the answer to CONNECT. Some brokers are silent, or hang up, at a version that they do not understand."""

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

    def __init__(self, settings: MqttSettings) -> None:
        """Begin to connect; a broker that is not there yet is an outage like any other.

        Raises EmotionEdgeError when the password or a certificate cannot be read.
        """
        self._access = Access(
            host=settings.host,
            port=settings.port,
            username=settings.username,
            password=_password(settings),
            tls=_tls(settings) if settings.tls else None,
            # The same for every connection of this run, so that a broker that has not noticed the end of one replaces
            # it, and does not announce its will later.
            client_id=f"{settings.device_id}-{secrets.token_hex(4)}",
            topic=f"{settings.base_topic}/{settings.device_id}",
        )
        self._where = f"{settings.host}:{settings.port}"
        self._versions = _VERSIONS[settings.version]
        self._outbox = Outbox(settings)
        self._problem = "connecting"
        self._told: set[str] = set()
        self._closing = threading.Event()
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._thread.start()

    @property
    def connection(self) -> str:
        """`connected`, or why not."""
        return self._problem or "connected"

    def put(self, reading: Reading) -> None:
        """One Reading: sent as events, state and faces, as far as something changed and the rate allows."""
        if self._outbox.put(reading):
            self._wake()

    def report(self, stats: Stats) -> None:
        """Stats, and with them whether the camera is there."""
        if self._outbox.report(stats):
            self._wake()

    def close(self) -> None:
        """Send what waits, say `offline` and disconnect, within a second; without a connection, just end."""
        self._closing.set()
        self._wake()
        self._thread.join(_CLOSE_S)

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
            return Link(self._access, protocol)
        except (OSError, ValueError) as error:
            self._lost(why_unreachable(error))
            return None

    def _converse(self, link: Link) -> None:
        """From CONNECT to the connection's end, or to the goodbye when we close."""
        try:
            self._wait_for_answer(link)
            if link.accepted and not self._closing.is_set():
                self._problem = ""
                self._told.clear()
                _log.info("MQTT: connected to %s, version %s", self._where, link.version)
                link.greet()
                self._outbox.open()
            while link.accepted and link.open and not self._closing.is_set():
                self._send_due(link)
                # A broker that stalls is no reason to look at what waits for it over and over.
                link.wait(self._woken, min(1.0, self._outbox.until_due()) if link.ready else 1.0)
            if self._closing.is_set():
                self._flush(link)
            link.end(self._woken, _GOODBYE_S)
        except Exception:  # whatever it was, the next connection may go better
            _log.exception("MQTT: the connection to %s failed", self._where)
            link.drop()
        finally:
            self._outbox.shut(link.unsure)

    def _wait_for_answer(self, link: Link) -> None:
        ends = time.monotonic() + _ANSWER_S
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


def _password(settings: MqttSettings) -> str | None:
    if settings.password_file is None:
        return settings.password.get_secret_value() or None
    lines = _read("mqtt.password_file", settings.password_file).splitlines()
    if not lines or not lines[0]:
        raise EmotionEdgeError(f"mqtt.password_file {settings.password_file}: its first line must be the password")
    return lines[0]


def _tls(settings: MqttSettings) -> ssl.SSLContext:
    """What TLS needs: the broker's certificate and its name are always checked."""
    if settings.key_file and not settings.cert_file:
        raise EmotionEdgeError(f"mqtt.key_file {settings.key_file}: is of no use without mqtt.cert_file")
    for name in ("ca_file", "cert_file", "key_file"):
        if file := getattr(settings, name):
            _read(f"mqtt.{name}", file)
    try:
        context = ssl.create_default_context(cafile=str(settings.ca_file) if settings.ca_file else None)
    except ssl.SSLError as error:
        raise EmotionEdgeError(f"mqtt.ca_file {settings.ca_file}: holds no certificate in PEM format") from error
    if settings.cert_file:
        try:
            context.load_cert_chain(settings.cert_file, settings.key_file, password="")
        except ssl.SSLError as error:
            raise EmotionEdgeError(
                f"mqtt.cert_file {settings.cert_file}: no certificate that goes with its key: {error.reason or error} "
                "(both in PEM format, the key without a pass phrase)"
            ) from error
    return context


def _read(name: str, file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EmotionEdgeError(f"{name} {file}: cannot be read: {error}") from error
