"""A real Mosquitto on a free port of the loopback, and a subscriber that records messages, for tests."""

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
"""Settings of a broker that restores its clients' saved sessions after a restart."""

_PROGRAMS = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"


class Mosquitto:
    """A broker that a test may stop, start again on the same port, and freeze.

    settings: lines of mosquitto.conf besides the listener; a change takes effect at the next start. Skips the test if
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
        # Started by root, mosquitto would switch to a user who cannot read the test's files.
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
        """Kill the broker as in a power cut: nothing is saved, and clients get no DISCONNECT."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def end(self) -> None:
        """Stop the broker properly, saving sessions and retained messages if `REMEMBERS` is set."""
        assert self._process
        self._process.terminate()
        self._process.wait()
        self._process = None

    def restart(self) -> None:
        """Stop the broker properly and start it again, as a software update does."""
        self.end()
        self.start()

    def freeze(self, frozen: bool = True) -> None:
        """Pause the broker's process with all connections open; False resumes it."""
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
    """An MQTT 5 or 3.1.1 client that records messages with QoS, retain flag and expiry.

    session: client id of a persistent session, for which the broker queues messages while the client is away; empty:
    none.
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
            # amqtt sometimes loses a SUBSCRIBE right after CONNECT, so connect again.
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
        """Messages received on topics with this ending."""
        with self._changed:
            return [message for message in self._heard if message.topic.endswith(topic)]

    def contents(self, topic: str) -> list[Any]:
        """Parsed JSON of the messages received on topics with this ending."""
        return [json.loads(message.payload) for message in self.of(topic)]

    def texts(self, topic: str) -> list[str]:
        """Text of the messages received on topics with this ending."""
        return [message.payload.decode() for message in self.of(topic)]

    def wait(self, condition: Callable[[], bool], what: str, timeout: float = 20) -> None:
        """Wait until a condition, checked after every message, is true; it may index messages that have not come."""

        def true() -> bool:
            try:
                return condition()
            except IndexError:
                return False

        with self._changed:
            held = self._changed.wait_for(true, timeout)
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
    """Files in PEM format. authority: signed `server`, a certificate for the name `localhost`, and `client`."""

    authority: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path


def certificates(folder: Path) -> Certificates:
    """Create new certificates with openssl. Skips the test if that is not installed."""
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
    """Write a password file with these users (name=password); returns the line of mosquitto.conf for it."""
    file = folder / "passwords"
    file.touch(mode=0o600)
    for user, password in users.items():
        subprocess.run([program("mosquitto_passwd"), "-b", str(file), user, password], check=True, capture_output=True)
    return f"password_file {file}"


def program(name: str) -> str:
    """Return the path of a program; skips the test if it is not installed."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + os.pathsep + _PROGRAMS)
    if found is None:
        pytest.skip(f"{name} is not installed (apt-get install mosquitto mosquitto-clients openssl)")
    return found
