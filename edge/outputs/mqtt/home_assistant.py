"""Home Assistant device discovery: one retained message that describes the device and all its entities.

The fields are those of Home Assistant's documentation of MQTT discovery and of each MQTT platform; `default_entity_id`
is used from version 2025.10 on; earlier versions derive the entity id from the names.
"""

import re
import socket
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from edge import __version__
from edge.config import MqttSettings, WebSettings
from edge.controls import PRESS, SNAPSHOT
from edge.labels import UNCERTAIN
from edge.outputs.messages import EVENTS, Message, encode
from edge.outputs.mqtt.outbox import Outgoing
from edge.outputs.mqtt.topics import Topics, topics_of
from edge.reading import PACES

NOBODY: Final = "nobody"
"""State of the emotion sensor with no face in view; while the camera is off its state is unknown."""

_MAX_STATE: Final = 250
"""Maximum characters of a state, below Home Assistant's limit of 255."""

_DEVICE_TREE: Final = Path("/proc/device-tree/model")
_UNKNOWN: Final = "None"
"""The text that Home Assistant's MQTT sensors read as `unknown`."""


def discovery_message(
    settings: MqttSettings, labels: Sequence[str], page: str = "", models: Sequence[str] = ()
) -> Outgoing | None:
    """Return the discovery message to publish; None if mqtt.discovery_prefix is empty.

    Args:
        settings: device id, topics and what the device offers.
        labels: of the emotion model.
        page: address of the live page on the network; empty: the page cannot be reached from there.
        models: names of the emotion models that may be chosen; empty: none.
    """
    topic = topics_of(settings).discovery
    message = encode(device_message(settings, labels, page, models))
    return Outgoing(topic, message, qos=1, retain=True) if topic else None


def device_message(
    settings: MqttSettings, labels: Sequence[str], page: str = "", models: Sequence[str] = ()
) -> Message:
    """Return the content of `discovery_message`, from the same arguments: device, origin, availability, components."""
    topics = topics_of(settings)
    # Home Assistant's ids consist of letters, digits and underscores.
    slug = re.sub(r"[^a-z0-9_]", "_", settings.device_id.lower())
    parts = {
        **_scene(topics.state, labels),
        "event": _event(topics.event),
        **_switches(topics),
        **(_snapshot(topics) if settings.snapshots else {}),
        **_diagnostics(topics.stats),
        "update": _update(topics.stats),
        **(_choose_model(topics, models) if models else {}),
    }
    for name, part in parts.items():
        part["unique_id"] = f"emotion_edge_{settings.device_id}_{name}"
        part["default_entity_id"] = f"{part['platform']}.{slug}_{name}"
    return {
        "device": {
            "identifiers": [f"emotion_edge_{settings.device_id}"],
            "name": f"Emotion Edge {settings.device_id}",
            "manufacturer": "Emotion Edge",
            "model": _board_model(),
            "sw_version": __version__,
            **({"configuration_url": page} if page else {}),
        },
        "origin": {"name": "Emotion Edge", "sw_version": __version__},
        "availability_topic": topics.status,
        "components": parts,
    }


