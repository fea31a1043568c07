"""The live page's server, fed by tests."""

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from edge.outputs.web.server import WebViewer
from edge.reading import Box, Face, Frame, Image
from tests.support.samples import face, frame, picture, reading

PATIENCE = 20.0


def eventually(condition: Callable[[], Any], what: str) -> Any:
    """Poll a condition; returns its first true value, and fails the test if there is none in time."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if answer := condition():
            return answer
        time.sleep(0.05)
    pytest.fail(f"not within {PATIENCE} s: {what}")


def port_of(viewer: WebViewer) -> int:
    return int(viewer.url.rstrip("/").rpartition(":")[2])


def get(viewer: WebViewer, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Send a GET request; returns status, headers and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port_of(viewer), timeout=PATIENCE)
    try:
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        body = b"" if answer.status == 200 and path.startswith(("/stream", "/events")) else answer.read()
        return answer.status, dict(answer.getheaders()), body
    finally:
        connection.close()


def show(viewer: WebViewer, shown: Frame, *faces: Face) -> None:
    viewer.show(shown, reading(faces, shown))


@contextmanager
def feeding(*viewers: WebViewer, image: Image | None = None) -> Iterator[dict[str, str]]:
    """Frames at about 20 a second with two faces, the larger one showing the emotion in the dictionary given back.

    The yielded dictionary sets the emotion of the larger face. image: shown instead of eight different ones.
    """
    stop, told = threading.Event(), {"emotion": "happy"}
    pictures = [picture(seed=seed) if image is None else image for seed in range(8)]

    def feed() -> None:
        sequence = 0
        while not stop.wait(0.05):
            sequence += 1
            shown = frame(sequence, pictures[sequence % len(pictures)])
            for viewer in viewers:
                show(viewer, shown, face(3, told["emotion"]), face(4, "sad", 0.6, Box(20, 40, 90, 100)))

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield told
    finally:
        stop.set()
        thread.join()
