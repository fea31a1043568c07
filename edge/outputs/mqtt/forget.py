"""`emotion-edge forget`: deletes a device's retained messages from the broker, Home Assistant's discovery included."""

import socket
import time
from typing import Final

import paho.mqtt.client as paho

from edge.config import MqttSettings
from edge.errors import EmotionEdgeError
from edge.outputs.mqtt.outbox import Outgoing
from edge.outputs.mqtt.session import log_in
from edge.outputs.mqtt.topics import topics_of

_DONE_S: Final = 5.0


def forget(settings: MqttSettings) -> bool:
    """Delete all messages of the device that the broker retains; Home Assistant then removes the device.

    Returns:
        Whether the device's status is `online`: a running daemon publishes everything again.

    Raises:
        EmotionEdgeError: no broker is set, or it cannot be reached, or does not acknowledge within 5 s.
    """
    if not settings.host:
        raise EmotionEdgeError("forget: no broker is set (mqtt.host)")
    topics = topics_of(settings)
    statuses: list[bytes] = []

    def on_message(message: paho.MQTTMessage) -> None:
        if message.topic == topics.status and message.retain:
            statuses.append(bytes(message.payload))

    woken, waker = socket.socketpair()
    with woken, waker:
        woken.setblocking(False)
        try:
            connection = log_in(settings, woken, on_message)
        except EmotionEdgeError as error:
            raise EmotionEdgeError(f"forget: {error}") from error
        connection.start_session()
        for topic in topics.retained:
            connection.send(Outgoing(topic, b"", qos=1, retain=True))
        ends = time.monotonic() + _DONE_S
        while connection.open and connection.unacknowledged and time.monotonic() < ends:
            connection.wait(woken, _DONE_S)
        unacknowledged = connection.unacknowledged
        connection.end(woken, 0.0)
    if unacknowledged:
        reason = connection.end_reason()
        raise EmotionEdgeError(f"forget: {settings.host}:{settings.port} did not acknowledge it: {reason}")
    return b"online" in statuses
