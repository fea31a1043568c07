"""The files in integrations/: each can be parsed, and names only existing topics, fields and entities.

tests/whole/test_home_assistant.py loads the blueprint and the dashboard into a real Home Assistant.
"""

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from paho.mqtt.client import topic_matches_sub

from edge.config import MqttSettings
from edge.controls import SNAPSHOT, SWITCHES
from edge.labels import LABEL_SETS, UNCERTAIN
from edge.outputs.metrics import Metrics, MqttFigures, RecordFigures
from edge.outputs.mqtt.home_assistant import NOBODY, device_message
from tests.conftest import ROOT
from tests.edge.test_messages import SCHEMAS
from tests.support.samples import face, reading, stats

FOLDER = ROOT / "integrations"
ENTITIES = {
    part["default_entity_id"]: part
    for part in device_message(MqttSettings(device_id="kitchen", snapshots=True), LABEL_SETS["ferplus8"])[
        "components"
    ].values()
}
PUBLISHED = [f"emotion/kitchen/{topic}" for topic in ("status", "state", "faces", "event", "stats", "snapshot")]
COMMANDS = {f"emotion/kitchen/{name}/set" for name in (*SWITCHES, SNAPSHOT)}


class Input(yaml.YAMLObject):
    """The YAML tag `!input name` in a blueprint."""

    yaml_tag = "!input"
    yaml_loader = yaml.SafeLoader

    def __init__(self, name: str) -> None:
        self.name = name

    @classmethod
    def from_yaml(cls, _loader: yaml.SafeLoader, node: yaml.Node) -> "Input":
        return cls(str(node.value))


def inside(content: Any) -> Iterator[Any]:
    """Yield a YAML value and all values nested in it."""
    yield content
    if isinstance(content, Mapping):
        for value in content.values():
            yield from inside(value)
    elif isinstance(content, list):
        for value in content:
            yield from inside(value)


def schema(topic: str) -> dict[str, Any]:
    """Load the JSON Schema of a topic's messages."""
    content: dict[str, Any] = json.loads((SCHEMAS / f"{topic}.schema.json").read_text())
    return content


