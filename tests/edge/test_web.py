"""The live page over plain HTTP."""

import http.client
import json
import socket
import threading
import time

import cv2
import numpy as np
import pytest

from edge.config import Settings, WebSettings, setting_names
from edge.errors import EmotionEdgeError
from edge.outputs.drawing.overlay import annotate
from edge.outputs.web.documents import SETTINGS, settings_document
from edge.outputs.web.latest import FRESH_SECONDS
from edge.outputs.web.server import PORTS_TRIED, WebViewer
from edge.reading import Box, Frame, Image
from tests.support.daemon import free_port
from tests.support.live import PATIENCE, eventually, feeding, get, port_of, show
from tests.support.samples import face, frame, reading, stats


class Stream:
    """Client of the MJPEG stream that reads one picture at a time."""

    def __init__(self, viewer: WebViewer, path: str = "/stream.mjpg") -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port_of(viewer), timeout=PATIENCE)
        self._connection.request("GET", path)
        self._answer = self._connection.getresponse()
        self.headers = dict(self._answer.getheaders())
        assert self._answer.readline() == b"--frame\r\n"

    def picture(self) -> Image:
        length = 0
        while (line := self._answer.readline()) != b"\r\n":
            if not line:
                raise ConnectionError("the stream has ended")
            name, _, value = line.decode().partition(": ")
            length = int(value) if name == "Content-Length" else length
        jpeg = self._answer.read(length)
        assert self._answer.readline() == b"\r\n"
        assert self._answer.readline() == b"--frame\r\n"
        decoded = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert decoded is not None
        return np.asarray(decoded, np.uint8)

    def close(self) -> None:
        self._answer.close()
        self._connection.close()


def grey(level: int, width: int = 320, height: int = 240) -> Frame:
    """Make a frame of one grey level, by which it can be identified even after JPEG compression."""
    return frame(level, np.full((height, width, 3), level, np.uint8))


def level(image: Image) -> int:
    return round(float(image[20:60, 20:60].mean()))


def test_stream_is_the_annotated_picture(viewer: WebViewer) -> None:
    shown = frame()
    faces = (face(1, "happy"), face(2, "sad", 0.6, Box(20, 40, 90, 100)))
    show(viewer, shown, *faces)
    stream = Stream(viewer)
    seen = stream.picture()
    stream.close()
    expected = annotate(shown.image, reading(faces, shown))
    assert seen.shape == expected.shape
    off = np.abs(seen.astype(int) - expected.astype(int))
    assert off.mean() < 3
    assert np.abs(seen.astype(int) - shown.image.astype(int)).mean() > 2 * off.mean()
    assert stream.headers["Content-Type"].startswith("multipart/x-mixed-replace")
    assert stream.headers["Cache-Control"] == "no-store"


def test_pictures_are_encoded_once_for_all_who_look(viewer: WebViewer) -> None:
    show(viewer, grey(60))
    streams = [Stream(viewer) for _ in range(10)]
    for stream in streams:
        assert level(stream.picture()) == 60
    before = viewer.encoded
    for shade in range(70, 170, 5):
        show(viewer, grey(shade))
        assert [level(stream.picture()) for stream in streams] == [shade] * 10
    assert viewer.encoded - before == 20
    for stream in streams:
        stream.close()


def test_nothing_is_encoded_while_nobody_looks(viewer: WebViewer) -> None:
    for shade in (60, 80, 100):
        show(viewer, grey(shade))
        assert get(viewer, "/latest.json")[0] == 200
    assert viewer.encoded == 0
    stream = Stream(viewer)
    assert level(stream.picture()) == 100
    stream.close()
    # The viewer is gone once a picture is not encoded any more; whoever looks next sees the newest, not the last sent.
    shades = iter(range(101, 250))

    def unseen() -> bool:
        before = viewer.encoded
        show(viewer, grey(next(shades)))
        return get(viewer, "/healthz")[0] == 200 and viewer.encoded == before

    eventually(unseen, "the encoder rests")
    show(viewer, grey(251))
    late = Stream(viewer)
    seen = [level(late.picture())]
    while seen[-1] != 251:
        seen.append(level(late.picture()))
    assert 100 not in seen
    late.close()


def test_stalled_viewer_stalls_nobody_and_gets_the_newest_later(viewer: WebViewer) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), dtype=np.uint8)

    def noisy(shade: int) -> Frame:
        image = noise.copy()
        image[:80] = shade
        return frame(shade, image)

    show(viewer, noisy(50))
    stalled, stream = Stream(viewer), Stream(viewer)
    assert level(stream.picture()) == 50
    # Pictures of a megabyte soon fill all buffers on the way to a viewer that does not read.
    for shade in range(51, 60):
        show(viewer, noisy(shade))
        assert level(stream.picture()) == shade
    seen = [level(stalled.picture())]
    while seen[-1] != 59:
        seen.append(level(stalled.picture()))
    assert seen[0] == 50
    assert len(seen) < 7
    assert seen == sorted(seen)
    stalled.close()
    stream.close()


