"""Runs the daemon in a network namespace of its own, with broker and browser in another, and captures its traffic.

`unshare -rn python -m tests.support.board_network CASE.json OUT.json` starts the daemon with the case's flags, requests
everything from it with a real Mosquitto, an MQTT client and an HTTP client, and captures every byte that the daemon's
namespace sends. OUT.json holds, by port, the number of bytes sent and the kinds of image data found in them.
"""

import base64
import http.client
import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edge.reading import Image
from tests.support.daemon import DEVICE, wait_until

BOARD: Final = "10.77.0.1"
OUTSIDE: Final = "10.77.0.2"
PAGE: Final = 8080
SERVER: Final = 8501
BROKER: Final = 1883
PASSWORD: Final = "sesame"

_SIGNATURES: Final = {
    "JPEG": re.compile(rb"\xff\xd8\xff[\xdb\xe0-\xef]"),
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "WebP": re.compile(rb"RIFF....WEBPVP8", re.DOTALL),
    "H.264": re.compile(rb"\x00\x00\x00\x01[\x27\x47\x67]"),
    "JPEG in base64": re.compile(rb"/9j/[2-4]"),
    "PNG in base64": re.compile(rb"iVBORw0KGgo"),
}


def images_in(data: bytes, frame: Image) -> list[str]:
    """List the kinds of image data in these bytes: file signatures, and raw pixels of the frame (BGR, RGB, grey)."""
    found = [kind for kind, signature in _SIGNATURES.items() if signature.search(data)]
    grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
    for name, pixels in (("BGR", frame), ("RGB", frame[:, :, ::-1]), ("grey", grey)):
        pieces = [pixels[row, 8:40].tobytes() for row in range(0, frame.shape[0], 7)]
        if any(piece in data for piece in pieces):
            found.append(f"raw {name} pixels")
        if any(base64.b64encode(piece)[:40] in data for piece in pieces):
            found.append(f"raw {name} pixels in base64")
    return found


def noisy(image: Image) -> Image:
    """Add noise to the left edge of a picture, so that each pixel row is recognisable among other bytes."""
    marked = image.copy()
    marked[:, :48] = np.random.default_rng(5).integers(0, 256, (image.shape[0], 48, 3), dtype=np.uint8)
    return marked


class _Capture:
    """Every TCP byte that the board sends, by connection."""

    def __init__(self, interface: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 25)
        self._socket.bind((interface, 0))
        self._segments: dict[tuple[int, int], dict[int, bytes]] = defaultdict(dict)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                packet = self._socket.recv(70_000)
            except OSError:  # the interface is not up yet
                continue
            if packet[12:14] != b"\x08\x00" or packet[23] != 6 or socket.inet_ntoa(packet[26:30]) != BOARD:
                continue
            tcp = 14 + (packet[14] & 15) * 4
            end = 14 + int.from_bytes(packet[16:18])
            source, target, sequence = (int.from_bytes(packet[tcp + a : tcp + b]) for a, b in ((0, 2), (2, 4), (4, 8)))
            payload = packet[tcp + (packet[tcp + 12] >> 4) * 4 : end]
            if payload:
                self._segments[source, target][sequence] = payload

    def sent(self) -> dict[int, bytes]:
        """Return the bytes sent, by well-known port of the connection; segments in order, without retransmissions."""
        whole: dict[int, bytes] = defaultdict(bytes)
        for (source, target), segments in list(self._segments.items()):
            known = source if source in (PAGE, SERVER, BROKER) else target
            place, joined = -1, b""
            for sequence, payload in sorted(segments.items()):
                if place < 0 or sequence >= place:
                    joined += payload
                    place = sequence + len(payload)
            whole[known] += joined + b"\n"
        return whole


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=20)


