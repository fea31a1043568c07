"""The topics of a device, and the mosquitto_sub command that shows them."""

import re
from pathlib import Path

import pytest

from edge.config import MqttSettings
from edge.controls import Controls
from edge.outputs.mqtt.access import subscribe_command
from edge.outputs.mqtt.topics import Topics, topics_of
from tests.conftest import ROOT


def settings(**values: object) -> MqttSettings:
    return MqttSettings.model_validate({"host": "broker.lan", "device_id": "kitchen", **values})


def test_the_documentation_lists_every_topic() -> None:
    topics, controls = topics_of(settings()), Controls(snapshots=True).names
    own = [
        name for name, kind in vars(Topics).items() if isinstance(kind, property) and name not in ("all", "retained")
    ]
    named = [getattr(topics, name) for name in own] + [topics.command(control) for control in controls]
    named += [topics.control_state(name) for name in controls if name != "snapshot"]
    tables = (ROOT / "docs/mqtt.md").read_text().split("\nMessages are JSON")[0]
    first_cells = re.findall(r"^\|([^|]*`[^|]*)\|", tables, re.MULTILINE)
    documented = {topic for cell in first_cells for topic in re.findall("`([^`]+)`", cell)}
    assert {topic.removeprefix("emotion/kitchen/") for topic in named} == documented


def test_discovery_topics_follow_the_prefix_and_are_absent_without_one() -> None:
    assert topics_of(settings(discovery_prefix="my/ha")).discovery == "my/ha/device/kitchen/config"
    assert topics_of(settings(discovery_prefix="my/ha")).home_assistant == "my/ha/status"
    without = topics_of(settings(discovery_prefix=""))
    assert (without.discovery, without.home_assistant) == (None, None)
    assert None not in without.retained


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "-h broker.lan -p 1883 -t 'emotion/kitchen/#' -v"),
        ({"username": "board 1"}, "-h broker.lan -p 1883 -u 'board 1' -P PASSWORD -t 'emotion/kitchen/#' -v"),
        (
            {"tls": True, "port": 8883, "ca_file": Path("/etc/my ca.pem")},
            "-h broker.lan -p 8883 --cafile '/etc/my ca.pem' -t 'emotion/kitchen/#' -v",
        ),
        ({"tls": True}, "-h broker.lan -p 1883 --tls-use-os-certs -t 'emotion/kitchen/#' -v"),
        (
            {"tls": True, "cert_file": Path("/c.pem"), "key_file": Path("/c.key")},
            "-h broker.lan -p 1883 --tls-use-os-certs --cert /c.pem --key /c.key -t 'emotion/kitchen/#' -v",
        ),
    ],
)
def test_the_subscribe_command_carries_login_and_certificates(given: dict[str, object], expected: str) -> None:
    assert subscribe_command(settings(**given)) == f"mosquitto_sub {expected}"
