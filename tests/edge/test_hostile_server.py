"""Prediction servers that send what no server should: the analysis goes on with the local model."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from edge.config import EmotionSettings
from edge.emotion.classifier import open_classifier
from edge.models.runtime import choose
from tests.support.serving import SMALL_CARD, metadata, tensor

FACE = np.random.default_rng(0).integers(0, 256, (1, 48, 48, 1), np.uint8)
PRIMARY = SMALL_CARD.primary
INPUT = {"image": tensor("DT_UINT8", -1, 48, 48, 1)}
OUTPUT = {PRIMARY.name: tensor("DT_FLOAT", -1, len(PRIMARY.labels))}
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def answer(content: Any, status: str = "200 OK") -> bytes:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


GOOD = answer(metadata(INPUT, OUTPUT))


@contextmanager
def server(meta: bytes, prediction: bytes) -> Iterator[str]:
    """Answer each connection's GET with `meta` and its POST with `prediction`; yields the model's address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    client, _ = listening.accept()
                except OSError:
                    return
                with client, client.makefile("rb") as lines:
                    while first := lines.readline():
                        length = 0
                        while (line := lines.readline()) not in (b"\r\n", b""):
                            name, _, value = line.partition(b":")
                            length = int(value) if name.lower() == b"content-length" else length
                        lines.read(length)
                        try:
                            client.sendall(meta if first.startswith(b"GET") else prediction)
                        except OSError:
                            break

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1/models/m"
        finally:
            listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("meta", "prediction"),
    [
        (GOOD, CHUNKED + b"-5\r\nabc"),
        (CHUNKED + b"-5\r\nabc", b""),
        (GOOD, CHUNKED + b"F" * 60_000 + b"\r\nabc"),
        (GOOD, b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n{}"),
        (GOOD, b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000 + CHUNKED + b"-1\r\n"),
        (GOOD, answer(b"[" * 400_000)),
        (GOOD, answer(b'{"predictions":[[9e999]]}')),
        (GOOD, answer({"error": "\x1b[2J" * 10_000}, "500 \x1b]0;x\x07")),
        (GOOD, answer(b'{"error":' + b"[" * 900 + b"]" * 900 + b"}", "404 no")),
        (answer(metadata({"image": tensor("DT_UINT8", -1, *[10**4000] * 200)}, OUTPUT)), b""),
        (answer(metadata(INPUT, {PRIMARY.name: tensor("DT_FLOAT", 10**4000)})), b""),
        (answer(metadata(INPUT, {"\x1b[2J" * 50_000: tensor("DT_FLOAT", 1)})), b""),
        (answer(b"", "302 Found\r\nLocation: file:///etc/passwd"), b""),
    ],
)
def test_whatever_a_server_sends_the_local_model_classifies(meta: bytes, prediction: bytes) -> None:
    with server(meta, prediction) as url:
        classifier = open_classifier(EmotionSettings(server=url, server_timeout=2.0), choose(), 1)
        scores = classifier.classify(FACE)
    assert scores.probabilities.sum() == pytest.approx(1.0, abs=1e-3)
    assert classifier.server
    assert classifier.server != "online"
    assert len(classifier.server) <= 200
    assert classifier.server.isprintable()


def test_votes_that_are_no_labels_are_left_out_and_too_many_members_refused() -> None:
    own = {
        **{"name": "n", "version": "1", "sha256": "a", "members": ["a", "b"]},
        "crop": SMALL_CARD.crop.model_dump(),
        "outputs": [PRIMARY.model_dump(mode="json")],
    }
    described = json.loads(json.dumps(metadata(INPUT, {**OUTPUT, "votes": tensor("DT_STRING", -1)})))
    share = 1 / len(PRIMARY.labels)
    given = {PRIMARY.name: [share] * len(PRIMARY.labels), "votes": ["happy", "\x1b[2J"]}
    described["metadata"]["emotion_edge"] = own
    with server(answer(described), answer({"predictions": [given]})) as url:
        classifier = open_classifier(EmotionSettings(server=url, server_timeout=10.0), choose(), 1)
        assert list(classifier.classify(FACE).votes) == [{"a": "happy"}]
        assert classifier.server == "online"
    own["members"] = ["m"] * 100_000
    with server(answer(described), b"") as url:
        refused = open_classifier(EmotionSettings(server=url, server_timeout=10.0), choose(), 1).server
    assert refused
    assert "members" in refused
