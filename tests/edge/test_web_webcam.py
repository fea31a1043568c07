"""Frames from a browser's camera: which are accepted, how often, from whom, and that none is stored."""

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from pydantic import SecretStr

from edge.config import Settings, WebSettings
from edge.models.runtime import choose
from edge.outputs.web import webcam
from edge.outputs.web.server import WebViewer
from edge.outputs.web.webcam import BYTES_MAX, RECEIVING_MAX, SESSIONS_MAX
from edge.pipeline import open_pipeline
from edge.reading import Image
from tests.support.daemon import free_port
from tests.support.live import PATIENCE, eventually, port_of
from tests.support.samples import reading


def posted(viewer: WebViewer, body: bytes, session: str = "one", **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(viewer), timeout=PATIENCE)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("POST", f"/webcam?session={session}", body, named)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def accepted(viewer: WebViewer, body: bytes, session: str = "one") -> dict[str, object]:
    """Send a frame, repeating it while it is too early; returns the answer."""

    def answer() -> bytes | None:
        status, text = posted(viewer, body, session)
        assert status in (200, 429), text
        return text if status == 200 else None

    return dict(json.loads(eventually(answer, "the frame is taken")))


def jpeg_of(image: Image, side: int) -> bytes:
    return cv2.imencode(".jpg", cv2.resize(image, (side, side)))[1].tobytes()


@pytest.fixture(scope="module")
def page() -> Iterator[WebViewer]:
    settings, runtime = Settings(), choose("auto")
    served = WebViewer(WebSettings(port=free_port()), webcam=lambda: open_pipeline(settings, runtime).analyse)
    yield served
    served.close()


def test_frames_of_one_browser_are_followed_and_answered_without_an_image(page: WebViewer, astronaut: Image) -> None:
    body = jpeg_of(astronaut, 480)

    def found() -> object:
        faces = accepted(page, body, "followed")["faces"]
        assert isinstance(faces, list)
        return faces and faces[0]

    first = eventually(found, "a face that is confirmed")
    again = eventually(found, "the next frame")
    assert first["emotion"] == "happy"
    assert again["id"] == first["id"]
    assert set(accepted(page, body, "followed")) == {"v", "ts", "sequence", "width", "height", "faces"}


def test_a_frame_that_comes_too_early_is_refused(
    page: WebViewer, astronaut: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webcam, "INTERVAL_S", 600.0)
    monkeypatch.setattr(webcam, "IDLE_S", 600.0)
    body = jpeg_of(astronaut, 64)
    assert [posted(page, body, "hasty")[0] for _ in range(3)] == [200, 429, 429]
    monkeypatch.setattr(webcam, "INTERVAL_S", 0.0)
    assert posted(page, body, "hasty")[0] == 200
    monkeypatch.setattr(webcam, "IDLE_S", 0.0)
    eventually(lambda: posted(page, body, "next")[0] == 200, "the session ends, so that other tests may open theirs")


@pytest.fixture
def quick() -> Iterator[WebViewer]:
    """A page that finds no faces, at once."""
    with contextlib.closing(
        WebViewer(WebSettings(port=free_port()), webcam=lambda: lambda frame: reading((), frame))
    ) as viewer:
        yield viewer


def begun(viewer: WebViewer) -> socket.socket:
    """Connect, and send the head of a frame and its first byte."""
    client = socket.create_connection(("127.0.0.1", port_of(viewer)), timeout=PATIENCE)
    client.sendall(b"POST /webcam?session=slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n\xff")
    return client


def test_many_slow_senders_do_not_keep_others_out(quick: WebViewer, astronaut: Image) -> None:
    """The slow ones send a byte at a time and connect again at once when they are disconnected."""
    body, stop = jpeg_of(astronaut, 64), threading.Event()

    def slow() -> None:
        while not stop.is_set():
            with contextlib.suppress(ConnectionError), begun(quick) as client:
                while not stop.wait(0.05):
                    client.sendall(b"\xff")

    with ThreadPoolExecutor(RECEIVING_MAX + 4) as pool:
        for _ in range(RECEIVING_MAX + 4):
            pool.submit(slow)
        try:
            for _ in range(5):
                accepted(quick, body)
        finally:
            stop.set()


def test_a_sender_that_stalls_is_disconnected(quick: WebViewer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webcam, "RECEIVING_S", 0.1)
    with begun(quick) as client:
        assert client.recv(1) == b""


def test_only_a_few_browsers_at_once(astronaut: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webcam, "IDLE_S", 600.0)  # on a busy machine the first would be idle before the last one asks
    settings, runtime = Settings(), choose("auto")
    served = WebViewer(WebSettings(port=free_port()), webcam=lambda: open_pipeline(settings, runtime).analyse)
    body = jpeg_of(astronaut, 64)
    try:
        for number in range(SESSIONS_MAX):
            assert posted(served, body, f"session{number}")[0] == 200
        assert posted(served, body, "another")[0] == 503
    finally:
        served.close()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"no image", 422),
        (jpeg_of(np.zeros((8, 8, 3), np.uint8), 1600), 422),
        (bytes(BYTES_MAX + 1), 413),
    ],
)
def test_what_is_no_frame_is_refused_in_words(body: bytes, status: int) -> None:
    served = WebViewer(
        WebSettings(port=free_port()), webcam=lambda: lambda frame: pytest.fail(f"it was read: {frame.sequence}")
    )
    try:
        assert posted(served, body)[0] == status
    finally:
        served.close()


def test_the_rules_of_the_page_hold(astronaut: Image) -> None:
    locked = WebViewer(
        WebSettings(host="0.0.0.0", port=free_port(), password=SecretStr("sesame")),
        webcam=lambda: lambda frame: pytest.fail(f"not let in, and read: {frame.sequence}"),
    )
    body = jpeg_of(astronaut, 64)
    try:
        assert posted(locked, body)[0] == 401
        assert posted(locked, body, Host="evil.example")[0] == 403
    finally:
        locked.close()
    without = WebViewer(WebSettings(port=free_port()))
    try:
        assert posted(without, b"")[0] == 405
    finally:
        without.close()
