"""The live page's server with more connections than it accepts."""

import contextlib
import http.client
import resource
import socket
from collections.abc import Iterator

import pytest

from edge.config import WebSettings
from edge.outputs.web import connections
from edge.outputs.web.server import WebViewer
from tests.support.daemon import free_port
from tests.support.live import PATIENCE, eventually, get, port_of, show
from tests.support.samples import frame

ROOM = 20


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebViewer]:
    """A page that accepts few connections."""
    monkeypatch.setattr(connections, "CONNECTIONS_MAX", ROOM)
    viewer = WebViewer(WebSettings(port=free_port()))
    show(viewer, frame())
    yield viewer
    viewer.close()


def silent(viewer: WebViewer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port_of(viewer)), timeout=PATIENCE)


def ended(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_who_says_nothing_makes_room_for_who_comes(small: WebViewer, caplog: pytest.LogCaptureFixture) -> None:
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(silent(small)) for _ in range(10 * ROOM)]
        for _ in range(5):
            assert get(small, "/latest.json")[0] == 200
        eventually(lambda: sum(map(ended, crowd)) >= 9 * ROOM, "those who came first are let go")
    assert not caplog.records


def test_who_is_served_stays_connected(small: WebViewer) -> None:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port_of(small), timeout=PATIENCE)) as events:
        events.request("GET", "/events")
        answer = events.getresponse()
        with contextlib.ExitStack() as stack:
            for _ in range(5 * ROOM):
                stack.enter_context(silent(small))
            assert get(small, "/latest.json")[0] == 200
            for _ in range(12):
                assert answer.readline()


def test_with_all_served_one_more_is_turned_away_and_comes_in_later(small: WebViewer) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(ROOM):
            one = stack.enter_context(silent(small))
            one.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert one.recv(4) == b"HTTP"
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            get(small, "/latest.json")

    def served() -> bool:
        try:
            return get(small, "/latest.json")[0] == 200
        except (ConnectionError, http.client.HTTPException):
            return False

    eventually(served, "there is room again")


def test_without_a_descriptor_left_accepting_pauses(caplog: pytest.LogCaptureFixture) -> None:
    viewer = WebViewer(WebSettings(port=free_port()))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(socket.socket()) for _ in range(3)]
        spare = stack.enter_context(socket.socket())
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (spare.fileno(), hard))
            for connection in waiting:
                connection.connect(("127.0.0.1", port_of(viewer)))
            eventually(lambda: "no connection is accepted" in caplog.text, "it is said")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert get(viewer, "/healthz")[0] == 503
    assert len(caplog.records) < 20
    viewer.close()
