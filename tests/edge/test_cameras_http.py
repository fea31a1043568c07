"""Cameras over HTTP with the quirks of real ones: each is read, or refused with the reason."""

import base64
import itertools
import logging
import socket
import ssl
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edge.cameras import http_camera, mjpeg_parser
from edge.cameras.camera import Camera
from edge.cameras.choose import open_camera
from edge.cameras.http_camera import HttpCamera
from edge.cameras.mjpeg_parser import MjpegParser
from edge.config import CameraSettings
from edge.errors import EmotionEdgeError
from tests.support.images import encoded, with_orientation
from tests.support.mjpeg import encode
from tests.support.pictures import HEIGHT, WIDTH, colour_of, coloured
from tests.support.raw_http import MULTIPART, RawServer, chunked, digest_allows, head, part

JPEGS = [encode(coloured(number)) for number in range(6)]
THUMBNAIL = JPEGS[5]
WITH_THUMBNAIL = [
    jpeg[:2] + b"\xff\xe1" + (len(THUMBNAIL) + 8).to_bytes(2, "big") + b"Exif\0\0" + THUMBNAIL + jpeg[2:]
    for jpeg in JPEGS
]


def stream(parts: Iterable[bytes], start: bytes = MULTIPART) -> list[bytes]:
    return [start, *parts]


def number(count: int, **about: object) -> list[bytes]:
    return [part(coloured(index % 6), **about) for index in range(count)]  # type: ignore[arg-type]


def seen(camera: Camera, count: int) -> list[int]:
    colours = []
    for _ in range(count):
        taken = camera.read()
        assert taken is not None
        colours.append(colour_of(taken.image))
    return colours


def announced(boundary: str) -> bytes:
    return head(f"multipart/x-mixed-replace{boundary}")


QUIRKS: dict[str, list[bytes]] = {
    "plain": stream(number(6)),
    "no first boundary": stream([part(coloured(0), boundary=""), *number(6)[1:]]),
    "no length": stream(number(6, length=None)),
    "no length, thumbnails inside": stream(part(jpeg, None) for jpeg in WITH_THUMBNAIL),
    "no header at all": stream([b"--frame\r\n\r\n" + jpeg + b"\r\n" for jpeg in JPEGS]),
    "no boundary at all": stream(JPEGS, head("multipart/x-mixed-replace")),
    "line feeds alone": stream(number(6, line="\n")),
    "quoted boundary": stream(number(6), announced('; boundary="frame"')),
    "boundary announced with its dashes": stream(number(6), announced("; boundary=--frame")),
    "another boundary than announced": stream(number(6, boundary="--other"), announced("; boundary=frame")),
    "spaces and capitals": stream(number(6), head("Multipart/X-Mixed-Replace ;Boundary = frame")),
    "no content type": stream(number(6), b"HTTP/1.0 200 OK\r\n\r\n"),
    "octet stream": stream(number(6), head("application/octet-stream")),
    "bare pictures of another type": stream(JPEGS, head("video/x-motion-jpeg")),
    "HTTP 1.0 and junk in the head": stream(number(6), b"HTTP/1.0 200\r\nContent-Type: multipart/mixed\r\nX\r\n\r\n"),
    "extra blank lines": stream(piece + b"\r\n\r\n" for piece in number(6)),
    "padding after each picture": stream(part(jpeg + bytes(64)) for jpeg in JPEGS),
    "byte by byte": [bytes([byte]) for byte in b"".join(stream(number(6)))],
    "all in one piece": [b"".join(stream(number(6)))],
    "empty parts between": stream(itertools.chain.from_iterable((piece, part(b"", 0)) for piece in number(6))),
    "texts between": stream(
        itertools.chain.from_iterable(
            (piece, b"--frame\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nping\r\n") for piece in number(6)
        )
    ),
    "chunked": [head("multipart/x-mixed-replace; boundary=frame", "Transfer-Encoding: chunked"), *chunked(number(6))],
}


