"""Home Assistant discovery: its messages over a real broker, with templates rendered from real messages.

tests/whole/test_home_assistant.py uses a real Home Assistant.
"""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from jinja2 import Environment

from edge import __version__
from edge.cli import main
from edge.config import MqttSettings, WebSettings
from edge.controls import Controls, Switches
from edge.labels import LABEL_SETS, UNCERTAIN
from edge.outputs.messages import Message, encode, event_messages, state_message, stats_message
from edge.outputs.mqtt.home_assistant import device_message, discovery_message, page_address
from edge.reading import Frame, Reading
from tests.edge.test_messages import NOW, validator
from tests.support.broker import Mosquitto, Subscriber
from tests.support.daemon import wait_until
from tests.support.publishing import DEVICE, connected, publishing, settings_for
from tests.support.samples import face, frame, reading, stats

LABELS = LABEL_SETS["fer7"]
RETAINED = ("status", "state", "stats", "detection/state", "privacy/state")
CONFIG = f"homeassistant/device/{DEVICE}/config"


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as broker:
        yield broker


def told(**settings: object) -> Message:
    return device_message(MqttSettings.model_validate({"device_id": DEVICE, **settings}), LABELS)


def shown(entity: str, message: Message) -> str:
    """Render an entity's template for a message."""
    template = told()["components"][entity]["value_template"]
    content = json.loads(encode(message))
    return str(Environment(autoescape=False).from_string(template).render(value_json=content))


@pytest.mark.parametrize("snapshots", [False, True])
@pytest.mark.parametrize("device", ["kitchen", "Living-Room_2"])
def test_the_message_fits_its_schema_and_every_id_is_one_of_a_kind(device: str, snapshots: bool) -> None:
    message = json.loads(encode(told(device_id=device, snapshots=snapshots)))
    validator("discovery").validate(message)
    parts = message["components"]
    assert len({part["unique_id"] for part in parts.values()}) == len(parts)
    assert len({part["default_entity_id"] for part in parts.values()}) == len(parts)
    for name, part in parts.items():
        assert part["default_entity_id"] == f"{part['platform']}.{device.lower().replace('-', '_')}_{name}"
    assert ("snapshot" in parts, "take_snapshot" in parts) == (snapshots, snapshots)


@pytest.mark.parametrize("labels", LABEL_SETS.values(), ids=LABEL_SETS)
def test_the_emotions_are_the_models_and_uncertain_and_nobody_each_once(labels: tuple[str, ...]) -> None:
    options = device_message(MqttSettings(), labels)["components"]["emotion"]["options"]
    assert len(set(options)) == len(options)
    assert set(options) == {*labels, UNCERTAIN, "nobody"}


def test_every_topic_is_one_that_is_published_or_heard(broker: Mosquitto) -> None:
    """Compare the topics in the discovery message with those that the MQTT output uses."""
    controls = Controls(snapshots=True)
    message = told(snapshots=True)
    with Subscriber(broker.port, "emotion/#") as ear, publishing(broker.port, controls, snapshots=True) as output:
        connected(output)
        controls.applied(controls.wanted)
        output.report(stats())
        output.put(reading([face(1)]))
        output.picture(*sample_picture())
        ear.wait(lambda: bool(ear.of("/snapshot") and ear.of("/stats") and ear.of("/event")), "all topics")
        ear.wait(lambda: bool(ear.of("/privacy/state") and ear.of(f"{DEVICE}/state")), "all topics")
        published = {heard.topic for heard in ear.of("")}
        parts = message["components"].values()
        read = {part[key] for part in parts for key in part if key.endswith("_topic") and key != "command_topic"}
        assert read | {message["availability_topic"]} <= published
        commands = {part["command_topic"]: part for part in parts if "command_topic" in part}
        assert {topic.rsplit("/", 2)[1] for topic in commands} == set(controls.names)
        for topic, part in commands.items():
            ear.publish(topic, part.get("payload_press", "ON"))
        wait_until(lambda: controls.wanted == Switches(detection=True, privacy=True), "what the switches wanted")
        wait_until(controls.take_snapshot, "what the button wanted")


def sample_picture() -> tuple[Frame, Reading]:
    seen = frame()
    return seen, reading([face(1)], seen)


def test_what_the_entities_show_of_a_face() -> None:
    message = state_message(reading([face(1, "happy", 0.873), face(2, "sad", 0.5)]), "online", NOW)
    names = ("emotion", "confidence", "valence", "arousal", "faces", "presence")
    assert [shown(name, message) for name in names] == ["happy", "87.3", "0.85", "0.45", "2", "ON"]


