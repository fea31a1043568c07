"""Pictures uploaded to the page: analysed by the real networks, and never stored."""

import base64
import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from edge.config import Settings, WebSettings
from edge.models.runtime import choose
from edge.outputs.web import upload
from edge.outputs.web.server import WebViewer
from edge.outputs.web.upload import BYTES_MAX, RECEIVING_MAX, WAITING_MAX
from edge.pipeline import read_once
from edge.reading import Frame, Image, Reading
from tests.support.daemon import free_port
from tests.support.images import encoded, png
from tests.support.live import PATIENCE, eventually, get, port_of, show
from tests.support.samples import frame, picture, reading


def posted(viewer: WebViewer, body: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(viewer), timeout=PATIENCE)
    try:
        connection.request("POST", "/read", body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def reader() -> Iterator[WebViewer]:
    settings = Settings()
    runtime = choose(settings.runtime.interpreter)
    viewer = WebViewer(WebSettings(port=free_port()), read=lambda given: read_once(settings, runtime, given))
    yield viewer
    viewer.close()


@pytest.mark.parametrize("kind", [".jpg", ".png", ".webp"])
def test_a_face_is_read_and_shown(reader: WebViewer, astronaut: Image, kind: str) -> None:
    status, body = posted(reader, encoded(astronaut, kind))
    assert status == 200
    answer = json.loads(body)
    assert [face["emotion"] for face in answer["reading"]["faces"]] == ["happy"]
    head, _, data = answer["picture"].partition(",")
    assert head == "data:image/jpeg;base64"
    shown = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert shown.shape == astronaut.shape
    assert np.abs(shown.astype(int) - astronaut.astype(int)).max() > 50


def test_pictures_have_nothing_to_do_with_each_other_or_with_the_live_one(reader: WebViewer, astronaut: Image) -> None:
    show(reader, frame(7))
    first = json.loads(posted(reader, encoded(astronaut))[1])["reading"]
    assert json.loads(posted(reader, encoded(picture()))[1])["reading"]["faces"] == []
    again = json.loads(posted(reader, encoded(astronaut))[1])["reading"]
    assert first["faces"] == again["faces"]
    assert json.loads(get(reader, "/latest.json")[2])["sequence"] == 7


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", b"no image that can be read"),
        (b"GIF89a" + bytes(100), b"JPEG, PNG, WebP"),
        (b"\xff\xd8\xff", b"damaged or not whole"),
        (encoded(picture())[:600], b"damaged or not whole"),
        (encoded(picture(), ".png")[:40], b"damaged or not whole"),
        (png(60000, 60000), b"60000 x 60000 pixels"),
    ],
)
def test_what_is_no_picture_is_said_to_be_none(reader: WebViewer, body: bytes, words: bytes) -> None:
    status, said = posted(reader, body)
    assert status == 422
    assert words in said


def test_too_much_is_refused_before_it_is_sent(reader: WebViewer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(reader), timeout=PATIENCE)
    connection.putrequest("POST", "/read")
    connection.putheader("Content-Length", str(BYTES_MAX + 1))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413
    assert b"larger than 16 MB" in answer.read()
    connection.close()


def test_only_post_and_only_where_pictures_are_taken(reader: WebViewer, viewer: WebViewer) -> None:
    assert get(reader, "/read")[0] == 405
    assert posted(viewer, b"picture")[0] == 405


def test_who_leaves_half_way_takes_nobody_s_place(reader: WebViewer) -> None:
    for _ in range(WAITING_MAX + 1):
        with socket.create_connection(("127.0.0.1", port_of(reader))) as half:
            half.sendall(b"POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\nhalf")
            eventually(lambda: reader.reading == 1, "a picture that comes")
        eventually(lambda: reader.reading == 0, "its place is free")


def half_sent(viewer: WebViewer, stack: contextlib.ExitStack, count: int, size: int = 4) -> None:
    """Begin uploads that stall after some bytes."""
    for number in range(count):
        half = stack.enter_context(socket.create_connection(("127.0.0.1", port_of(viewer))))
        half.sendall(b"POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\n" + bytes(size))
        eventually(lambda: viewer.reading > number, "it comes")  # noqa: B023


def test_slow_uploads_do_not_keep_others_from_being_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "SLOW_S", 0.0)
    reader = WebViewer(WebSettings(port=free_port()), read=lambda given: reading((), given))
    with contextlib.closing(reader), contextlib.ExitStack() as stack:
        half_sent(reader, stack, RECEIVING_MAX)
        for _ in range(2):
            assert posted(reader, encoded(picture()))[0] == 200
        assert reader.reading == RECEIVING_MAX - 1, "one of the slow ones made room"
        stack.close()
        eventually(lambda: reader.reading == 0, "all have left")


def test_stalled_uploads_do_not_keep_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "SLOW_S", 0.0)
    monkeypatch.setattr(upload, "HELD_MAX", 90_000)
    reader = WebViewer(WebSettings(port=free_port()), read=lambda given: reading((), given))
    with contextlib.closing(reader), contextlib.ExitStack() as stack:
        half_sent(reader, stack, 2, 45_000)
        assert posted(reader, encoded(picture()))[0] == 200


def test_uploads_together_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "HELD_MAX", 100_000)
    with contextlib.closing(WebViewer(WebSettings(port=free_port()), read=lambda given: reading((), given))) as reader:
        status, said = posted(reader, bytes(200_000))
    assert status == 503
    assert b"try again" in said


def test_slow_reading_stalls_nothing_and_no_queue_grows() -> None:
    go_on, begun = threading.Event(), threading.Event()

    def slow(given: Frame) -> Reading:
        begun.set()
        assert go_on.wait(PATIENCE)
        return reading((), given)

    viewer = WebViewer(WebSettings(port=free_port()), read=slow)
    told: list[int] = []
    threads = [
        threading.Thread(target=lambda: told.append(posted(viewer, encoded(picture()))[0])) for _ in range(WAITING_MAX)
    ]
    for thread in threads:
        thread.start()
    assert begun.wait(PATIENCE)
    eventually(lambda: viewer.reading == WAITING_MAX, "all wait")
    gone = http.client.HTTPConnection("127.0.0.1", port_of(viewer), timeout=PATIENCE)
    gone.request("POST", "/read", encoded(picture()))
    gone.close()
    status, said = posted(viewer, encoded(picture()))
    assert status == 503
    assert b"try again" in said
    show(viewer, frame(9))
    assert json.loads(get(viewer, "/latest.json")[2])["sequence"] == 9
    go_on.set()
    for thread in threads:
        thread.join()
    assert told == [200] * WAITING_MAX
    eventually(lambda: viewer.reading == 0, "all are read")
    assert posted(viewer, encoded(picture()))[0] == 200
    viewer.close()
