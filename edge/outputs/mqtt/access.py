"""Reads from the settings how to reach the broker: address, login and certificates."""

import secrets
import shlex
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from paho.mqtt.enums import MQTTProtocolVersion

from edge.config import MqttSettings
from edge.config.certificate import client_context, load_certificate, refuse_lone_key
from edge.config.secrets import secret_of
from edge.outputs.mqtt.topics import topics_of

VERSIONS: Final[Mapping[str, tuple[MQTTProtocolVersion, ...]]] = {
    "auto": (MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311),
    "5": (MQTTProtocolVersion.MQTTv5,),
    "3.1.1": (MQTTProtocolVersion.MQTTv311,),
}
"""The protocol versions to try on each connection, in order, for each value of mqtt.version."""

CONNACK_TIMEOUT_S: Final = 4.0
"""Seconds to wait for the answer to CONNECT: some brokers give none to a protocol version that they do not support."""


@dataclass(frozen=True)
class BrokerAccess:
    """Address, login and certificates of a broker."""

    host: str
    port: int
    username: str
    password: str | None
    tls: ssl.SSLContext | None
    client_id: str

    @property
    def address(self) -> str:
        """`host:port`, for messages."""
        return f"{self.host}:{self.port}"


def broker_access(settings: MqttSettings) -> BrokerAccess:
    """Return the access that the settings describe.

    Raises:
        EmotionEdgeError: the password or a certificate cannot be read.
    """
    return BrokerAccess(
        host=settings.host,
        port=settings.port,
        username=settings.username,
        password=secret_of("mqtt.password", settings.password, settings.password_file) or None,
        tls=_tls(settings) if settings.tls else None,
        # One client id for the whole run: a broker that still holds the previous connection then drops it at once,
        # without publishing its will later.
        client_id=settings.client_id or f"{settings.device_id}-{secrets.token_hex(4)}",
    )


def subscribe_command(settings: MqttSettings) -> str:
    """Return the mosquitto_sub command that shows what this device publishes; the user must add the password."""
    words = ["mosquitto_sub", "-h", settings.host, "-p", str(settings.port)]
    if settings.username:
        words += ["-u", settings.username, "-P", "PASSWORD"]
    if settings.tls:
        words += ["--cafile", str(settings.ca_file)] if settings.ca_file else ["--tls-use-os-certs"]
        if settings.cert_file:
            words += ["--cert", str(settings.cert_file), "--key", str(settings.key_file or settings.cert_file)]
    words += ["-t", topics_of(settings).all, "-v"]
    return shlex.join(words)


def _tls(settings: MqttSettings) -> ssl.SSLContext:
    """Return a TLS context that checks the chain and the name of the broker's certificate."""
    refuse_lone_key("mqtt", settings.cert_file, settings.key_file)
    context = client_context("mqtt.ca_file", settings.ca_file)
    if settings.cert_file:
        load_certificate(context, "mqtt", settings.cert_file, settings.key_file)
    return context