def test_what_the_entities_show_of_nobody_and_of_nobody_looking() -> None:
    nobody = state_message(reading(), "online", NOW)
    names = ("emotion", "confidence", "valence", "arousal", "faces", "presence")
    assert [shown(name, nobody) for name in names] == ["nobody", "None", "None", "None", "0", "OFF"]
    off = state_message(replace(reading(), analysed=False), "online", NOW)
    for message in (off, state_message(None, "lost: camera /dev/video0: unplugged", NOW)):
        assert {shown(name, message) for name in names} == {"None"}  # Home Assistant shows "unknown" for None


def test_the_attributes_of_the_emotion_are_those_of_the_state_without_its_time() -> None:
    template = told()["components"]["emotion"]["json_attributes_template"]
    for of in (reading([face(1)]), reading(), None):
        message = json.loads(encode(state_message(of, "online", NOW)))
        attributes = json.loads(Environment(autoescape=False).from_string(template).render(value_json=message))
        assert attributes == {key: value for key, value in message.items() if key not in ("v", "ts", "emotion")}


def test_every_event_has_a_kind_that_home_assistant_was_told_of() -> None:
    before, after = reading([face(1, "happy"), face(2)]), reading([face(1, "sad"), face(3)])
    messages = list(event_messages(before, after))
    kinds = set()
    for message in messages:
        event = json.loads(shown("event", message))
        kinds.add(event.pop("event_type"))
        assert event == {key: value for key, value in message.items() if key not in ("v", "event")}
    assert kinds == set(told()["components"]["event"]["event_types"])


def test_what_the_diagnostics_show() -> None:
    names = ("fps", "latency", "temperature", "throttled", "model", "camera", "pace")
    assert [shown(name, stats_message(stats(), NOW)) for name in names] == [
        "24.8",
        "9.1",
        "51.5",
        "OFF",
        "emotion-small",
        "online",
        "limited",
    ]
    long = replace(stats(), camera="lost: " + "x" * 400)
    assert len(shown("camera", stats_message(long, NOW))) == 250
    bare = replace(stats(), temperature=None, throttled=None, latency_ms={})
    assert [shown(name, stats_message(bare, NOW)) for name in names[1:4]] == ["None", "None", "None"]
    assert shown("throttled", stats_message(replace(stats(), throttled=True), NOW)) == "ON"


def test_the_update_entity_shows_the_installed_and_the_newest_version_and_installs_nothing() -> None:
    entity = told()["components"]["update"]
    assert "command_topic" not in entity
    shown_now = json.loads(shown("update", stats_message(stats(), NOW)))
    assert shown_now == {"installed_version": __version__, "latest_version": __version__}
    newer = json.loads(shown("update", stats_message(stats(), NOW, "99.0")))
    assert newer == {"installed_version": __version__, "latest_version": "99.0"}


@pytest.mark.parametrize(
    ("web", "url"),
    [
        ({}, ""),
        ({"host": "0.0.0.0", "password": "x"}, "http://pi.local:8080/"),
        ({"host": "::", "password": "x", "port": 80}, "http://pi.local:80/"),
        ({"host": "192.168.1.7", "password": "x", "cert_file": "/c.pem"}, "https://192.168.1.7:8080/"),
        ({"host": "fd00::7", "password": "x"}, "http://[fd00::7]:8080/"),
        ({"host": "kitchen.lan", "password": "x"}, "http://kitchen.lan:8080/"),
        ({"host": "0.0.0.0", "password": "x", "enabled": False}, ""),
    ],
)
def test_the_device_links_to_the_page_where_the_network_reaches_it(
    web: dict[str, object], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "pi")
    page = page_address(WebSettings.model_validate(web))
    assert page == url
    message = json.loads(encode(device_message(MqttSettings(), LABELS, page)))
    validator("discovery").validate(message)
    assert message["device"].get("configuration_url", "") == url


