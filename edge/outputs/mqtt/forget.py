"""Taking back what a device has left at the broker: its retained messages, and what told Home Assistant of it."""

import socket
import time
from typing import Final

import paho.mqtt.client as paho

from edge.config import MqttSettings
from edge.controls import SWITCHES
from edge.errors import EmotionEdgeError
from edge.outputs.mqtt.access import ANSWER_S, VERSIONS, access_of
from edge.outputs.mqtt.connection import Link, why_unreachable
from edge.outputs.mqtt.home_assistant import discovery_topic
from edge.outputs.mqtt.outbox import Outgoing

_DONE_S: Final = 5.0


def forget(settings: MqttSettings) -> bool:
    """Delete every message that the broker retains of the device; Home Assistant then removes it.

    Returns whether the device is said to be online: a daemon that runs will announce itself again. Raises
    EmotionEdgeError when no broker is set, or it cannot be reached, or does not acknowledge within 5 s.
    """
    if not settings.host:
        raise EmotionEdgeError("forget: no broker is set (mqtt.host)")
    access = access_of(settings)
    where = f"{settings.host}:{settings.port}"
    status = f"{access.topic}/status"
    topics = [f"{access.topic}/{name}" for name in ("state", "stats", *(f"{switch}/state" for switch in SWITCHES))]
    if settings.discovery_prefix:
        topics.insert(0, discovery_topic(settings))
    said: list[bytes] = []

    def hear(message: paho.MQTTMessage) -> None:
        if message.topic == status and message.retain:
            said.append(bytes(message.payload))

    woken, waker = socket.socketpair()
    with woken, waker:
        woken.setblocking(False)
        for protocol in VERSIONS[settings.version]:
            try:
                link = Link(access, protocol, hear=hear, present=False)
            except (OSError, ValueError) as error:
                raise EmotionEdgeError(f"forget: no connection to {where}: {why_unreachable(error)}") from error
            ends = time.monotonic() + ANSWER_S
            while link.open and not link.accepted and time.monotonic() < ends:
                link.wait(woken, ANSWER_S)
            if not link.not_understood:
                break
        if not link.accepted:
            raise EmotionEdgeError(f"forget: no connection to {where}: {link.why_ended()}")
        link.greet()
        for topic in (*topics, status):
            link.send(Outgoing(topic, b"", qos=1, retain=True))
        ends = time.monotonic() + _DONE_S
        while link.open and link.unsure and time.monotonic() < ends:
            link.wait(woken, _DONE_S)
        unsure = link.unsure
        link.end(woken, 0.0)
    if unsure:
        raise EmotionEdgeError(f"forget: {where} did not acknowledge it: {link.why_ended()}")
    return b"online" in said
