"""The emulated board: power switch, shell over SSH, screenshots, and a subscriber to its broker."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from deploy.boards.inventory import Host
from deploy.boards.ssh import Connection
from deploy.emulated.base import INITRD, KERNEL
from edge.errors import EmotionEdgeError

USER: Final = "pi"

_COMMAND: Final = (
    "qemu-system-aarch64 -M virt -cpu cortex-a72 -smp 2 -accel tcg,thread=multi -m 1024 -display none "
    "-device virtio-gpu-pci -device virtio-net-pci,netdev=net,romfile= -device virtio-rng-pci"
)
_APPEND: Final = (
    "root=/dev/vda2 console=ttyAMA0 net.ifnames=0 loglevel=4 systemd.show_status=1 "
    # Longer than usual, as emulation is slow.
    "systemd.default_timeout_start_sec=1800 systemd.default_device_timeout_sec=1800"
)


class EndedError(EmotionEdgeError):
    """The emulator has ended."""


class Machine:
    """A board with a card. Its only network is SSH and MQTT, forwarded to free ports of the loopback, and a web server.

    Args:
        card: image file used as the machine's disk, which it writes to.
        folder: folder for the console's log, keys and screenshots.
    """

    repository_url = "http://10.0.2.100"
    """Address at which the board sees the folder `repository`."""

    def __init__(self, card: Path, folder: Path) -> None:
        self._card, self._folder = card, folder
        self._process: subprocess.Popen[bytes] | None = None
        self._monitor = folder / "monitor"
        self._beside: list[subprocess.Popen[bytes]] = []
        self.repository = folder / "repository"
        self.repository.mkdir(exist_ok=True)
        self.ssh_port, self.mqtt_port = _free_port(), _free_port()
        self.key = folder / "id"
        if not self.key.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)], check=True)

    @property
    def host(self) -> Host:
        return Host("board", f"{USER}@127.0.0.1", self.ssh_port)

    @property
    def options(self) -> tuple[str, ...]:
        """Options of ssh: a key and known hosts for this board only."""
        return (
            f"UserKnownHostsFile={self._folder / 'known'}",
            "StrictHostKeyChecking=accept-new",
            f"IdentityFile={self.key}",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "ConnectTimeout=120",
        )

    def insert(self, card: Path) -> None:
        """Copy a card image as the machine's card."""
        self.cut_power()
        copy_sparse(card, self._card)

    def start(self) -> None:
        """Start the emulator."""
        web_port = _free_port()
        self._run_beside(*web_server(self.repository, web_port))
        (self._folder / "known").unlink(missing_ok=True)
        self._monitor.unlink(missing_ok=True)
        ports = f"hostfwd=tcp:127.0.0.1:{self.ssh_port}-:22,hostfwd=tcp:127.0.0.1:{self.mqtt_port}-:1883"
        web = f"guestfwd=tcp:10.0.2.100:80-cmd:socat STDIO TCP:127.0.0.1:{web_port}"
        words = [*_COMMAND.split(), "-kernel", str(KERNEL), "-initrd", str(INITRD), "-append", _APPEND]
        words += ["-drive", f"file={self._card},if=none,id=card,format=raw", "-device", "virtio-blk-pci,drive=card"]
        words += [
            "-netdev",
            f"user,id=net,restrict=on,{ports},{web}",
            "-qmp",
            f"unix:{self._monitor},server=on,wait=off",
        ]
        words += ["-serial", f"file:{self._folder / time.strftime('console-%H%M%S.log')}"]
        self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def cut_power(self) -> None:
        """Stop the emulator like a power cut: data not yet written to the card is lost."""
        for process in self._beside:
            process.kill()
            process.wait()
        self._beside = []
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _run_beside(self, *words: str) -> None:
        """Start a helper program that is stopped together with the machine."""
        quiet = subprocess.DEVNULL
        self._beside.append(subprocess.Popen(words, stdin=quiet, stdout=quiet, stderr=quiet))

    def screenshot(self, out: Path) -> None:
        """Save the machine's screen as PNG."""
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self._monitor))
            lines = client.makefile("r")
            lines.readline()
            for command in (
                {"execute": "qmp_capabilities"},
                {"execute": "screendump", "arguments": {"filename": str(out), "format": "png"}},
            ):
                client.sendall(json.dumps(command).encode() + b"\n")
                answer = json.loads(lines.readline())
                if "error" in answer:
                    raise EmotionEdgeError(f"monitor: {answer['error']['desc']}")

    def shell(self, command: str) -> str:
        """Run a command on the machine as root; returns its output."""
        with Connection(self.host, self.options) as connection:
            return connection.run("sudo -n sh -s", command).strip()

    def reached(self) -> bool:
        """Return True if the machine accepts SSH and sudo."""
        try:
            return self.shell("id -u") == "0"
        except EmotionEdgeError:
            if self._process and self._process.poll() is not None:
                raise EndedError(f"the emulator ended with status {self._process.returncode}") from None
            return False


@dataclass(frozen=True)
class Message:
    """A message of the board's broker. topic: the part after base topic and device id."""

    topic: str
    payload: Any
    at: float


class Subscriber:
    """A subscriber on this machine to the broker on the board; reconnects by itself."""

    def __init__(self, port: int) -> None:
        self.messages: list[Message] = []
        self._changed = threading.Condition()
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._on_message
        self._client.on_connect = lambda client, *_: client.subscribe("emotion/+/#")
        self._client.reconnect_delay_set(1, 2)
        self._client.connect_async("127.0.0.1", port)
        self._client.loop_start()

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        text = message.payload.decode()
        payload = json.loads(text) if text.startswith("{") else text
        with self._changed:
            self.messages.append(Message(message.topic.split("/", 2)[2], payload, time.monotonic()))
            self._changed.notify_all()

    def wait(self, topic: str, matches: Callable[[Any], bool], seconds: float, since: float = 0) -> Message:
        """Return the first matching message on a topic after `since` (monotonic). Raises EmotionEdgeError if late."""

        def found() -> Message | None:
            later = (message for message in self.messages if message.topic == topic and message.at >= since)
            return next((message for message in later if matches(message.payload)), None)

        with self._changed:
            message = self._changed.wait_for(found, seconds)
        if message is None:
            raise EmotionEdgeError(f"no matching message on {topic} within {seconds:.0f} s")
        return message

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()


def web_server(folder: Path, port: int) -> tuple[str, ...]:
    """Return the command line of a web server for a folder, on the loopback."""
    return sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", os.fspath(folder)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_for(condition: Callable[[], bool], what: str, seconds: float) -> float:
    """Poll a condition until it is true; returns the seconds it took. An exception in it counts as False.

    Raises EmotionEdgeError after `seconds`; an EndedError of the condition is raised at once.
    """
    started, reason = time.monotonic(), ""
    while True:
        try:
            if condition():
                return time.monotonic() - started
        except EndedError:
            raise
        except EmotionEdgeError as error:
            reason = f" ({error})"
        if time.monotonic() - started > seconds:
            raise EmotionEdgeError(f"not within {seconds:.0f} s: {what}{reason}")
        time.sleep(3)


def copy_sparse(source: Path, target: Path) -> None:
    """Copy a card image, keeping the file sparse."""
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", os.fspath(source), os.fspath(target)], check=True)