@pytest.mark.parametrize("quirk", QUIRKS)
def test_a_stream_with_a_quirk_is_read_whole(quirk: str) -> None:
    with RawServer(lambda _: QUIRKS[quirk]) as server:
        camera = open_camera(CameraSettings(source=server.url))
        assert isinstance(camera, HttpCamera)
        assert seen(camera, 5) == [0, 1, 2, 3, 4]
        with pytest.raises(EmotionEdgeError, match="the stream ended"):
            # Whether the sixth picture is delivered depends on whether its end is known.
            list(iter(camera.read, None))


PASSED_OVER = "frame(s) could not be decoded and were passed over"
DAMAGED = {
    "garbage": b"\x55" * 500,
    "cut off": JPEGS[0][: len(JPEGS[0]) // 2],
    "nothing": b"",
    "a web page": b"<html>500</html>",
    "a header that lies": JPEGS[0][:20] + b"\xff" * 20 + JPEGS[0][40:],
    "too many pixels": JPEGS[0].replace(HEIGHT.to_bytes(2, "big") + WIDTH.to_bytes(2, "big"), b"\xff\xff\xff\xff"),
}


@pytest.mark.parametrize("damage", DAMAGED)
@pytest.mark.parametrize("bad", [(0,), (1, 3, 5), (2, 3, 4)])
def test_damaged_pictures_are_passed_over_and_counted(
    damage: str, bad: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    parts = [part(DAMAGED[damage] if index in bad else JPEGS[index]) for index in range(6)]
    with RawServer(lambda _: stream([*parts, part(JPEGS[0])])) as server:
        camera = open_camera(CameraSettings(source=server.url))
        good = [index for index in range(6) if index not in bad]
        assert seen(camera, len(good) + 1) == [*good, 0]
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    if damage == "nothing":  # an empty part is no picture
        assert not warnings
        return
    assert warnings[:1] == [f"{camera.name}: {1 if bad == (1, 3, 5) else len(bad)} {PASSED_OVER}"]
    assert len(warnings) == 1, "the 1st, the 10th, the 100th, ... of them"


@pytest.mark.parametrize("damage", ["garbage", "cut off", "nothing"])
def test_without_a_length_the_pictures_after_a_damaged_one_are_whole(damage: str) -> None:
    parts = [part(DAMAGED[damage] if index == 2 else JPEGS[index], None) for index in range(6)]
    with RawServer(lambda _: stream(parts)) as server:
        assert seen(open_camera(CameraSettings(source=server.url)), 5) == [0, 1, 3, 4, 5]


@pytest.mark.parametrize("lie", [-100, 100, 2000])
def test_a_wrong_length_costs_a_few_pictures_and_is_not_believed_again(lie: int) -> None:
    parts = [part(jpeg, len(jpeg) + lie) for jpeg in JPEGS * 3]
    with RawServer(lambda _: stream(parts)) as server:
        colours = seen(open_camera(CameraSettings(source=server.url)), 12)
    assert colours == [(colours[0] + index) % 6 for index in range(12)], "in their order, none left out"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_camera, "TIMEOUT", 1.0)


def test_a_stream_of_nothing_good_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = 1_000_000
    monkeypatch.setattr(mjpeg_parser, "PART_MAX", limit)
    parser = MjpegParser()
    for _ in range(3 * limit // 65536):
        parser.feed(b"\x55" * 65536)
        assert parser.next() is None
    parser.feed(b"\xff\xd8\xff\xe0\0\x10")
    for _ in range(3 * limit // 65536):
        parser.feed(b"\x55" * 65536)
        assert parser.next() is None
    assert len(parser._buffer) < 2 * limit
    parser.feed(JPEGS[0] + JPEGS[1] + JPEGS[2])
    assert parser.next() in (None, *JPEGS[:2])


@pytest.mark.usefixtures("impatient")
def test_a_stream_of_nothing_good_is_an_error() -> None:
    def damaged(_: str) -> Iterator[bytes]:
        yield MULTIPART
        while True:
            yield part(DAMAGED["garbage"])
            time.sleep(0.05)

    with RawServer(damaged) as server, pytest.raises(EmotionEdgeError, match=r"none of \d+ pictures in 1 s was good"):
        open_camera(CameraSettings(source=server.url))


def test_a_size_that_changes_is_followed() -> None:
    sizes = [(64, 96), (120, 160), (48, 64)]
    parts = [part(np.full((*size, 3), 99, np.uint8)) for size in sizes]
    parts.append(part(np.full((40, 60), 99, np.uint8)))
    with RawServer(lambda _: stream(parts)) as server:
        camera = open_camera(CameraSettings(source=server.url))
        assert [taken.image.shape for _ in parts if (taken := camera.read())] == [
            (*size, 3) for size in [*sizes, (40, 60)]
        ]


def still(request: str) -> Iterable[bytes]:
    assert request
    yield head("image/jpeg")
    yield JPEGS[4]


def test_an_address_that_gives_one_picture_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with RawServer(still) as server:
        camera = open_camera(CameraSettings(source=server.url, fps=20))
        began = time.monotonic()
        assert seen(camera, 5) == [4] * 5
        assert time.monotonic() - began >= 3.5 / 20
        assert 5 <= len(server.heads) <= 6
        camera.close()
        assert camera.read() is None
    assert "gives one picture a request: it is asked 20 times a second (camera.fps)" in caplog.text


@pytest.mark.parametrize("kind", ["application/octet-stream", ""])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_picture_of_a_known_length_is_asked_again_whatever_its_type(kind: str, suffix: str) -> None:
    file = encoded(coloured(4), suffix)
    with RawServer(lambda _: [head(kind, f"Content-Length: {len(file)}"), file]) as server:
        camera = open_camera(CameraSettings(source=server.url, fps=100))
        assert seen(camera, 3) == [4] * 3
        camera.close()


def test_a_still_picture_is_turned_by_exif_and_may_fail_now_and_then() -> None:
    sideways = np.ascontiguousarray(np.rot90(coloured(3)))
    answers = itertools.cycle(
        [
            [head("image/jpeg"), with_orientation(encoded(sideways), 6)],
            [head("", status="503 Service Unavailable")],
            [head("image/jpeg", "Content-Length: 9999"), JPEGS[3][:50]],
        ]
    )
    with RawServer(lambda _: next(answers)) as server:
        camera = open_camera(CameraSettings(source=server.url, fps=100))
        assert seen(camera, 3) == [3, 3, 3]
        camera.close()


@pytest.mark.parametrize("picture", ["/hush/live", "/a b/ü?x=1&user=&y=[0]"])
def test_redirects_odd_paths_and_capitals(picture: str) -> None:
    with RawServer(lambda _: stream(number(6))) as server:

        def moved(_: str) -> Iterable[bytes]:
            yield head("text/html", f"Location: http://{server.place}/there", status="302 Found")

        with RawServer(moved) as first:
            assert seen(open_camera(CameraSettings(source=f"HTTP://{first.place}{picture}")), 2) == [0, 1]
        assert server.heads[-1].startswith("GET /there ")
        assert seen(open_camera(CameraSettings(source=f"Http://{server.place}{picture}")), 2) == [0, 1]
        assert " HTTP/1.1" in server.heads[-1].splitlines()[0]


def test_ipv6() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        server = RawServer(lambda _: stream(number(6)), family=socket.AF_INET6)
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    with server:
        assert seen(open_camera(CameraSettings(source=server.url)), 2) == [0, 1]


def test_a_redirection_without_end_is_said_in_one_line() -> None:
    def moved(request: str) -> Iterable[bytes]:
        place = request.split("Host: ")[1].split()[0]
        return [head("", f"Location: http://{place}/again", status="302 Found")]

    with (
        RawServer(moved) as server,
        pytest.raises(EmotionEdgeError, match="302: it is redirected without end") as refused,
    ):
        open_camera(CameraSettings(source=server.url))
    assert "\n" not in str(refused.value)


def test_a_login_of_another_kind_is_named() -> None:
    answer = [head("", "WWW-Authenticate: NTLM", status="401 Unauthorized")]
    with (
        RawServer(lambda _: answer) as server,
        pytest.raises(EmotionEdgeError, match="login of the kind NTLM") as refused,
    ):
        open_camera(CameraSettings(source=f"http://me:hush@{server.place}/live"))
    assert "hush" not in str(refused.value)


def basic(request: str) -> Iterable[bytes]:
    allowed = base64.b64encode(b"me@home:p/s#?:\xc3\xa9").decode()
    if f"Authorization: Basic {allowed}" in request:
        return stream(number(6))
    return [head("text/html", 'WWW-Authenticate: Basic realm="r"', status="401 Unauthorized")]


def digest(request: str) -> Iterable[bytes]:
    if digest_allows(request, "me@home", "p/s#?:"):
        return stream(number(6))
    challenge = 'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth", algorithm=MD5'
    return [head("text/html", challenge, status="401 Unauthorized")]


def test_passwords_basic_and_digest() -> None:
    user = "me%40home:p%2Fs%23%3F%3A"
    for respond, password in ((basic, f"{user}%C3%A9"), (digest, user)):
        with RawServer(respond) as server:
            camera = open_camera(CameraSettings(source=f"http://{password}@{server.place}/live"))
            assert seen(camera, 2) == [0, 1]
            for wrong in ("me:hush1", "me%40home:hush1"):
                with pytest.raises(EmotionEdgeError, match=r"refuses the user name or the password \(401") as refused:
                    open_camera(CameraSettings(source=f"http://{wrong}@{server.place}/live"))
                assert "hush1" not in str(refused.value)
            with pytest.raises(EmotionEdgeError, match="asks for a user name and a password"):
                open_camera(CameraSettings(source=f"http://{server.place}/live"))


def test_a_certificate_that_the_camera_signed_itself_is_taken_where_it_is_named(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=camera", "-days", "2"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with RawServer(lambda _: stream(number(6)), tls) as server:
        assert seen(open_camera(CameraSettings(source=server.url, ca_file=certificate)), 3) == [0, 1, 2]
        with pytest.raises(EmotionEdgeError, match=r"certificate is not trusted.*camera\.ca_file"):
            open_camera(CameraSettings(source=server.url))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (head("text/html") + b"<html>", r"answers but sends no video \(text/html\): the camera's stream has another"),
        (head("image/jpeg", "Content-Encoding: gzip") + b"\x1f\x8b", r"sends its pictures compressed \(gzip\)"),
        (head("", *["X: y"] * 200), "answers, but not as HTTP wants it"),
        (head("", status="404 Not Found"), r"answers but sends no video \(404 Not Found\): check the path"),
        (head("", status="500 Oh"), r"answers but sends no video \(500 Oh\)"),
        (MULTIPART, "the stream ended"),
        (head("image/jpeg"), "none of .* pictures in 1 s was good: this is no image"),
        (head("image/heic") + b"\0\0\0\x1cftypheic" + bytes(50), "was good: HEIC and AVIF images are not read"),
        (b"SSH-2.0-OpenSSH_9\r\n", "answers but sends no video"),
    ],
)
@pytest.mark.usefixtures("impatient")
def test_what_is_no_camera_is_said_to_be_none(answer: bytes, words: str) -> None:
    with RawServer(lambda _: [answer]) as server, pytest.raises(EmotionEdgeError, match=words) as refused:
        open_camera(CameraSettings(source=server.url))
    assert "password" not in str(refused.value) or "SSH" in answer.decode(errors="replace")


@pytest.mark.parametrize("challenge", ["Digest =", "Digest realm=", "Digest", "Digest a", ",,,", "Basic", "\xff"])
def test_a_login_that_makes_no_sense_is_an_error_without_the_password(challenge: str) -> None:
    refusal = head("", f"WWW-Authenticate: {challenge}", status="401 Unauthorized")
    with RawServer(lambda _: [refusal]) as server, pytest.raises(EmotionEdgeError, match=r"^camera http") as refused:
        open_camera(CameraSettings(source=f"http://me:hush@{server.place}/live"))
    assert "hush" not in str(refused.value)
