"""The broker embedded in `demo`, with third-party clients."""

import logging
import re
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from edge.errors import EmotionEdgeError
from edge.outputs.mqtt.embedded_broker import EmbeddedBroker, start_broker
from tests.support.broker import Subscriber, program
from tests.support.daemon import free_port


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    broker = start_broker(free_port())
    yield broker
    broker.close()


@pytest.mark.parametrize("version", [[], ["-V", "mqttv311"]])
def test_mosquitto_sub_hears_what_is_said_and_what_was_retained(broker: EmbeddedBroker, version: list[str]) -> None:
    with Subscriber(broker.port, "emotion/#", "3.1.1") as other:
        other.publish("emotion/board/status", "online", retain=True)
        command = [program("mosquitto_sub"), "-p", str(broker.port), "-t", "emotion/#", "-v", "-C", "2", "-W", "20"]
        with subprocess.Popen([*command, *version], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            assert process.stdout.readline() == "emotion/board/status online\n"
            other.publish("emotion/board/state", '{"emotion":"happy"}')
            assert process.stdout.readline() == 'emotion/board/state {"emotion":"happy"}\n'
        assert process.returncode == 0


def test_two_demos_get_two_ports(broker: EmbeddedBroker) -> None:
    other = start_broker(broker.port)
    try:
        assert other.port > broker.port
        with Subscriber(broker.port, "#", "3.1.1") as one, Subscriber(other.port, "#", "3.1.1") as two:
            one.publish("here", "1")
            two.publish("there", "2")
            one.wait(lambda: one.texts("here") == ["1"], "own message")
            two.wait(lambda: two.texts("there") == ["2"], "own message")
            assert not one.of("there")
    finally:
        other.close()


def test_no_port_is_a_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 65535)), pytest.raises(EmotionEdgeError, match=r"65535.*mqtt\.port"):
        start_broker(65535)


def test_it_listens_on_the_loopback_only(broker: EmbeddedBroker) -> None:
    with open("/proc/net/tcp") as table:  # noqa: PTH123 - no file of ours
        listening = [line.split()[1] for line in table if line.split()[3] == "0A"]
    assert f"0100007F:{broker.port:04X}" in listening
    assert f"00000000:{broker.port:04X}" not in listening


def test_it_is_silent_and_ends_with_clients_connected(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    broker = start_broker(free_port())
    with Subscriber(broker.port, "#", "3.1.1") as ear:
        ear.publish("a", "1")
        ear.wait(lambda: bool(ear.of("a")), "message")
        broker.close()
        broker.close()
    with pytest.raises(ConnectionRefusedError):
        Subscriber(broker.port)
    assert not re.findall("amqtt|transitions", caplog.text)


def test_a_program_that_forgets_to_close_it_still_ends_without_a_word() -> None:
    program = f"from edge.outputs.mqtt.embedded_broker import start_broker; start_broker({free_port()})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
