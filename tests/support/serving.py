"""Models for tests of committees, the prediction server as a process, and a server with preset answers."""

import http.client
import json
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from edge.config import EmotionSettings
from edge.models.card import CARD_FILE, EmotionCard, read_card
from edge.models.released import model_dir
from tests.support.daemon import running, wait_until

SMALL = model_dir(EmotionSettings().model)
SMALL_CARD = read_card(EmotionCard, SMALL)


def member(folder: Path, name: str, seen: tuple[float, float] = (0.0, 1.0), **changes: object) -> Path:
    """Copy the released model under another name, without `mirror_below`; returns its folder.

    seen: input values of black and white; (1, 0) makes it see the negative.

    changes: fields of the primary output to change in the card.
    """
    copy = Path(shutil.copytree(SMALL, folder / name))
    card = json.loads((copy / CARD_FILE).read_text())
    card["name"], card["input"]["value_range"], card["mirror_below"] = name, seen, 0.0
    card["outputs"][0] |= changes
    (copy / CARD_FILE).write_text(json.dumps(card))
    return copy


def three(folder: Path) -> list[Path]:
    """Make three models that often disagree: one sees faces as they are, one their negative, one plain grey."""
    return [
        member(folder, "large"),
        member(folder, "small", (1.0, 0.0), temperature=2.0),
        member(folder, "nano", (0.3, 0.7)),
    ]


def ask(port: int, method: str, path: str, body: bytes | object = b"", **headers: str) -> tuple[int, Any]:
    """Send a request; returns status and parsed JSON. A body that is not bytes is sent as JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body if isinstance(body, bytes) else json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def answers(port: int) -> bool:
    """Return True if an HTTP server answers on the port."""
    try:
        ask(port, "GET", "/")
    except OSError:
        return False
    return True


@contextmanager
def serving(log: Path, port: int, flags: Mapping[str, object] | None = None) -> Iterator[Any]:
    """Context manager: runs `emotion-edge serve` as a process of its own, and waits until it answers."""
    with running(log, {"serve.port": port, **(flags or {})}, "serve") as process:
        wait_until(lambda: answers(port) or process.poll() is not None, "the server answers")
        assert process.poll() is None, log.read_text()
        yield process


@dataclass
class Told:
    """A server with preset answers by `METHOD path`: status and body (bytes, or anything else sent as JSON).

    heard: requests received, with bodies parsed as JSON. connections: number of connections so far. held: while this
    event is set, nothing is answered. hang_up: True closes the connection after each prediction, without announcing it.
    """

    said: dict[str, tuple[int, Any]]
    hang_up: bool = False
    port: int = 0
    heard: list[tuple[str, Any]] = field(default_factory=list)
    connections: int = 0
    held: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    def url(self, name: str = "emotion") -> str:
        return f"http://127.0.0.1:{self.port}/v1/models/{name}"


@contextmanager
def told(said: Mapping[str, tuple[int, Any]], hang_up: bool = False) -> Iterator[Told]:
    """Context manager: runs a server with preset answers on a free port."""
    server = Told(dict(said), hang_up)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            server.connections += 1
            super().setup()

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            server.heard.append((f"{self.command} {self.path}", json.loads(body) if body else None))
            if server.held.is_set():
                server.go_on.wait(30)
            status, content = server.said.get(f"{self.command} {self.path}", (404, {"error": "Servable not found"}))
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            self.close_connection = server.hang_up and self.command == "POST"

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    http_server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http_server.daemon_threads = True
    server.port = http_server.server_address[1]
    thread = threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.go_on.set()
        http_server.shutdown()
        http_server.server_close()
        thread.join()


def tensor(dtype: str, *sizes: int) -> dict[str, Any]:
    """Describe a tensor as in TensorFlow Serving's metadata, where sizes are strings and -1 is the batch."""
    dims = [{"size": str(size), "name": ""} for size in sizes]
    return {"dtype": dtype, "tensor_shape": {"dim": dims, "unknown_rank": False}, "name": "StatefulPartitionedCall:0"}


def metadata(inputs: Mapping[str, Any], outputs: Mapping[str, Any], **more: object) -> dict[str, Any]:
    """Build TensorFlow Serving's answer to a request for the metadata of a Keras model."""
    signature = {"inputs": inputs, "outputs": outputs, "method_name": "tensorflow/serving/predict", "defaults": {}}
    initialiser = {"inputs": {}, "outputs": {"__saved_model_init_op": tensor("DT_INVALID")}, "method_name": ""}
    return {
        "model_spec": {"name": "emotion", "signature_name": "", "version": "3"},
        "metadata": {
            "signature_def": {
                "signature_def": {"serving_default": signature, "__saved_model_init_op": initialiser},
            },
            **more,
        },
    }


def faces_of(count: int) -> Sequence[tuple[float, float, float, float]]:
    """Make boxes for a picture of 512x512 pixels; one extends a little past its edge."""
    return [(170 + 3 * n, 60 + 5 * n, 110, 130) if n else (-20.0, 380.0, 120.0, 150.0) for n in range(count)]
