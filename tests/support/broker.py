"""A real Mosquitto on a free port of the loopback, and a client that hears what a broker passes on, for tests."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

REMEMBERS = ("allow_anonymous true", "persistence true")
"""Settings of a broker that knows its clients' sessions after a restart, as they were saved last."""

_PROGRAMS = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"


class Mosquitto:
    """A broker that a test may stop, start again on the same port, and freeze.

    settings: lines of mosquitto.conf besides the listener; a change counts from the next start. Skips the test where
    mosquitto is not installed.
    """

    def __init__(self, *settings: str) -> None:
        self._program = program("mosquitto")
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port = int(server.getsockname()[1])
        self.settings = list(settings or ("allow_anonymous true",))
        self._folder = tempfile.TemporaryDirectory()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        config = Path(self._folder.name) / "mosquitto.conf"
        # Started by root it would become a user who may not read the files of the test.
        user = ["user root"] if os.geteuid() == 0 else []
        store = f"persistence_location {self._folder.name}/"
        config.write_text("\n".join([*user, f"listener {self.port} 127.0.0.1", *self.settings, store, ""]))
        self._process = subprocess.Popen([self._program, "-c", str(config)], stderr=subprocess.DEVNULL)
        ends = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert time.monotonic() < ends, "mosquitto does not answer"
                assert self._process.poll() is None, f"mosquitto ended with status {self._process.returncode}"
                time.sleep(0.02)

    def stop(self) -> None:
        """As when its machine goes: nothing is saved, and no client gets a goodbye."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def end(self) -> None:
        """Stop it properly: sessions and retained messages are saved first, where `REMEMBERS` is set."""
        assert self._process
        self._process.terminate()
        self._process.wait()
        self._process = None

    def restart(self) -> None:
        """As an update does."""
        self.end()
        self.start()

    def freeze(self, frozen: bool = True) -> None:
        """Stall with every connection left open; or go on."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._folder.cleanup()


class Subscriber:
    """A client of MQTT 5, or of 3.1.1, that keeps what it hears with QoS, retain flag and expiry.

    session: a name under which the broker keeps for it what comes while it is away; empty: it keeps nothing.
    """

    def __init__(self, port: int, topics: str = "#", version: str = "5", session: str = "") -> None:
        self._heard: list[paho.MQTTMessage] = []
        self._changed = threading.Condition()
        self._subscribed = False
        if version == "5" and not session:
            self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        else:
            self._client = paho.Client(CallbackAPIVersion.VERSION2, session, clean_session=not session)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(topics, 2)
        self._client.on_subscribe = lambda *_: self._note(None)
        self._client.on_message = lambda _client, _data, message: self._note(message)
        for _ in range(4):
            self._client.connect("127.0.0.1", port)
            self._client.loop_start()
            with self._changed:
                if self._changed.wait_for(lambda: self._subscribed, timeout=5):
                    return
            # amqtt loses a SUBSCRIBE now and then that follows CONNECT at once: come again.
            self._client.disconnect()
            self._client.loop_stop()
        raise AssertionError(f"no subscription to {topics} on port {port}")

    def _note(self, message: paho.MQTTMessage | None) -> None:
        with self._changed:
            if message:
                self._heard.append(message)
            else:
                self._subscribed = True
            self._changed.notify_all()

    def of(self, topic: str) -> list[paho.MQTTMessage]:
        """What was heard on topics that end so."""
        with self._changed:
            return [message for message in self._heard if message.topic.endswith(topic)]

    def contents(self, topic: str) -> list[Any]:
        """The JSON of what was heard on topics that end so."""
        return [json.loads(message.payload) for message in self.of(topic)]

    def texts(self, topic: str) -> list[str]:
        """The text of what was heard on topics that end so."""
        return [message.payload.decode() for message in self.of(topic)]

    def wait(self, condition: Callable[[], bool], what: str, timeout: float = 20) -> None:
        """Wait until the condition holds, which is asked after every message."""
        with self._changed:
            held = self._changed.wait_for(condition, timeout)
            topics = [message.topic for message in self._heard][-10:]
        assert held, f"no {what} within {timeout} s; last heard on {topics}"

    def publish(self, topic: str, text: str, retain: bool = False) -> None:
        self._client.publish(topic, text, qos=1, retain=retain).wait_for_publish(10)

    def forget(self) -> None:
        with self._changed:
            self._heard.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@dataclass(frozen=True)
class Certificates:
    """Files in PEM format. authority: signed `server`, which is made for the name `localhost`, and `client`."""

    authority: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path


def certificates(folder: Path) -> Certificates:
    """Made by openssl, new each time. Skips the test where it is not installed."""
    openssl = program("openssl")
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]

    def make(name: str, subject: str, *more: str) -> tuple[Path, Path]:
        file, key = folder / f"{name}.pem", folder / f"{name}.key"
        command = [openssl, "req", "-x509", *new_key, "-subj", f"/CN={subject}", "-keyout", str(key), *more]
        subprocess.run([*command, "-out", str(file)], check=True, capture_output=True)
        return file, key

    authority, authority_key = make("authority", "test authority", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    signed = ["-CA", str(authority), "-CAkey", str(authority_key), "-addext", "basicConstraints=critical,CA:false"]
    server = make("server", "localhost", *signed, "-addext", "subjectAltName=DNS:localhost")
    client = make("client", "test board", *signed)
    return Certificates(authority, *server, *client)


def passwords(folder: Path, **users: str) -> str:
    """The line of mosquitto.conf for a new password file with these users."""
    file = folder / "passwords"
    file.touch(mode=0o600)
    for user, password in users.items():
        subprocess.run([program("mosquitto_passwd"), "-b", str(file), user, password], check=True, capture_output=True)
    return f"password_file {file}"


def program(name: str) -> str:
    """The path of a program; skips the test where it is not installed."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + os.pathsep + _PROGRAMS)
    if found is None:
        pytest.skip(f"{name} is not installed (apt-get install mosquitto mosquitto-clients openssl)")
    return found
