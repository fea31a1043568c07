"""Readings to a real Mosquitto: every topic, and every way in which a broker can be away."""

import logging
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from pydantic import SecretStr

from edge.broker import start_broker
from edge.config import MqttSettings
from edge.errors import EmotionEdgeError
from edge.outputs.mqtt import MqttOutput
from edge.outputs.mqtt_outbox import EVENTS_KEPT
from tests.broker import REMEMBERS, Mosquitto, Subscriber, certificates, passwords
from tests.daemon import free_port, wait_until
from tests.samples import face, frame, reading, stats
from tests.test_messages import TOPICS, validator

DEVICE = "board-1"


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as broker:
        yield broker


@contextmanager
def publishing(port: int, **settings: object) -> Iterator[MqttOutput]:
    """An output for the broker on this port, closed at the end."""
    given = {"host": "127.0.0.1", "port": port, "device_id": DEVICE, "faces_rate": 60, **settings}
    output = MqttOutput(MqttSettings.model_validate(given))
    try:
        yield output
    finally:
        output.close()


def connected(output: MqttOutput) -> None:
    wait_until(lambda: output.connection == "connected", "connection")


def disconnected(output: MqttOutput) -> None:
    wait_until(lambda: output.connection != "connected", "word that the connection is lost")


def ids(subscriber: Subscriber, event: str = "face_appeared") -> list[int]:
    """The faces of the events of a kind, in the order in which they came."""
    return [content["id"] for content in subscriber.contents("/event") if content["event"] == event]


def expiry(message: paho.MQTTMessage) -> int | None:
    """Seconds until the broker forgets the message; None: never."""
    return getattr(message.properties, "MessageExpiryInterval", None)


def test_every_topic_fits_its_schema_and_keeps_the_contract(broker: Mosquitto) -> None:
    with Subscriber(broker.port, "emotion/#") as ear, publishing(broker.port) as output:
        connected(output)
        output.report(stats())
        output.put(reading([face(1, "happy")]))
        ear.wait(lambda: bool(ear.of("/faces") and ear.of("/stats")), "faces and stats")
        output.put(reading([face(1, "sad")]))
        output.put(reading())
        ear.wait(lambda: len(ear.of("/event")) == 3, "three events")
        ear.wait(lambda: ear.contents("/state")[-1]["faces"] == 0, "an empty scene")

        for topic in TOPICS:
            for content in ear.contents(f"/{topic}"):
                validator(topic).validate(content)
        told = [content["event"] for content in ear.contents("/event")]
        assert told == ["face_appeared", "emotion_changed", "face_left"]
        assert ear.texts("/status") == ["online"]
        assert {message.topic for message in ear.of("")} == {
            f"emotion/{DEVICE}/{topic}" for topic in ("status", *TOPICS)
        }
        qos = {topic: {message.qos for message in ear.of(f"/{topic}")} for topic in ("status", *TOPICS)}
        assert qos == {"status": {1}, "state": {1}, "faces": {0}, "event": {1}, "stats": {0}}

        with Subscriber(broker.port) as late:
            late.wait(lambda: len(late.of("")) == 3, "what the broker retains")
            assert all(message.retain for message in late.of(""))
            retained = {message.topic.rsplit("/", 1)[1] for message in late.of("")}
            assert retained == {"status", "state", "stats"}


def test_state_is_there_before_the_first_frame(broker: Mosquitto) -> None:
    with Subscriber(broker.port) as ear, publishing(broker.port):
        ear.wait(lambda: bool(ear.of("/state")), "state")
        (state,) = ear.contents("/state")
        assert (state["emotion"], state["faces"]) == (None, 0)
        assert state["camera"] != "online"


def test_state_is_sent_when_the_camera_is_lost_and_its_faces_leave(broker: Mosquitto) -> None:
    with Subscriber(broker.port) as ear, publishing(broker.port) as output:
        connected(output)
        output.report(stats())
        output.put(reading([face(5, "happy")]))
        ear.wait(lambda: any(state["faces"] == 1 for state in ear.contents("/state")), "a face in the state")
        output.report(stats(camera="camera /dev/video0: unplugged"))
        ear.wait(lambda: ear.contents("/state")[-1]["camera"] == "camera /dev/video0: unplugged", "the loss")
        assert ear.contents("/state")[-1]["emotion"] is None
        ear.wait(lambda: ids(ear, "face_left") == [5], "the face's leaving")