def test_the_stream_is_sized_to_the_viewer_and_viewers_of_one_size_share(viewer: WebViewer) -> None:
    show(viewer, grey(60, 1280, 720))
    narrow = [Stream(viewer, f"/stream?width={width}") for width in (321, 400, 480)]
    wide = [Stream(viewer, f"/stream.mjpg{query}") for query in ("", "?width=1000", "?width=5000")]
    assert [stream.picture().shape for stream in narrow] == [(270, 480, 3)] * 3
    assert [stream.picture().shape for stream in wide] == [(720, 1280, 3)] * 3
    before = viewer.encoded
    for shade in range(70, 100, 10):
        show(viewer, grey(shade, 1280, 720))
        assert [level(stream.picture()) for stream in narrow + wide] == [shade] * 6
    assert viewer.encoded - before == 2 * 3
    for stream in narrow + wide:
        stream.close()
    for width in ("wide", "9" * 5000, "-1", "%D9%A3", "%ff"):
        assert get(viewer, f"/stream?width={width}")[0] == 400


def test_latest_picture_is_the_newest_at_the_size_asked_for(viewer: WebViewer) -> None:
    assert get(viewer, "/latest.jpg")[0] == 503
    shown = frame(3)
    show(viewer, shown, face(1, "happy"))
    status, headers, body = get(viewer, "/latest.jpg")
    assert (status, headers["Content-Type"]) == (200, "image/jpeg")
    seen = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    expected = annotate(shown.image, reading((face(1, "happy"),), shown))
    assert np.abs(np.asarray(seen, int) - expected.astype(int)).mean() < 3
    small = cv2.imdecode(np.frombuffer(get(viewer, "/latest.jpg?width=320")[2], np.uint8), cv2.IMREAD_COLOR)
    assert small is not None
    assert small.shape == (240, 320, 3)


def test_without_images_the_page_has_emotions_and_no_picture() -> None:
    viewer = WebViewer(WebSettings(port=free_port(), images=False))
    show(viewer, frame(), face())
    for path in ("/stream", "/stream.mjpg", "/latest.jpg"):
        status, _, body = get(viewer, path)
        assert status == 403
        assert b"web.images" in body
    assert get(viewer, "/latest.json")[0] == 200
    assert viewer.encoded == 0
    viewer.close()


@pytest.mark.parametrize(
    "path", ["/", "/stream.mjpg", "/latest.jpg", "/events", "/latest.json", "/healthz", "/app.js", "/nothing"]
)
@pytest.mark.parametrize(
    "name", ["evil.example", "evil.example:8080", "localhost.evil.example", "192.168.1.7", "[::2]"]
)
def test_other_host_names_are_refused(viewer: WebViewer, path: str, name: str) -> None:
    show(viewer, frame(), face())
    status, _, body = get(viewer, path, Host=name)
    assert status == 403
    assert b"localhost" in body


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:8080"])
def test_names_of_this_machine_are_answered(viewer: WebViewer, name: str) -> None:
    assert get(viewer, "/", Host=name)[0] == 200
    assert get(viewer, "/latest.json", Host=name)[0] == 200


def test_other_sites_may_link_to_the_page_and_nothing_more(viewer: WebViewer) -> None:
    show(viewer, frame(), face())
    link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    frame_in = {**link, "Sec_Fetch_Dest": "iframe"}
    picture_in = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "image"}
    assert get(viewer, "/", **link)[0] == 200
    assert get(viewer, "/", **frame_in)[0] == 403
    for path in ("/stream.mjpg", "/events", "/latest.json"):
        for headers in (link, frame_in, picture_in):
            assert get(viewer, path, **headers)[0] == 403
        assert get(viewer, path, Sec_Fetch_Site="same-origin")[0] == 200


@pytest.mark.parametrize("path", ["/", "/style.css", "/latest.json", "/stream.mjpg", "/events", "/healthz"])
def test_headers_keep_other_sites_out(viewer: WebViewer, path: str) -> None:
    show(viewer, frame())
    status, headers, _ = get(viewer, path, Origin="http://evil.example")
    assert status == 200
    assert not [name for name in headers if name.lower().startswith("access-control")]
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "http" not in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_only_the_page_s_own_files_are_served(viewer: WebViewer) -> None:
    for path in ("/web.py", "/../web.py", "/%2e%2e/web.py", "/style.css/../../web.py", "/page/index.html"):
        assert get(viewer, path)[0] == 404


def test_latest_is_the_newest_reading(viewer: WebViewer) -> None:
    assert json.loads(get(viewer, "/latest.json")[2]) is None
    show(viewer, frame(7), face(3, "surprise", 0.7))
    latest = json.loads(get(viewer, "/latest.json")[2])
    assert latest["sequence"] == 7
    assert [(one["id"], one["emotion"]) for one in latest["faces"]] == [(3, "surprise")]


