"""How to reach a broker, made of the settings: whom to call, as whom, and with which certificates."""

import secrets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from paho.mqtt.enums import MQTTProtocolVersion

from edge.config import MqttSettings
from edge.config.certificate import check_readable, load_certificate, refuse_lone_key
from edge.config.secrets import secret_of
from edge.errors import EmotionEdgeError

VERSIONS: Final[Mapping[str, tuple[MQTTProtocolVersion, ...]]] = {
    "auto": (MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311),
    "5": (MQTTProtocolVersion.MQTTv5,),
    "3.1.1": (MQTTProtocolVersion.MQTTv311,),
}
"""What is tried on each connection, by mqtt.version."""

ANSWER_S: Final = 4.0
"""For the answer to CONNECT. Some brokers are silent, or hang up, at a version that they do not understand."""


@dataclass(frozen=True)
class Access:
    """How to reach a broker. topic: base topic and device id; the status beneath it is set to `offline` by the will."""

    host: str
    port: int
    username: str
    password: str | None
    tls: ssl.SSLContext | None
    client_id: str
    topic: str


def device_topic(settings: MqttSettings) -> str:
    """Under which everything of this device is published: base topic and device id."""
    return f"{settings.base_topic}/{settings.device_id}"


def access_of(settings: MqttSettings) -> Access:
    """As the settings say. Raises EmotionEdgeError when the password or a certificate cannot be read."""
    return Access(
        host=settings.host,
        port=settings.port,
        username=settings.username,
        password=secret_of("mqtt.password", settings.password, settings.password_file) or None,
        tls=_tls(settings) if settings.tls else None,
        # The same for every connection of this run, so that a broker that has not noticed the end of one replaces
        # it, and does not announce its will later.
        client_id=f"{settings.device_id}-{secrets.token_hex(4)}",
        topic=device_topic(settings),
    )


def _tls(settings: MqttSettings) -> ssl.SSLContext:
    """What TLS needs: the broker's certificate and its name are always checked."""
    refuse_lone_key("mqtt", settings.cert_file, settings.key_file)
    if settings.ca_file:
        check_readable("mqtt.ca_file", settings.ca_file)
    try:
        context = ssl.create_default_context(cafile=str(settings.ca_file) if settings.ca_file else None)
    except ssl.SSLError as error:
        raise EmotionEdgeError(f"mqtt.ca_file {settings.ca_file}: holds no certificate in PEM format") from error
    if settings.cert_file:
        load_certificate(context, "mqtt", settings.cert_file, settings.key_file)
    return context
