"""Logs in at the broker once, for subcommands; the daemon's own connections are in output.py."""

import socket
import time
from collections.abc import Callable

import paho.mqtt.client as paho

from edge.config import MqttSettings
from edge.errors import EmotionEdgeError
from edge.outputs.mqtt.access import CONNACK_TIMEOUT_S, VERSIONS, broker_access
from edge.outputs.mqtt.connection import Connection, connect_error_text
from edge.outputs.mqtt.topics import topics_of


def log_in(
    settings: MqttSettings, wake: socket.socket, on_message: Callable[[paho.MQTTMessage], None] | None = None
) -> Connection:
    """Open a connection that the broker accepts, under a client id of its own.

    Args:
        settings: broker, login and version.
        wake: a non-blocking socket that interrupts waiting when it is readable; it is emptied.
        on_message: called with each message on the topic of the device's status.

    Raises:
        EmotionEdgeError: the password or a certificate cannot be read, or the broker cannot be reached or refuses.
    """
    access = broker_access(settings)
    problem = ""
    for protocol in VERSIONS[settings.version]:
        try:
            connection = Connection(access, topics_of(settings).status, protocol, (), on_message, as_device=False)
        except (OSError, ValueError) as error:
            problem = connect_error_text(error)
            break
        ends = time.monotonic() + CONNACK_TIMEOUT_S
        while connection.open and not connection.accepted and time.monotonic() < ends:
            connection.wait(wake, CONNACK_TIMEOUT_S)
        if connection.accepted:
            return connection
        problem = connection.end_reason()
        connection.end(wake, 0.0)
        if not connection.version_refused:
            break
    raise EmotionEdgeError(f"no connection to {access.address}: {problem}")


def login_problem(settings: MqttSettings) -> str:
    """Try to log in, and describe why the broker cannot be used with these settings; empty if it can."""
    woken, waker = socket.socketpair()
    with woken, waker:
        woken.setblocking(False)
        try:
            log_in(settings, woken).end(woken, 0.0)
        except EmotionEdgeError as error:
            return str(error)
    return ""
