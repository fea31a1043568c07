"""Deletes everything that the broker retains of a device, Home Assistant's discovery message included."""

import socket
import time
from typing import Final

import paho.mqtt.client as paho

from edge.config import MqttSettings
from edge.errors import EmotionEdgeError
from edge.outputs.mqtt.access import CONNACK_TIMEOUT_S, VERSIONS, broker_access
from edge.outputs.mqtt.connection import Connection, connect_error_text
from edge.outputs.mqtt.outbox import Outgoing
from edge.outputs.mqtt.topics import topics_of

_DONE_S: Final = 5.0


def forget(settings: MqttSettings) -> bool:
    """Delete every message that the broker retains of the device; Home Assistant then removes it.

    Returns:
        Whether the device's status is `online`: a running daemon publishes everything again.

    Raises:
        EmotionEdgeError: no broker is set, or it cannot be reached, or does not acknowledge within 5 s.
    """
    if not settings.host:
        raise EmotionEdgeError("forget: no broker is set (mqtt.host)")
    access, topics = broker_access(settings), topics_of(settings)
    statuses: list[bytes] = []

    def on_message(message: paho.MQTTMessage) -> None:
        if message.topic == topics.status and message.retain:
            statuses.append(bytes(message.payload))

    woken, waker = socket.socketpair()
    with woken, waker:
        woken.setblocking(False)
        for protocol in VERSIONS[settings.version]:
            try:
                connection = Connection(access, topics.status, protocol, on_message=on_message, as_device=False)
            except (OSError, ValueError) as error:
                text = connect_error_text(error)
                raise EmotionEdgeError(f"forget: no connection to {access.address}: {text}") from error
            ends = time.monotonic() + CONNACK_TIMEOUT_S
            while connection.open and not connection.accepted and time.monotonic() < ends:
                connection.wait(woken, CONNACK_TIMEOUT_S)
            if not connection.version_refused:
                break
        if not connection.accepted:
            raise EmotionEdgeError(f"forget: no connection to {access.address}: {connection.end_reason()}")
        connection.start_session()
        for topic in topics.retained:
            connection.send(Outgoing(topic, b"", qos=1, retain=True))
        ends = time.monotonic() + _DONE_S
        while connection.open and connection.unacknowledged and time.monotonic() < ends:
            connection.wait(woken, _DONE_S)
        unacknowledged = connection.unacknowledged
        connection.end(woken, 0.0)
    if unacknowledged:
        raise EmotionEdgeError(f"forget: {access.address} did not acknowledge it: {connection.end_reason()}")
    return b"online" in statuses
