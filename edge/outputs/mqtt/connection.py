"""One connection to a broker, from CONNECT to its end, and the reason for its end as text."""

import logging
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable, Sequence
from typing import Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge.outputs.mqtt.access import BrokerAccess
from edge.outputs.mqtt.outbox import Outgoing

_log = logging.getLogger(__name__)

_KEEPALIVE_S: Final = 20
_CONNECT_S: Final = 5.0
_MAX_IN_FLIGHT: Final = 10
"""Maximum number of unacknowledged messages at a time; brokers allow 20 (Mosquitto's Receive Maximum) and more."""

MAX_INCOMING: Final = 65_536
"""Bytes of an incoming packet that are kept; the rest is discarded."""

_MAX_PAYLOAD: Final = MAX_INCOMING // 2
"""Bytes above which a payload is ignored: it may be cut off, and messages to a device are much smaller."""

_UNSUPPORTED_VERSION: Final = 0x84
_REFUSED_LOGIN: Final = (0x86, 0x87, 0x8C)
"""MQTT 5 reason codes: bad user name or password, not authorized, bad authentication method."""

_PROTOCOL_ERROR: Final = 0x82
_KEEPALIVE_TIMEOUT: Final = 0x8D


class _BoundedClient(paho.Client):
    """A client that keeps the first MAX_INCOMING bytes of a packet and discards the rest while it is read.

    An MQTT 5 broker is told the limit in CONNECT. With 3.1.1, a packet over the limit is read to its end and
    acknowledged: if it were refused, a retained one would end every connection.
    """

    def _sock_recv(self, bufsize: int) -> bytes:
        del self._in_packet["packet"][MAX_INCOMING:]
        return super()._sock_recv(min(bufsize, MAX_INCOMING))