def test_state_beats_though_nothing_changes_and_expires(broker: Mosquitto) -> None:
    with Subscriber(broker.port) as ear, publishing(broker.port, heartbeat=0.2):
        ear.wait(lambda: len(ear.of("/state")) >= 4, "heartbeats")
        contents = [{**content, "ts": ""} for content in ear.contents("/state")]
        assert all(content == contents[0] for content in contents)
        # Three heartbeats, in whole seconds; the status is to stay.
        assert [expiry(ear.of(topic)[-1]) for topic in ("/state", "/status")] == [1, None]


def test_faces_keep_to_the_rate_whatever_the_camera_gives(broker: Mosquitto) -> None:
    """64 frames at 32 a second, 4 messages a second: every eighth frame."""
    with Subscriber(broker.port) as ear, publishing(broker.port, faces_rate=4) as output:
        connected(output)
        for number in range(64):
            output.put(reading([face(1)], frame(number), captured_at=1000 + number / 32))
            if number % 8 == 0:
                wait_until(lambda: len(ear.of("/faces")) > number // 8, "frame")  # noqa: B023 - called at once
        output.report(stats())
        ear.wait(lambda: bool(ear.of("/stats")), "stats")
        assert [content["sequence"] for content in ear.contents("/faces")] == list(range(0, 64, 8))


def test_faces_of_a_camera_a_little_faster_than_the_rate_are_not_halved(broker: Mosquitto) -> None:
    with Subscriber(broker.port) as ear, publishing(broker.port, faces_rate=8) as output:
        connected(output)
        for number in range(45):
            output.put(reading([face(1)], frame(number), captured_at=1000 + number / 9))
            wait_until(lambda: len(ear.of("/faces")) >= number * 8 // 9, "eight frames of nine")  # noqa: B023
        assert len(ear.of("/faces")) <= 41


def test_the_will_says_offline_when_the_process_is_killed(broker: Mosquitto) -> None:
    program = (
        "import sys, time; from edge.config import MqttSettings; from edge.outputs.mqtt import MqttOutput;"
        f"MqttOutput(MqttSettings(host='127.0.0.1', port={broker.port}, device_id='{DEVICE}')); time.sleep(60)"
    )
    with Subscriber(broker.port) as ear:
        process = subprocess.Popen([sys.executable, "-c", program])
        try:
            ear.wait(lambda: ear.texts("/status") == ["online"], "birth")
        finally:
            process.kill()
            process.wait()
        ear.wait(lambda: ear.texts("/status") == ["online", "offline"], "will")
        with Subscriber(broker.port) as late:
            late.wait(lambda: late.texts("/status") == ["offline"], "retained will")


def test_goodbye_comes_after_all_that_was_put(broker: Mosquitto) -> None:
    with Subscriber(broker.port) as ear:
        with publishing(broker.port) as output:
            connected(output)
            for number in range(1, 51):
                output.put(reading([face(number)]))
        ear.wait(lambda: ear.texts("/status") == ["online", "offline"], "goodbye")
        topics = [message.topic for message in ear.of("")]
        assert topics[-1] == f"emotion/{DEVICE}/status"
        assert ids(ear) == list(range(1, 51))
        assert output.connection != "connected"


def test_an_outage_keeps_events_in_order_and_the_newest_state() -> None:
    with Mosquitto(*REMEMBERS) as broker, Subscriber(broker.port, session="ear") as ear:
        broker.restart()
        with publishing(broker.port) as output:
            ear.wait(lambda: bool(ear.of("/state")), "state")
            output.report(stats())
            output.put(reading([face(1, "happy")]))
            ear.wait(lambda: bool(ear.of("/faces") and ear.of("/stats") and ids(ear) == [1]), "first frame")
            broker.stop()
            disconnected(output)
            for number in range(2, 40):
                output.put(reading([face(number, "sad" if number == 39 else "fear")]))
            ear.forget()
            broker.start()
            ear.wait(lambda: len(ids(ear)) == 38 and bool(ear.of("/state")), "all that happened")
            assert ids(ear) == list(range(2, 40))
            assert {state["emotion"] for state in ear.contents("/state")} == {"sad"}
            assert ear.of("/faces") == []
            assert set(ear.texts("/status")) == {"online"}
            with Subscriber(broker.port) as late:
                late.wait(lambda: len(late.of("")) == 3, "status, state and stats, retained anew")
            output.put(reading([face(99)]))
            ear.wait(lambda: bool(ear.of("/faces")), "frame after the outage")


def test_what_a_dying_broker_had_not_acknowledged_is_sent_again() -> None:
    with Mosquitto(*REMEMBERS) as broker, Subscriber(broker.port, session="ear") as ear:
        broker.restart()
        with publishing(broker.port) as output:
            connected(output)
            ear.wait(lambda: bool(ear.of("/state")), "state")
            broker.freeze()
            for number in range(1, 31):
                output.put(reading([face(number)]))
            broker.stop()
            disconnected(output)
            broker.start()
            ear.wait(lambda: ids(ear)[-1:] == [30], "the last event")
            assert ids(ear) == list(range(1, 31))


def test_nothing_blocks_and_nothing_piles_up_while_a_broker_stalls(broker: Mosquitto) -> None:
    with Subscriber(broker.port) as ear, publishing(broker.port) as output:
        connected(output)
        ear.wait(lambda: bool(ear.of("/state")), "state")
        broker.freeze()
        for number in range(10_000):
            output.put(reading([face(number)]))
        broker.freeze(False)
        ear.wait(lambda: ids(ear)[-1:] == [9999], "newest event")
        assert len(ear.of("/event")) < EVENTS_KEPT + 20  # what was on its way already
        newest = [content["id"] for content in ear.contents("/event")][-EVENTS_KEPT:]
        assert newest == [9899 + (place + 1) // 2 for place in range(EVENTS_KEPT)]  # one comes when one goes


def test_of_ten_thousand_events_offline_the_newest_are_kept() -> None:
    with Mosquitto(*REMEMBERS) as broker, Subscriber(broker.port, session="ear") as ear:
        broker.restart()
        broker.stop()
        with publishing(broker.port) as output:
            for number in range(10_000):
                output.put(reading([face(number)]))
            broker.start()
            ear.wait(lambda: ids(ear)[-1:] == [9999], "newest event")
            assert ids(ear) == list(range(9900, 10_000))
            assert len(ear.of("/event")) == EVENTS_KEPT


def test_two_boards_of_one_name_do_not_throw_each_other_out(broker: Mosquitto) -> None:
    with Subscriber(broker.port) as ear, publishing(broker.port) as one, publishing(broker.port) as other:
        connected(one)
        connected(other)
        one.put(reading([face(1)]))
        other.put(reading([face(2)]))
        ear.wait(lambda: sorted(ids(ear)) == [1, 2], "events of both")
        assert (one.connection, other.connection) == ("connected", "connected")
        assert "offline" not in ear.texts("/status")


def test_the_late_will_of_an_earlier_run_is_contradicted(broker: Mosquitto) -> None:
    with Subscriber(broker.port) as ear, publishing(broker.port) as output:
        connected(output)
        ear.wait(lambda: ear.texts("/status") == ["online"], "birth")
        ear.publish(f"emotion/{DEVICE}/status", "offline", retain=True)
        ear.wait(lambda: ear.texts("/status") == ["online", "offline", "online"], "second birth")
        with Subscriber(broker.port) as late:
            late.wait(lambda: late.texts("/status") == ["online"], "retained status")


@pytest.mark.parametrize("version", ["auto", "3.1.1"])
def test_a_broker_of_3_1_1_is_spoken_to_in_3_1_1(version: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    broker = start_broker(free_port())
    try:
        with Subscriber(broker.port, "emotion/#", "3.1.1") as ear:
            with publishing(broker.port, version=version) as output:
                connected(output)
                output.put(reading([face(1)]))
                ear.wait(lambda: ids(ear) == [1] and bool(ear.of("/state") and ear.of("/faces")), "all topics")
            ear.wait(lambda: ear.texts("/status")[-1] == "offline", "goodbye")
    finally:
        broker.close()
    assert "version 3.1.1" in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_mosquitto_is_spoken_to_in_5_unless_told_otherwise(broker: Mosquitto, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for version in ("auto", "5", "3.1.1"):
        with publishing(broker.port, version=version) as output:
            connected(output)
    told = re.findall(r"connected to \S+, version (\S+)", caplog.text)
    assert told == ["5", "5", "3.1.1"]


def test_a_refused_login_is_said_once_and_tried_until_it_is_accepted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rules = ["allow_anonymous false", passwords(tmp_path, board="old")]
    with Mosquitto(*rules) as broker:
        with publishing(broker.port, username="board", password=SecretStr("new")) as output:
            wait_until(lambda: "refuses the login" in output.connection, "refusal")
            assert "mqtt.username" in output.connection
            again = caplog.text
            broker.stop()
            passwords(tmp_path, board="new")
            broker.start()
            connected(output)
        assert caplog.text.count("refuses the login") == again.count("refuses the login") == 1


@pytest.mark.parametrize("version", ["5", "3.1.1"])
@pytest.mark.parametrize("how", ["environment", "file"])
def test_user_and_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, version: str) -> None:
    from edge.config import Settings

    secret = "pass word: ü"
    with Mosquitto("allow_anonymous false", passwords(tmp_path, board=secret)) as broker:
        if how == "environment":
            monkeypatch.setenv("EMOTION_EDGE_MQTT_PASSWORD", secret)
            given: dict[str, object] = {"password": Settings().mqtt.password}
        else:
            file = tmp_path / "secret"
            file.write_text(f"{secret}\nnot this\n", encoding="utf-8")
            given = {"password_file": file}
        with publishing(broker.port, username="board", version=version, **given) as output:
            connected(output)


def test_tls_with_the_right_authority_and_a_client_certificate(tmp_path: Path) -> None:
    made = certificates(tmp_path)
    rules = [f"cafile {made.authority}", f"certfile {made.server}", f"keyfile {made.server_key}"]
    mine = {"ca_file": made.authority, "cert_file": made.client, "key_file": made.client_key}
    with Mosquitto("allow_anonymous true", *rules, "require_certificate true") as broker:
        with publishing(broker.port, host="localhost", tls=True, **mine) as output:
            connected(output)
            for number in range(1, 101):
                output.put(reading([face(number)]))
            broker.stop()
            disconnected(output)
            broker.start()
            connected(output)
        with publishing(broker.port, host="localhost", tls=True, ca_file=made.authority) as output:
            wait_until(lambda: "client certificate" in output.connection, "that a certificate is asked for")


def test_tls_refuses_a_broker_that_it_cannot_trust(tmp_path: Path) -> None:
    made = certificates(tmp_path)
    (tmp_path / "other").mkdir()
    other = certificates(tmp_path / "other")
    rules = [f"certfile {made.server}", f"keyfile {made.server_key}"]
    with Mosquitto("allow_anonymous true", *rules) as broker:

        def told(**settings: object) -> str:
            with publishing(broker.port, **settings) as output:
                wait_until(lambda: output.connection != "connecting", "an answer")
                return output.connection

        assert told(host="localhost", tls=True, ca_file=made.authority) == "connected"
        assert "certificate is not accepted" in told(host="localhost", tls=True, ca_file=other.authority)
        assert "certificate is not accepted" in told(host="localhost", tls=True)
        assert "not valid for '127.0.0.1'" in told(host="127.0.0.1", tls=True, ca_file=made.authority)
        assert "does the port want mqtt.tls" in told(host="localhost", version="5")


def test_tls_to_a_port_without_it(broker: Mosquitto) -> None:
    with publishing(broker.port, host="localhost", tls=True) as output:
        wait_until(lambda: output.connection != "connecting", "an answer")
        assert "TLS" in output.connection


def test_no_broker_yet_is_an_outage_like_any_other(broker: Mosquitto, caplog: pytest.LogCaptureFixture) -> None:
    broker.stop()
    with publishing(broker.port) as output:
        wait_until(lambda: "nothing listens there" in output.connection, "that nobody is there")
        broker.start()
        connected(output)
        assert caplog.text.count("nothing listens there") == 1


def test_a_name_that_nobody_knows() -> None:
    with publishing(1883, host="broker.invalid") as output:
        wait_until(lambda: "the name is not known" in output.connection, "that the name is not known", 60)


def missing(folder: Path) -> Path:
    return folder / "missing"


def empty(folder: Path) -> Path:
    (folder / "empty").touch()
    return folder / "empty"


@pytest.mark.parametrize(
    ("setting", "file", "told"),
    [
        ("password_file", missing, "cannot be read"),
        ("password_file", empty, "first line"),
        ("ca_file", missing, "cannot be read"),
        ("ca_file", empty, "no certificate in PEM format"),
        ("cert_file", missing, "cannot be read"),
        ("cert_file", empty, "no certificate"),
        ("key_file", missing, "without mqtt.cert_file"),
    ],
)
def test_a_file_that_cannot_be_used_is_said_at_the_start(
    tmp_path: Path, setting: str, file: Callable[[Path], Path], told: str
) -> None:
    path = file(tmp_path)
    with pytest.raises(EmotionEdgeError, match=told) as raised:
        MqttOutput(MqttSettings.model_validate({"host": "localhost", "tls": True, setting: path}))
    assert f"mqtt.{setting} {path}" in str(raised.value)
