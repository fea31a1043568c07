"""An MQTT output for tests, and helpers that examine the messages received from it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as paho

from edge.config import MqttSettings
from edge.controls import Controls
from edge.outputs.mqtt.outbox import Outgoing
from edge.outputs.mqtt.output import MqttOutput
from tests.support.broker import Subscriber
from tests.support.daemon import wait_until

DEVICE = "board-1"


def settings_for(port: int, **settings: Any) -> MqttSettings:
    """Settings of an MQTT output for the broker on this port."""
    given = {"host": "127.0.0.1", "port": port, "device_id": DEVICE, "faces_rate": 60, **settings}
    return MqttSettings.model_validate(given)


@contextmanager
def publishing(
    port: int, controls: Controls | None = None, discovery: Outgoing | None = None, **settings: Any
) -> Iterator[MqttOutput]:
    """Context manager: an MQTT output for the broker on this port, closed at the end."""
    output = MqttOutput(settings_for(port, **settings), controls, discovery)
    try:
        yield output
    finally:
        output.close()


def connected(output: MqttOutput) -> None:
    wait_until(lambda: output.connection == "connected", "connection")


def disconnected(output: MqttOutput) -> None:
    wait_until(lambda: output.connection != "connected", "word that the connection is lost")


def ids(subscriber: Subscriber, event: str = "face_appeared") -> list[int]:
    """Ids of the faces in the received events of a kind, in order."""
    return [content["id"] for content in subscriber.contents("/event") if content["event"] == event]


def expiry(message: paho.MQTTMessage) -> int | None:
    """Message expiry interval in seconds; None: never."""
    return getattr(message.properties, "MessageExpiryInterval", None)