class Connection:
    """A connection and its unacknowledged messages. Not thread-safe, and never opened again.

    The client library queues nothing: messages that are unacknowledged at the end remain available to the caller.

    Attributes:
        accepted: whether the broker has accepted the connection.
        refusal: why the broker refused it.
        max_packet_size: the Maximum Packet Size that the broker announced, in bytes; None: none.
    """

    def __init__(
        self,
        access: BrokerAccess,
        status: str,
        protocol: MQTTProtocolVersion,
        topics: Sequence[str] = (),
        on_message: Callable[[paho.MQTTMessage], None] | None = None,
        as_device: bool = True,
        warned: set[str] | None = None,
    ) -> None:
        """Open the socket and send CONNECT: name resolution, TCP and TLS take at most 5 s each.

        Args:
            access: the broker's address and the login.
            status: the topic of the device's status.
            protocol: the MQTT version to use.
            topics: what to subscribe to besides the status.
            on_message: called with each message on those topics and the status, in the thread that calls `wait`.
            as_device: publish `online` and `offline` as the device's status; False for another client than the device.
            warned: topics whose refusal was logged already; shared by the connections of an output.

        Raises:
            OSError: there is no connection.
            ValueError: the host name is not valid.
        """
        self.accepted = False
        self.refusal: ReasonCode | None = None
        self.max_packet_size: int | None = None
        self._protocol = protocol
        self._status = status
        self._topics = topics
        self._deliver = on_message
        self._as_device = as_device
        self._warned = set[str]() if warned is None else warned
        self._ended = ""
        self._ending = False
        self._aborted = False
        self._unacknowledged: dict[int, Outgoing | None] = {}
        self._largest_qos0: Outgoing | None = None
        client = _BoundedClient(
            CallbackAPIVersion.VERSION2, access.client_id, protocol=protocol, reconnect_on_failure=False
        )
        client.connect_timeout = _CONNECT_S
        if access.username:
            client.username_pw_set(access.username, access.password)
        if access.tls:
            client.tls_set_context(access.tls)
        if as_device:
            client.will_set(self._status, "offline", qos=1, retain=True)
        client.on_socket_open = _set_no_delay
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect
        self._client = client
        client.connect(access.host, access.port, _KEEPALIVE_S, properties=_connect_properties(protocol))

    @property
    def open(self) -> bool:
        """Whether the socket is open, whether or not the broker has accepted the connection yet."""
        return self._client.socket() is not None and not self._aborted

    @property
    def ready(self) -> bool:
        """Whether another message may be sent: everything is written, and few messages are unacknowledged."""
        return (
            self.accepted and self.open and not self._client.want_write() and len(self._unacknowledged) < _MAX_IN_FLIGHT
        )

    @property
    def version_refused(self) -> bool:
        """Whether the broker refused this MQTT version, closed the connection because of it, or did not answer."""
        return not self.accepted and (self.refusal is None or self.refusal.value == _UNSUPPORTED_VERSION)

    @property
    def version(self) -> str:
        """The MQTT version, `5` or `3.1.1`."""
        return "5" if self._protocol == MQTTProtocolVersion.MQTTv5 else "3.1.1"

    @property
    def unacknowledged(self) -> list[Outgoing]:
        """The messages that were sent but not acknowledged, in the order of sending."""
        return [outgoing for outgoing in self._unacknowledged.values() if outgoing]

    @property
    def unconfirmed(self) -> list[Outgoing]:
        """The unacknowledged messages, and the largest one that was sent with QoS 0."""
        return [*self.unacknowledged, *([self._largest_qos0] if self._largest_qos0 else [])]

    def start_session(self) -> None:
        """Publish `online` and subscribe.

        `online` is published again whenever `offline` arrives: the will of an earlier connection may come late.
        """
        if self._as_device:
            self._publish_status("online")
        topics = (self._status, *self._topics)
        if self._protocol == MQTTProtocolVersion.MQTTv5:
            self._client.subscribe([(topic, SubscribeOptions(qos=1, noLocal=True)) for topic in topics])
        else:
            self._client.subscribe([(topic, 1) for topic in topics])

    def send(self, outgoing: Outgoing) -> None:
        """Publish a message; later calls of `wait` write what the socket does not accept at once."""
        properties = None
        if outgoing.expiry is not None and self._protocol == MQTTProtocolVersion.MQTTv5:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.MessageExpiryInterval = outgoing.expiry
        info = self._client.publish(outgoing.topic, outgoing.payload, outgoing.qos, outgoing.retain, properties)
        if outgoing.qos:
            self._unacknowledged[info.mid] = outgoing
        elif not self._largest_qos0 or len(outgoing.payload) > len(self._largest_qos0.payload):
            self._largest_qos0 = outgoing

    def wait(self, wake: socket.socket, timeout: float) -> None:
        """Read and write until something happens, for at most `timeout` seconds.

        Args:
            wake: a non-blocking socket that ends the wait when it is readable; it is emptied.
            timeout: seconds.
        """
        connection = self._client.socket()
        if connection is None:
            return
        waiting_to_write = [connection] if self._client.want_write() else []
        readable, writable, _ = select.select([connection, wake], waiting_to_write, [], timeout)
        if wake in readable:
            wake.recv(4096)
        if connection in readable:
            self._read()
        if connection in writable:
            self._client.loop_write()
        self._client.loop_misc()

    def _read(self) -> None:
        try:
            self._client.loop_read()
            while isinstance(tls := self._client.socket(), ssl.SSLSocket) and tls.pending():
                # `select` does not see bytes that are decrypted already.
                self._client.loop_read()
        except (IndexError, ValueError, struct.error) as error:
            # paho raises these errors for malformed packets.
            self._ended = f"the broker sent a malformed packet ({type(error).__name__}: {error})"
            self.abort()

    def end(self, wake: socket.socket, within: float) -> None:
        """Publish `offline` if the broker had accepted the connection, wait for acknowledgements, and disconnect.

        Args:
            wake: a non-blocking socket that interrupts the wait when it is readable; it is emptied.
            within: seconds to wait for acknowledgements.
        """
        self._ending = True
        if self.accepted and self.open:
            ends = time.monotonic() + within
            if self._as_device:
                self._publish_status("offline")
            while self.open and (self._unacknowledged or self._client.want_write()) and time.monotonic() < ends:
                self.wait(wake, max(0.0, ends - time.monotonic()))
        self._client.disconnect()

    def abort(self) -> None:
        """Close the socket without DISCONNECT; the broker then publishes the will."""
        self._aborted = True
        if connection := self._client.socket():
            connection.close()

    def end_reason(self) -> str:
        """Describe why the connection ended, or why the broker did not accept it."""
        if self.refusal is not None and self.refusal.value in _REFUSED_LOGIN:
            return f"the broker refuses the login: {self.refusal} (check mqtt.username and the password)"
        if self.refusal is not None:
            return f"the broker refuses the connection: {self.refusal}"
        if not self.accepted:
            return "no answer to MQTT (is mqtt.port right? does the port want mqtt.tls, or a client certificate?)"
        return self._ended or "the connection was closed"

    def _publish_status(self, status: str) -> None:
        self._unacknowledged[self._client.publish(self._status, status, qos=1, retain=True).mid] = None

    def _on_connect(
        self,
        _client: paho.Client,
        _data: object,
        _flags: paho.ConnectFlags,
        code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if code.is_failure:
            self.refusal = code
        else:
            self.accepted = True
            self.max_packet_size = getattr(properties, "MaximumPacketSize", None)

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        if self._ending:
            return
        if len(message.payload) > _MAX_PAYLOAD:
            _log.warning("MQTT: %s: a message of more than %d bytes is ignored", message.topic, _MAX_PAYLOAD)
            return
        if self._as_device and message.topic == self._status and message.payload in (b"offline", b""):
            self._publish_status("online")
        if self._deliver:
            self._deliver(message)

    def _on_subscribe(
        self, _client: paho.Client, _data: object, _mid: int, codes: list[ReasonCode], _: Properties | None
    ) -> None:
        topics = (self._status, *self._topics)
        refused = [topic for topic, code in zip(topics, codes, strict=False) if code.is_failure]
        refused = [topic for topic in refused if f"{topic} subscribed" not in self._warned]
        self._warned.update(f"{topic} subscribed" for topic in refused)
        if refused:
            _log.warning("MQTT: the broker refuses the subscription to %s", ", ".join(refused))

    def _on_publish(
        self, _client: paho.Client, _data: object, mid: int, code: ReasonCode, _: Properties | None
    ) -> None:
        outgoing = self._unacknowledged.pop(mid, None)
        if code.is_failure and outgoing and outgoing.topic not in self._warned:
            self._warned.add(outgoing.topic)
            _log.warning("MQTT: the broker refuses what is published on %s: %s", outgoing.topic, code)

    def _on_disconnect(
        self, _client: paho.Client, _data: object, flags: paho.DisconnectFlags, code: ReasonCode, _: Properties | None
    ) -> None:
        if self._ending:
            return
        if flags.is_disconnect_packet_from_server:
            self._ended = f"the broker ended the connection: {code}"
        elif code.value == _KEEPALIVE_TIMEOUT:
            self._ended = "the broker no longer answers"
        elif code.value == _PROTOCOL_ERROR:
            self._ended = "the broker sent a packet that MQTT does not allow"
        else:
            self._ended = self._ended or "the connection was closed"


def connect_error_text(error: Exception) -> str:
    """Describe why a Connection could not be made, and what to do. error: raised by its constructor."""
    match error:
        case ssl.SSLCertVerificationError():
            return (
                f"its certificate is not accepted: {error.verify_message} "
                "(mqtt.ca_file must be the authority that signed it, mqtt.host a name in it)"
            )
        case ssl.SSLError():
            return f"no TLS there: {error.reason or error} (is mqtt.port the broker's TLS port?)"
        case socket.gaierror():
            return f"the name cannot be resolved: {error.strerror} (is mqtt.host right?)"
        case ConnectionRefusedError():
            return "connection refused (is the broker running, are mqtt.host and mqtt.port right?)"
        case ConnectionResetError():
            return "the connection was reset (with mqtt.tls: is mqtt.port the broker's TLS port?)"
        case TimeoutError():
            return f"no answer in {_CONNECT_S:.0f} s (is mqtt.host right? does a firewall block the port?)"
        case OSError(strerror=str(text)):
            return text
        case _:
            return str(error)


def _connect_properties(protocol: MQTTProtocolVersion) -> Properties | None:
    """Return the properties of CONNECT; None for MQTT 3.1.1, which has none."""
    if protocol != MQTTProtocolVersion.MQTTv5:
        return None
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.MaximumPacketSize = MAX_INCOMING
    return properties


def _set_no_delay(_client: paho.Client, _data: object, connection: object) -> None:
    # With Nagle's algorithm, a small message would wait for the TCP acknowledgement of the previous one.
    if isinstance(connection, socket.socket):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