def test_health_follows_the_frames(viewer: WebViewer) -> None:
    status, _, body = get(viewer, "/healthz")
    assert (status, json.loads(body)["reason"]) == (503, "no picture yet")
    show(viewer, frame())
    assert get(viewer, "/healthz")[0] == 200
    viewer.report(stats("camera 0: unplugged"))
    eventually(lambda: get(viewer, "/healthz")[0] == 503, f"503 after {FRESH_SECONDS} s without a frame")
    reason = json.loads(get(viewer, "/healthz")[2])["reason"]
    assert reason.startswith("no new picture for ")
    assert reason.endswith("camera 0: unplugged")
    show(viewer, frame())
    assert get(viewer, "/healthz")[0] == 200


def test_events_bring_about_scene_and_status_at_a_bounded_rate(viewer: WebViewer) -> None:
    with feeding(viewer):
        connection = http.client.HTTPConnection("127.0.0.1", port_of(viewer), timeout=PATIENCE)
        connection.request("GET", "/events")
        answer = connection.getresponse()
        began, names, told = time.monotonic(), [], {}
        while time.monotonic() - began < 3:
            line = answer.readline().decode().strip()
            if line.startswith("event: "):
                names.append(line.removeprefix("event: "))
            elif line.startswith("data: "):
                told[names[-1]] = json.loads(line.removeprefix("data: "))
        connection.close()
    assert names[0] == "about"
    assert names.count("scene") <= 17
    assert told["about"]["device"] == "kitchen-pi"
    assert told["scene"]["leader"] == told["scene"]["reading"]["faces"][0]["id"] == 3
    assert told["status"]["state"] == "running"


def test_a_page_that_comes_is_told_the_last_minute(viewer: WebViewer) -> None:
    for sequence, emotion in enumerate(("happy", "sad")):
        show(viewer, frame(sequence), face(1, emotion))
        time.sleep(0.3)  # the minute has four moments a second
    connection = http.client.HTTPConnection("127.0.0.1", port_of(viewer), timeout=PATIENCE)
    connection.request("GET", "/events")
    answer = connection.getresponse()
    while answer.readline() != b"event: minute\n":
        pass
    moments = json.loads(answer.readline().decode().removeprefix("data: "))
    connection.close()
    assert [emotion for _, emotion, *_ in moments] == ["happy", "sad"]
    assert moments[0][0] > moments[1][0] >= 0.3


def test_settings_are_shown_without_secrets() -> None:
    words = {"web": {"password": "hush-web"}, "mqtt": {"username": "me", "password": "hush-mqtt", "host": "broker.lan"}}
    settings = Settings.model_validate({**words, "camera": {"source": "rtsp://user:hush@cam@ra/live"}})
    documents = {SETTINGS: settings_document(settings)}
    viewer = WebViewer(WebSettings(port=free_port()), documents=documents)
    body = get(viewer, SETTINGS)[2].decode()
    viewer.close()
    assert "hush" not in body
    shown = {row["name"]: row for rows in json.loads(body).values() for row in rows}
    assert list(shown) == setting_names()
    assert all(row["about"] for row in shown.values())
    assert shown["camera.source"]["value"] == "rtsp://user:***@ra/live"
    changed = {name for name, row in shown.items() if row["changed"]}
    assert changed == {"camera.source", "mqtt.host", "mqtt.username", "mqtt.password", "web.password"}


def test_health_of_other_parts_is_told() -> None:
    viewer = WebViewer(WebSettings(port=free_port()), health={"MQTT": lambda: "refused: bad password"})
    connection = http.client.HTTPConnection("127.0.0.1", port_of(viewer), timeout=PATIENCE)
    connection.request("GET", "/events")
    answer = connection.getresponse()
    while answer.readline() != b"event: status\n":
        pass
    status = json.loads(answer.readline().decode().removeprefix("data: "))
    connection.close()
    viewer.close()
    assert status["health"] == {"MQTT": "refused: bad password"}


def test_port_that_is_taken_gives_the_next_one(viewer: WebViewer) -> None:
    beside = WebViewer(WebSettings(port=port_of(viewer)))
    assert port_of(viewer) < port_of(beside) < port_of(viewer) + PORTS_TRIED
    assert get(beside, "/")[0] == 200
    beside.close()


def test_no_port_at_all_is_a_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 65535)), pytest.raises(EmotionEdgeError, match=r"65535.*set web\.port"):
        WebViewer(WebSettings(port=65535))


def test_close_lets_everybody_go(caplog: pytest.LogCaptureFixture) -> None:
    viewer = WebViewer(WebSettings(port=free_port()))
    show(viewer, frame())
    stream = Stream(viewer)
    stream.picture()
    events = socket.create_connection(("127.0.0.1", port_of(viewer)))
    events.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert events.recv(4)
    stalled = Stream(viewer)
    noise = np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), dtype=np.uint8)
    show(viewer, frame(image=noise))
    stream.picture()
    before = {thread.name for thread in threading.enumerate()}
    viewer.close()
    assert "web" in before
    assert "web" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(ConnectionError):
        stream.picture()
    with pytest.raises((ConnectionError, http.client.IncompleteRead)):
        [stalled.picture() for _ in range(3)]
    with pytest.raises(ConnectionRefusedError):
        get(viewer, "/")
    events.close()
    show(viewer, frame())
    viewer.close()
    assert not caplog.records