def test_what_is_forgotten_under_a_running_daemon_is_published_again(broker: Mosquitto) -> None:
    settings = settings_for(broker.port)
    discovery, controls = discovery_message(settings, LABELS), Controls()
    with Subscriber(broker.port) as ear, publishing(broker.port, controls, discovery) as output:
        connected(output)
        controls.applied(controls.wanted)
        output.report(stats())
        topics = {CONFIG, *(f"emotion/{DEVICE}/{name}" for name in RETAINED)}
        ear.wait(lambda: topics <= {message.topic for message in ear.of("")}, "everything that is retained")
        assert forget(broker) == 0
        ear.wait(lambda: all(ear.of(topic)[-1].payload for topic in topics), "everything again")
        assert ear.texts(f"{DEVICE}/status")[-1] == "online"
        with Subscriber(broker.port) as late:
            late.wait(lambda: {message.topic for message in late.of("")} == topics, "what the broker retains")


def test_it_is_told_on_connecting_and_whenever_home_assistant_starts(broker: Mosquitto) -> None:
    settings = settings_for(broker.port)
    with Subscriber(broker.port) as ear, publishing(broker.port, discovery=discovery_message(settings, LABELS)):
        ear.wait(lambda: len(ear.of(CONFIG)) == 1, "the announcement")
        ear.publish("homeassistant/status", "online")
        ear.wait(lambda: len(ear.of(CONFIG)) == 2, "another one")
        ear.publish("homeassistant/status", "offline")
        ear.publish("homeassistant/status", "online")
        ear.wait(lambda: len(ear.of(CONFIG)) == 3, "a third")
        with Subscriber(broker.port, CONFIG) as late:
            late.wait(lambda: len(late.of("")) == 1, "the retained one")
            (message,) = late.of("")
            assert (message.retain, json.loads(message.payload)) == (True, ear.contents(CONFIG)[-1])
            validator("discovery").validate(json.loads(message.payload))


def test_another_prefix_and_none(broker: Mosquitto) -> None:
    settings = settings_for(broker.port, discovery_prefix="my/ha")
    with (
        Subscriber(broker.port) as ear,
        publishing(broker.port, discovery=discovery_message(settings, LABELS), discovery_prefix="my/ha"),
    ):
        ear.wait(lambda: bool(ear.of(f"my/ha/device/{DEVICE}/config")), "the announcement")
        ear.publish("my/ha/status", "online")
        ear.wait(lambda: len(ear.of(f"my/ha/device/{DEVICE}/config")) == 2, "another one")
    assert discovery_message(settings_for(broker.port, discovery_prefix=""), LABELS) is None


def forget(broker: Mosquitto, *flags: str) -> int:
    where = ["--mqtt.host", "127.0.0.1", "--mqtt.port", str(broker.port), "--mqtt.device_id", DEVICE]
    return main(["forget", *where, *flags])


@pytest.mark.parametrize("version", ["auto", "3.1.1"])
def test_forget_leaves_nothing_of_the_device_at_the_broker(
    broker: Mosquitto, version: str, capsys: pytest.CaptureFixture[str]
) -> None:
    controls = Controls()
    with Subscriber(broker.port) as ear:
        with publishing(broker.port, controls, discovery_message(settings_for(broker.port), LABELS)) as output:
            connected(output)
            controls.applied(controls.wanted)
            output.report(stats())
            ear.wait(lambda: bool(ear.of("/stats") and ear.of("/privacy/state")), "all that is retained")
        ear.wait(lambda: ear.texts("/status")[-1] == "offline", "goodbye")
        ear.publish("emotion/other/status", "online", retain=True)
    assert forget(broker, "--mqtt.version", version) == 0
    assert capsys.readouterr().out == f"127.0.0.1:{broker.port} keeps nothing of emotion/{DEVICE} any more\n"
    with Subscriber(broker.port) as late:
        late.wait(lambda: bool(late.of("other/status")), "what is another device's")
        late.publish("end", "")
        late.wait(lambda: bool(late.of("end")), "the end of what is retained")
        assert [message.topic for message in late.of("")] == ["emotion/other/status", "end"]


def test_forget_says_that_a_daemon_still_runs(broker: Mosquitto, capsys: pytest.CaptureFixture[str]) -> None:
    with publishing(broker.port) as output:
        connected(output)
        with Subscriber(broker.port) as ear:
            ear.wait(lambda: ear.texts("/status") == ["online"], "birth")
        assert forget(broker) == 0
        assert "stop it first" in capsys.readouterr().out


def test_forget_without_a_broker_is_a_clear_error(broker: Mosquitto, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forget", "--mqtt.host", ""]) == 2
    assert "mqtt.host" in capsys.readouterr().err
    broker.stop()
    assert forget(broker) == 2
    assert "connection refused" in capsys.readouterr().err