def _scene(topic: str, labels: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the sensors of emotion, number of faces and presence; all are unknown while the camera is off or lost."""
    emotions = list(dict.fromkeys([*labels, UNCERTAIN, NOBODY]))
    attributes = ("confidence", "valence", "arousal", "faces", "watching", "camera")
    listed = ", ".join(f"'{name}': value_json.{name}" for name in attributes)

    def sensor(name: str, value: str, when: str = "value_json.watching", **more: Any) -> dict[str, Any]:
        template = f"{{{{ {value} if {when} else '{_UNKNOWN}' }}}}"
        return {"platform": "sensor", "name": name, "state_topic": topic, "value_template": template, **more}

    measured = {"state_class": "measurement"}
    return {
        "emotion": sensor(
            "Emotion",
            f"(value_json.emotion or '{NOBODY}')",
            device_class="enum",
            options=emotions,
            icon="mdi:emoticon-outline",
            # Without `ts`: Home Assistant would record a new state at every heartbeat.
            json_attributes_topic=topic,
            json_attributes_template=f"{{{{ {{{listed}}} | tojson }}}}",
        ),
        "confidence": sensor(
            "Confidence",
            "(value_json.confidence * 100) | round(1)",
            when="value_json.watching and value_json.confidence is number",
            unit_of_measurement="%",
            suggested_display_precision=0,
            icon="mdi:percent-outline",
            **measured,
        ),
        "valence": sensor(
            "Valence", "value_json.valence", suggested_display_precision=2, icon="mdi:plus-minus-variant", **measured
        ),
        "arousal": sensor("Arousal", "value_json.arousal", suggested_display_precision=2, icon="mdi:pulse", **measured),
        "faces": sensor("Faces", "value_json.faces", icon="mdi:account-group-outline", **measured),
        "presence": {
            "platform": "binary_sensor",
            "name": "Presence",
            "device_class": "occupancy",
            "state_topic": topic,
            "value_template": (
                f"{{{{ '{_UNKNOWN}' if not value_json.watching else 'ON' if value_json.faces else 'OFF' }}}}"
            ),
        },
    }


def _event(topic: str) -> dict[str, Any]:
    """Return the event entity; Home Assistant expects the kind of event in `event_type`."""
    rest = "value_json.items() | rejectattr('0', 'in', ['v', 'event'])"
    return {
        "platform": "event",
        "name": "Event",
        "state_topic": topic,
        "event_types": list(EVENTS),
        "value_template": f"{{{{ dict({rest}, event_type=value_json.event) | tojson }}}}",
        "icon": "mdi:face-recognition",
        "qos": 1,
    }


def _switches(topics: Topics) -> dict[str, dict[str, Any]]:
    def switch(control: str, name: str, icon: str) -> dict[str, Any]:
        used = {"state_topic": topics.control_state(control), "command_topic": topics.command(control)}
        return {"platform": "switch", "name": name, **used, "icon": icon, "qos": 1}

    return {
        "detection": switch("detection", "Detection", "mdi:face-man-shimmer"),
        "privacy": switch("privacy", "Privacy", "mdi:camera-off"),
    }


def _snapshot(topics: Topics) -> dict[str, dict[str, Any]]:
    return {
        "take_snapshot": {
            "platform": "button",
            "name": "Take snapshot",
            "command_topic": topics.command(SNAPSHOT),
            "payload_press": PRESS,
            "icon": "mdi:camera",
            "qos": 1,
        },
        "snapshot": {
            "platform": "image",
            "name": "Snapshot",
            "image_topic": topics.snapshot,
            "content_type": "image/jpeg",
        },
    }


def _diagnostics(topic: str) -> dict[str, dict[str, Any]]:
    def part(name: str, value: str, platform: str = "sensor", **more: Any) -> dict[str, Any]:
        template = {"state_topic": topic, "value_template": f"{{{{ {value} }}}}"}
        return {"platform": platform, "name": name, **template, "entity_category": "diagnostic", **more}

    measured = {"state_class": "measurement"}
    return {
        "fps": part(
            "Frame rate",
            "value_json.fps",
            unit_of_measurement="fps",
            suggested_display_precision=1,
            icon="mdi:speedometer",
            **measured,
        ),
        "latency": part(
            "Latency",
            "value_json.latency_ms.p50 | default(None)",
            device_class="duration",
            unit_of_measurement="ms",
            suggested_display_precision=0,
            **measured,
        ),
        "temperature": part(
            "Temperature",
            "value_json.temperature",
            device_class="temperature",
            unit_of_measurement="°C",
            suggested_display_precision=0,
            **measured,
        ),
        "throttled": part(
            "Throttled",
            f"'{_UNKNOWN}' if value_json.throttled is none else 'ON' if value_json.throttled else 'OFF'",
            platform="binary_sensor",
            device_class="problem",
        ),
        "model": part("Model", "value_json.model", icon="mdi:brain"),
        "camera": part("Camera", f"value_json.camera[:{_MAX_STATE}]", icon="mdi:camera-outline"),
        "pace": part(
            "Pace", "value_json.pace", device_class="enum", options=list(PACES), icon="mdi:speedometer-medium"
        ),
    }


def _update(topic: str) -> dict[str, Any]:
    """Return the update entity: installed and newest version, without a command to install it."""
    versions = "{'installed_version': value_json.version, 'latest_version': value_json.newest_version}"
    return {
        "platform": "update",
        "name": "Version",
        "state_topic": topic,
        "value_template": f"{{{{ {versions} | tojson }}}}",
        "title": "Emotion Edge",
        "entity_category": "diagnostic",
    }


def _choose_model(topics: Topics, models: Sequence[str]) -> dict[str, dict[str, Any]]:
    return {
        "choose_model": {
            "platform": "select",
            "name": "Choose model",
            "state_topic": topics.stats,
            # A model that was installed since may have a name that is no option: the state is then unknown.
            "value_template": f"{{{{ value_json.model if value_json.model in {list(models)} else '{_UNKNOWN}' }}}}",
            "command_topic": topics.model_command,
            "options": list(models),
            "entity_category": "config",
            "icon": "mdi:brain",
            "qos": 1,
        }
    }


def page_address(settings: WebSettings) -> str:
    """Return the address of the live page on the network; empty if it cannot be reached from there."""
    if not (settings.enabled and settings.on_network):
        return ""
    try:
        everywhere = ip_address(settings.host).is_unspecified
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
    except ValueError:
        everywhere, host = False, settings.host
    if everywhere:
        name = socket.gethostname()
        host = name if "." in name else f"{name}.local"
    return f"{'https' if settings.cert_file else 'http'}://{host}:{settings.port}/"


def _board_model() -> str:
    """Return the board's name from the device tree, such as `Raspberry Pi 5 Model B Rev 1.0`."""
    try:
        return _DEVICE_TREE.read_text(encoding="utf-8", errors="replace").strip("\0 \n") or "Emotion Edge"
    except OSError:
        return "Emotion Edge"