def _ask_page() -> list[str]:
    """Request every path of the live page; returns those that answered."""
    answered = []
    headers = {"Authorization": f"Bearer {PASSWORD}"}
    asked = "/ /app.js /live.css /inter-bold.woff /words.json /latest.json /settings.json /today.json /metrics /healthz"
    for path in (*asked.split(), "/latest.jpg", "/stream", "/events"):
        connection = http.client.HTTPConnection(BOARD, PAGE, timeout=5)
        with suppress(OSError, http.client.HTTPException):
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            ends = time.monotonic() + 2
            while (part := answer.read1(65536)) and time.monotonic() < ends:
                if answer.status == 200 and path not in answered and part:
                    answered.append(path)
        connection.close()
    return answered


def main(case: Path, out: Path) -> None:
    given = json.loads(case.read_text())
    folder = case.parent
    frame = np.asarray(cv2.imread(given["image"]), np.uint8)
    with ExitStack() as ends:

        def start(*command: str, log: str) -> subprocess.Popen[bytes]:
            output = ends.enter_context((folder / log).open("wb"))
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
            ends.callback(process.wait, 10)
            ends.callback(process.terminate)
            return process

        board = start("unshare", "--net", "sleep", "120", log="namespace")
        own = Path("/proc/self/ns/net").resolve()
        wait_until(lambda: Path(f"/proc/{board.pid}/ns/net").resolve() != own, "the board's namespace")
        inside = ("nsenter", "--target", str(board.pid), "--net")
        _run("ip", "link", "set", "lo", "up")
        _run("ip", "link", "add", "outside", "type", "veth", "peer", "name", "board", "netns", str(board.pid))
        _run("ip", "addr", "add", f"{OUTSIDE}/24", "dev", "outside")
        _run("ip", "link", "set", "outside", "up")
        _run(*inside, "ip", "addr", "add", f"{BOARD}/24", "dev", "board")
        _run(*inside, "ip", "link", "set", "board", "up")
        _run(*inside, "ip", "link", "set", "lo", "up")
        capture = _Capture("outside")
        settings = folder / "mosquitto.conf"
        settings.write_text(f"user root\nlistener {BROKER} {OUTSIDE}\nallow_anonymous true\n")
        start("mosquitto", "-c", str(settings), log="mosquitto")
        if given.get("server"):
            token = ("--serve.host", OUTSIDE, "--serve.token", PASSWORD)
            start(sys.executable, "-m", "edge.cli", "serve", *token, log="serve")
            wait_until(lambda: _open(OUTSIDE, SERVER), "the server", 60)
        topics: list[str] = []
        faces = threading.Event()
        listener = paho.Client(CallbackAPIVersion.VERSION2)

        def heard(_client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
            topics.append(message.topic.removeprefix(f"emotion/{DEVICE}/"))
            if topics[-1] == "faces" and json.loads(message.payload)["faces"]:
                faces.set()

        listener.on_message = heard
        wait_until(lambda: _open(OUTSIDE, BROKER), "the broker")
        listener.connect(OUTSIDE, BROKER)
        listener.subscribe("emotion/#", 1)
        listener.loop_start()
        ends.callback(listener.loop_stop)
        flags = {
            "camera.source": given["image"],
            "mqtt.host": OUTSIDE,
            "mqtt.device_id": DEVICE,
            "display.mode": "off",
            **given["flags"],
        }
        words = [f"--{name}={value}" for name, value in flags.items()]
        start(*inside, sys.executable, "-m", "edge.cli", "run", *words, log="daemon")
        assert faces.wait(60), "no face within a minute"
        listener.publish(f"emotion/{DEVICE}/snapshot/set", "PRESS", 1)
        answered = _ask_page()
        time.sleep(1)
        sent = capture.sent()
        found = {str(port): images_in(data, frame) for port, data in sent.items()}
        result = {"found": found, "bytes": {str(port): len(data) for port, data in sent.items()}, "answered": answered}
        predicts = sent.get(SERVER, b"").count(b":predict")
        out.write_text(json.dumps({**result, "topics": sorted(set(topics)), "predicts": predicts}))


def _open(host: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
