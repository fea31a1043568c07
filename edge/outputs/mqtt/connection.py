"""One connection to a broker, from CONNECT to its end, and why it ended in plain words."""

import logging
import select
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge.outputs.mqtt.access import Access
from edge.outputs.mqtt.outbox import Outgoing

_log = logging.getLogger(__name__)

_KEEPALIVE_S: Final = 20
_CONNECT_S: Final = 5.0
_IN_FLIGHT: Final = 10
"""Unacknowledged messages at a time; brokers allow 20 (Mosquitto's Receive Maximum) and more."""

_UNSUPPORTED_VERSION: Final = 0x84
_REFUSED_LOGIN: Final = (0x86, 0x87, 0x8C)
"""Bad user name or password, not authorized, bad authentication method."""

_KEEPALIVE_TIMEOUT: Final = 0x8D


class Link:
    """A connection and the messages that it has in flight. Belongs to one thread, and is never opened again.

    What was published and not acknowledged when it ends is given back: nothing waits in the client library.
    """

    def __init__(
        self,
        access: Access,
        protocol: MQTTProtocolVersion,
        topics: Sequence[str] = (),
        hear: Callable[[paho.MQTTMessage], None] | None = None,
        present: bool = True,
    ) -> None:
        """Connect and send CONNECT: waits for the name, the port and TLS, at most 5 s each.

        topics: what is subscribed to besides the status; hear: what is given each message on all of them, in the thread
        that waits. present: whether we are the device, whose status we keep; else we say nothing for it.

        Raises OSError or ValueError (a host name that is none) when there is no connection.
        """
        self.accepted = False
        self.refusal: ReasonCode | None = None
        self._protocol = protocol
        self._status = f"{access.topic}/status"
        self._topics = topics
        self._hear = hear
        self._present = present
        self._ended = ""
        self._ending = False
        self._in_flight: dict[int, Outgoing | None] = {}
        self._denied: set[str] = set()
        client = paho.Client(
            CallbackAPIVersion.VERSION2, access.client_id, protocol=protocol, reconnect_on_failure=False
        )
        client.connect_timeout = _CONNECT_S
        if access.username:
            client.username_pw_set(access.username, access.password)
        if access.tls:
            client.tls_set_context(access.tls)
        if present:
            client.will_set(self._status, "offline", qos=1, retain=True)
        client.on_socket_open = _without_delay
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect
        self._client = client
        client.connect(access.host, access.port, _KEEPALIVE_S)

    @property
    def open(self) -> bool:
        """Whether the connection stands, accepted or not yet."""
        return self._client.socket() is not None

    @property
    def ready(self) -> bool:
        """Whether the broker keeps up: all is written, and not too much waits for its acknowledgement."""
        return self.accepted and self.open and not self._client.want_write() and len(self._in_flight) < _IN_FLIGHT

    @property
    def not_understood(self) -> bool:
        """The broker refuses this version of MQTT, or hung up or was silent at it."""
        return not self.accepted and (self.refusal is None or self.refusal.value == _UNSUPPORTED_VERSION)

    @property
    def version(self) -> str:
        """Of MQTT, `5` or `3.1.1`."""
        return "5" if self._protocol == MQTTProtocolVersion.MQTTv5 else "3.1.1"

    @property
    def unsure(self) -> list[Outgoing]:
        """What was sent and is not acknowledged, in its order."""
        return [outgoing for outgoing in self._in_flight.values() if outgoing]

    def greet(self) -> None:
        """Begin to hear. The device says `online`, and again whenever someone says `offline` for it: a will of an
        earlier run that comes late.
        """
        if self._present:
            self._say("online")
        topics = (self._status, *self._topics)
        if self._protocol == MQTTProtocolVersion.MQTTv5:
            self._client.subscribe([(topic, SubscribeOptions(qos=1, noLocal=True)) for topic in topics])
        else:
            self._client.subscribe([(topic, 1) for topic in topics])

    def send(self, outgoing: Outgoing) -> None:
        """Publish; what the socket does not take at once is written by `wait`."""
        properties = None
        if outgoing.expiry is not None and self._protocol == MQTTProtocolVersion.MQTTv5:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.MessageExpiryInterval = outgoing.expiry
        info = self._client.publish(outgoing.topic, outgoing.payload, outgoing.qos, outgoing.retain, properties)
        if outgoing.qos:
            self._in_flight[info.mid] = outgoing

    def wait(self, wake: socket.socket, timeout: float) -> None:
        """Read and write what there is to read and write; returns after `timeout` seconds, or when `wake` is readable.

        wake: a socket that does not block; it is emptied.
        """
        connection = self._client.socket()
        if connection is None:
            return
        waiting_to_write = [connection] if self._client.want_write() else []
        readable, writable, _ = select.select([connection, wake], waiting_to_write, [], timeout)
        if wake in readable:
            wake.recv(4096)
        if connection in readable:
            self._client.loop_read()
            while isinstance(tls := self._client.socket(), ssl.SSLSocket) and tls.pending():
                self._client.loop_read()  # decrypted already: select does not see it
        if connection in writable:
            self._client.loop_write()
        self._client.loop_misc()

    def end(self, wake: socket.socket, within: float) -> None:
        """Say `offline` if the broker had accepted us, and disconnect. within: seconds to wait for acknowledgements."""
        self._ending = True
        if self.accepted and self.open:
            ends = time.monotonic() + within
            if self._present:
                self._say("offline")
            while self.open and (self._in_flight or self._client.want_write()) and time.monotonic() < ends:
                self.wait(wake, max(0.0, ends - time.monotonic()))
        self._client.disconnect()

    def drop(self) -> None:
        """Close the socket without a word; the will says `offline`."""
        if connection := self._client.socket():
            connection.close()

    def why_ended(self) -> str:
        """In plain words, why there is no connection any more, or why the broker did not accept it."""
        if self.refusal is not None and self.refusal.value in _REFUSED_LOGIN:
            return f"the broker refuses the login: {self.refusal} (check mqtt.username and the password)"
        if self.refusal is not None:
            return f"the broker refuses the connection: {self.refusal}"
        if not self.accepted:
            return "no answer to MQTT (is mqtt.port right? does the port want mqtt.tls, or a client certificate?)"
        return self._ended or "the connection was closed"

    def _say(self, status: str) -> None:
        self._in_flight[self._client.publish(self._status, status, qos=1, retain=True).mid] = None

    def _on_connect(
        self, _client: paho.Client, _data: object, _flags: paho.ConnectFlags, code: ReasonCode, _: Properties | None
    ) -> None:
        if code.is_failure:
            self.refusal = code
        else:
            self.accepted = True

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        if self._ending:
            return
        if self._present and message.topic == self._status and message.payload == b"offline":
            self._say("online")
        if self._hear:
            self._hear(message)

    def _on_subscribe(
        self, _client: paho.Client, _data: object, _mid: int, codes: list[ReasonCode], _: Properties | None
    ) -> None:
        topics = (self._status, *self._topics)
        refused = [topic for topic, code in zip(topics, codes, strict=False) if code.is_failure]
        if refused:
            _log.warning("MQTT: the broker does not let us read %s", ", ".join(refused))

    def _on_publish(
        self, _client: paho.Client, _data: object, mid: int, code: ReasonCode, _: Properties | None
    ) -> None:
        outgoing = self._in_flight.pop(mid, None)
        if code.is_failure and outgoing and outgoing.topic not in self._denied:
            self._denied.add(outgoing.topic)
            _log.warning("MQTT: the broker does not take %s: %s", outgoing.topic, code)

    def _on_disconnect(
        self, _client: paho.Client, _data: object, flags: paho.DisconnectFlags, code: ReasonCode, _: Properties | None
    ) -> None:
        if self._ending:
            return
        if flags.is_disconnect_packet_from_server:
            self._ended = f"the broker ended the connection: {code}"
        elif code.value == _KEEPALIVE_TIMEOUT:
            self._ended = "the broker does not answer any more"
        else:
            self._ended = "the connection broke"


def why_unreachable(error: Exception) -> str:
    """In plain words, why a Link could not be made, and what to do."""
    match error:
        case ssl.SSLCertVerificationError():
            return (
                f"its certificate is not accepted: {error.verify_message} "
                "(mqtt.ca_file must be the authority that signed it, mqtt.host a name in it)"
            )
        case ssl.SSLError():
            return f"no TLS there: {error.reason or error} (is mqtt.port the broker's TLS port?)"
        case socket.gaierror():
            return f"the name is not known: {error.strerror} (is mqtt.host right?)"
        case ConnectionRefusedError():
            return "nothing listens there (is the broker running, are mqtt.host and mqtt.port right?)"
        case ConnectionResetError():
            return "it hangs up (with mqtt.tls: is mqtt.port the broker's TLS port?)"
        case TimeoutError():
            return f"no answer in {_CONNECT_S:.0f} s (is mqtt.host right, does a firewall stand between?)"
        case OSError(strerror=str(text)):
            return text
        case _:
            return str(error)


def _without_delay(_client: paho.Client, _data: object, connection: object) -> None:
    # A small message must not wait for the acknowledgement of the one before it.
    if isinstance(connection, socket.socket):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