@pytest.mark.parametrize("path", sorted(path for path in FOLDER.rglob("*.*") if path.is_file()), ids=lambda p: p.name)
def test_every_file_says_how_it_is_used(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        assert "Import" in text
    else:
        assert text.startswith("# ")
    pages = "".join(page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs").glob("*.md")))
    assert str(path.relative_to(ROOT)) in pages


def test_the_blueprint_uses_its_inputs_and_offers_the_emotions_there_are() -> None:
    blueprint = yaml.safe_load((FOLDER / "home-assistant" / "emotion-stays.yaml").read_text(encoding="utf-8"))
    inputs = blueprint["blueprint"]["input"]
    used = {value.name for value in inside(blueprint) if isinstance(value, Input)}
    assert used == set(inputs)
    offered = inputs["emotions"]["selector"]["select"]["options"]
    assert offered[:-2] == sorted({label for labels in LABEL_SETS.values() for label in labels} - {UNCERTAIN})
    assert offered[-2:] == [UNCERTAIN, NOBODY]
    (wanted,) = inputs["emotion_sensor"]["selector"]["entity"]["filter"]
    emotion = ENTITIES["sensor.kitchen_emotion"]
    assert wanted == {"integration": "mqtt", "domain": emotion["platform"], "device_class": emotion["device_class"]}


def test_the_dashboard_shows_every_entity_and_no_other() -> None:
    dashboard = yaml.safe_load((FOLDER / "home-assistant" / "dashboard.yaml").read_text(encoding="utf-8"))
    domains = {part["platform"] for part in ENTITIES.values()}
    named = {
        value
        for value in inside(dashboard)
        if isinstance(value, str) and value.partition(".")[0] in domains and "." in value
    }
    assert named == set(ENTITIES)


def test_the_nodes_of_node_red_are_wired_to_each_other_and_to_topics_that_there_are() -> None:
    nodes = json.loads((FOLDER / "node-red" / "flow.json").read_text(encoding="utf-8"))
    by_id = {node["id"]: node for node in nodes}
    assert len(by_id) == len(nodes)
    for node in nodes:
        assert {target for output in node.get("wires", []) for target in output} <= set(by_id)
        assert node.get("z") in (None, *by_id)
        if node["type"] in ("mqtt in", "mqtt out"):
            assert by_id[node["broker"]]["type"] == "mqtt-broker"
        if node["type"] == "mqtt in":
            assert any(topic_matches_sub(node["topic"], topic) for topic in PUBLISHED)
        if node["type"] == "mqtt out":
            assert node["topic"] in COMMANDS
    (choice,) = (node for node in nodes if node["type"] == "switch")
    kinds = schema("event")["properties"]["event"]["enum"]
    assert {rule["v"] for rule in choice["rules"]} == set(kinds)
    event, state = schema("event")["properties"], schema("state")["properties"]
    for node in nodes:
        for name in re.findall(r"\{\{payload\.(\w+)\}\}", node.get("template", "")):
            assert name in event
        for name in re.findall(r"msg\.payload\.(\w+)", node.get("func", "")):
            assert name in state


def test_telegraf_reads_fields_that_are_there_and_never_null() -> None:
    config = tomllib.loads((FOLDER / "telegraf" / "emotion-edge.conf").read_text(encoding="utf-8"))
    read = []
    for source in config["inputs"]["mqtt_consumer"]:
        (topic,) = source["topics"]
        assert any(topic_matches_sub(topic, published) for published in PUBLISHED)
        (parsed,) = source["topic_parsing"]
        assert parsed["topic"] == topic
        assert parsed["tags"].split("/")[topic.split("/").index("+")] == "device"
        name = topic.rsplit("/", 1)[1]
        (messages,) = source["json_v2"]
        paths = [messages["timestamp_path"], *(f["path"] for f in messages.get("field", []))]
        paths += [tag["path"] for tag in messages.get("tag", [])]
        for given in messages.get("object", []):
            paths += [f"{given['path']}.{key}" for key in (*given["tags"], *given["included_keys"])]
        for path in paths:
            of = schema(name)
            for part in path.split("."):
                of = of.get("items", of)["properties"][part]
            # Null only with user-defined class names and a network without these outputs, so never with a released
            # model.
            assert "null" not in of["type"] or path in ("faces.valence", "faces.arousal"), path
        read.append(name)
    assert read == ["stats", "faces", "state"]


def metric_labels() -> dict[str, set[str]]:
    """Return the labels of every exported metric, including the one that a scrape adds."""
    metrics = Metrics(
        [*LABEL_SETS["fer7"], UNCERTAIN],
        stats,
        lambda: MqttFigures(True, 0),
        lambda: RecordFigures(1, 1, 0, False),
        lambda: dict.fromkeys(SWITCHES, True),
    )
    metrics.put(reading([face(1)]))
    found: dict[str, set[str]] = {}
    for name, labels in re.findall(r"^((?:emotion_edge|process)_\w+)(?:\{(.*)\})? ", metrics.text(), re.MULTILINE):
        found.setdefault(name, {"device"}).update(re.findall(r'(\w+)="', labels))
    return found


def test_prometheus_scrapes_the_page_and_names_the_device() -> None:
    config = yaml.safe_load((FOLDER / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    (job,) = config["scrape_configs"]
    (static,) = job["static_configs"]
    assert job["metrics_path"] == "/metrics"
    assert static["labels"] == {"device": "kitchen"}
    assert static["targets"] == ["localhost:8080"]


def test_the_alerts_ask_for_figures_that_there_are_and_fire_when_they_should() -> None:
    folder = FOLDER / "prometheus"
    rules = yaml.safe_load((folder / "alerts.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
    asked = {name for rule in rules for name in re.findall(r"(?:emotion_edge|process)_\w+", rule["expr"])}
    assert asked <= set(metric_labels())
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    subprocess.run([promtool, "check", "config", folder / "prometheus.yml"], check=True, capture_output=True)
    done = subprocess.run([promtool, "test", "rules", "alerts_test.yml"], cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_grafana_asks_for_metrics_and_labels_that_there_are() -> None:
    dashboard = json.loads((FOLDER / "grafana" / "dashboard.json").read_text(encoding="utf-8"))
    known = metric_labels()
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    asked = 0
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            for name, labels in re.findall(r"(emotion_edge_\w+)\{([^}]*)\}", target["expr"]):
                assert name in known
                assert set(re.findall(r"(\w+)=~?\"", labels)) <= known[name]
                asked += 1
            in_legend = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            names = set(re.findall(r"emotion_edge_\w+", target["expr"]))
            assert all(in_legend <= known[name] for name in names), panel["title"]
    assert asked >= len(ids)
    overridden = {
        override["matcher"]["options"]
        for panel in dashboard["panels"]
        for override in panel["fieldConfig"]["overrides"]
    }
    assert overridden == {label for labels in LABEL_SETS.values() for label in labels}
