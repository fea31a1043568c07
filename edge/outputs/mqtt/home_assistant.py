"""What tells Home Assistant of this device: one retained message with all its entities (MQTT device discovery).

The fields are those of Home Assistant's documentation of MQTT discovery and of each MQTT platform; `default_entity_id`
counts from its version 2025.10 on, and before that the entity's id is made of the names.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from edge import __version__
from edge.config import MqttSettings
from edge.controls import PRESS
from edge.labels import UNCERTAIN
from edge.outputs.messages import Message, encode
from edge.outputs.mqtt.access import device_topic
from edge.outputs.mqtt.outbox import Outgoing

NOBODY: Final = "nobody"
"""The emotion sensor's state with no face in view; while nobody looks it is unknown."""

EVENTS: Final = ("face_appeared", "face_left", "emotion_changed")

_DEVICE_TREE: Final = Path("/proc/device-tree/model")
_UNKNOWN: Final = "None"
"""What Home Assistant's MQTT sensors take for `unknown`."""


def announcement(settings: MqttSettings, labels: Sequence[str]) -> Outgoing | None:
    """The retained message for Home Assistant, or None where mqtt.discovery_prefix is empty.

    labels: of the emotion model.
    """
    if not settings.discovery_prefix:
        return None
    return Outgoing(discovery_topic(settings), encode(device_message(settings, labels)), qos=1, retain=True)


def discovery_topic(settings: MqttSettings) -> str:
    """Where Home Assistant looks for the device."""
    return f"{settings.discovery_prefix}/device/{settings.device_id}/config"


def birth_topic(settings: MqttSettings) -> str:
    """Where Home Assistant says `online` when it has started, and wants to be told again."""
    return f"{settings.discovery_prefix}/status"


def device_message(settings: MqttSettings, labels: Sequence[str]) -> Message:
    """Device, origin, components and availability; topics are written in full."""
    base = device_topic(settings)
    # Letters, digits and underscores: what Home Assistant's ids are made of.
    slug = re.sub(r"[^a-z0-9_]", "_", settings.device_id.lower())
    parts = {
        **_scene(f"{base}/state", labels),
        "event": _event(f"{base}/event"),
        **_switches(base),
        **(_snapshot(base) if settings.snapshots else {}),
        **_diagnostics(f"{base}/stats"),
    }
    for name, part in parts.items():
        part["unique_id"] = f"emotion_edge_{settings.device_id}_{name}"
        part["default_entity_id"] = f"{part['platform']}.{slug}_{name}"
    return {
        "device": {
            "identifiers": [f"emotion_edge_{settings.device_id}"],
            "name": f"Emotion Edge {settings.device_id}",
            "manufacturer": "Emotion Edge",
            "model": _board(),
            "sw_version": __version__,
        },
        "origin": {"name": "Emotion Edge", "sw_version": __version__},
        "availability_topic": f"{base}/status",
        "components": parts,
    }


def _scene(topic: str, labels: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What is seen. Everything is unknown while nobody looks: a camera that is away sees neither someone nor no one."""
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
            # Without `ts`: a state that differs in nothing else is none that Home Assistant should write down.
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
    """Home Assistant wants the event's kind under a name of its own."""
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


def _switches(base: str) -> dict[str, dict[str, Any]]:
    def switch(control: str, name: str, icon: str) -> dict[str, Any]:
        topics = {"state_topic": f"{base}/{control}/state", "command_topic": f"{base}/{control}/set"}
        return {"platform": "switch", "name": name, **topics, "icon": icon, "qos": 1}

    return {
        "detection": switch("detection", "Detection", "mdi:face-man-shimmer"),
        "privacy": switch("privacy", "Privacy", "mdi:camera-off"),
    }


def _snapshot(base: str) -> dict[str, dict[str, Any]]:
    return {
        "take_snapshot": {
            "platform": "button",
            "name": "Take snapshot",
            "command_topic": f"{base}/snapshot/set",
            "payload_press": PRESS,
            "icon": "mdi:camera",
            "qos": 1,
        },
        "snapshot": {
            "platform": "image",
            "name": "Snapshot",
            "image_topic": f"{base}/snapshot",
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
    }


def _board() -> str:
    """What kind of machine this is, as its firmware says, such as `Raspberry Pi 5 Model B Rev 1.0`."""
    try:
        return _DEVICE_TREE.read_text(encoding="utf-8", errors="replace").strip("\0 \n") or "Emotion Edge"
    except OSError:
        return "Emotion Edge"
