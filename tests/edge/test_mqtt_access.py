"""Access to brokers: MQTT versions, logins, certificates, and the messages when these are wrong."""

import argparse
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from edge.config import MqttSettings
from edge.config.load import add_flags, load
from edge.errors import EmotionEdgeError
from edge.outputs.mqtt.embedded_broker import start_broker
from edge.outputs.mqtt.output import MqttOutput
from tests.support.broker import Mosquitto, Subscriber, certificates, passwords
from tests.support.daemon import free_port, wait_until
from tests.support.publishing import connected, disconnected, ids, publishing
from tests.support.samples import face, reading


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as broker:
        yield broker


@pytest.mark.parametrize("version", ["auto", "3.1.1"])
def test_a_broker_of_3_1_1_is_spoken_to_in_3_1_1(
    version: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    # On a busy machine the broker may acknowledge late.
    for limit in ("_FLUSH_S", "_GOODBYE_S", "_CLOSE_S"):
        monkeypatch.setattr(f"edge.outputs.mqtt.output.{limit}", 30.0)
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
    secret = "pass word: ü"
    with Mosquitto("allow_anonymous false", passwords(tmp_path, board=secret)) as broker:
        if how == "environment":
            monkeypatch.setenv("EMOTION_EDGE_MQTT_PASSWORD", secret)
            parser = argparse.ArgumentParser()
            add_flags(parser)
            settings = load(parser.parse_args(["--mqtt.username", "board"]))
            given: dict[str, Any] = {"password": settings.mqtt.password}
        else:
            file = tmp_path / "secret"
            file.write_text(f"{secret}\nnot this\n", encoding="utf-8")
            given = {"password_file": file}
        with publishing(broker.port, username="board", version=version, **given) as output:
            connected(output)


def test_tls_with_the_right_authority_and_a_client_certificate(tmp_path: Path) -> None:
    made = certificates(tmp_path)
    rules = [f"cafile {made.authority}", f"certfile {made.server}", f"keyfile {made.server_key}"]
    mine: dict[str, Any] = {"ca_file": made.authority, "cert_file": made.client, "key_file": made.client_key}
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

        def told(**settings: Any) -> str:
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
        wait_until(lambda: "connection refused" in output.connection, "that nobody is there")
        broker.start()
        connected(output)
        assert caplog.text.count("connection refused") == 1


def test_a_name_that_nobody_knows() -> None:
    with publishing(1883, host="broker.invalid") as output:
        wait_until(lambda: "the name cannot be resolved" in output.connection, "that the name cannot be resolved", 60)


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
        MqttOutput(MqttSettings.model_validate({"host": "localhost", "username": "board", "tls": True, setting: path}))
    assert f"mqtt.{setting} {path}" in str(raised.value)
