"""Videos over TLS, which FFmpeg reads through a relay that checks the certificate of each connection."""

import base64
import socket
import ssl
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import pytest

from edge.cameras.choose import open_camera
from edge.cameras.stream import StreamCamera
from edge.cameras.tls_relay import TlsRelay
from edge.config import CameraSettings
from edge.errors import EmotionEdgeError
from tests.support.broker import Certificates, certificates
from tests.support.pictures import colour_of, coloured
from tests.support.raw_http import RawServer, Respond, digest_allows, head
from tests.support.rtsp import RtspServer

LOGIN = "Authorization: Basic " + base64.b64encode(b"me:hush").decode()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def impostor(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates with the same names, signed by another authority."""
    return certificates(tmp_path_factory.mktemp("impostor"))


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Video files of ten pictures, by file suffix."""
    found = {}
    for ending in ("mp4", "ts"):
        file = tmp_path_factory.mktemp("films") / f"film.{ending}"
        writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), 10, (96, 64))
        for _ in range(10):
            writer.write(coloured(2))
        writer.release()
        found[ending] = file.read_bytes()
    return found


def tls(made: Certificates) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.server, made.server_key)
    return context


def by_name(url: str, login: str = "me:hush@") -> str:
    """Replace the host of a URL by the name in the certificate, and add a login."""
    return url.replace("127.0.0.1", f"{login}localhost")


def colours(url: str, ca_file: Path, count: int = 3) -> list[int]:
    camera = open_camera(CameraSettings(source=url, ca_file=ca_file))
    taken = [camera.read() for _ in range(count)]
    camera.close()
    return [colour_of(picture.image) for picture in taken if picture]


def file_of(data: bytes, request: str, kind: str = "video/mp4") -> Iterable[bytes]:
    """Answer a request for a file like a server that supports Range."""
    wanted = next((line for line in request.splitlines() if line.lower().startswith("range:")), "bytes=0-")
    start = int(wanted.partition("=")[2].partition("-")[0])
    span = f"Content-Range: bytes {start}-{len(data) - 1}/{len(data)}"
    yield head(kind, f"Content-Length: {len(data) - start}", span, status="206 Partial Content") + data[start:]


@contextmanager
def takes_over(first: Certificates, later: Certificates) -> Iterator[tuple[int, list[bytes]]]:
    """Server with the right certificate for two connections and another later; yields its port and received bytes."""
    heard: list[bytes] = []

    def run() -> None:
        contexts = [tls(first)] * 2
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with suppress(OSError), (contexts.pop() if contexts else tls(later)).wrap_socket(client, True) as secure:
                secure.settimeout(5)
                heard.append(secure.recv(4096))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run)
        thread.start()
        yield listener.getsockname()[1], heard
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_rtsps_is_read_with_a_checked_certificate_alone(made: Certificates, impostor: Certificates) -> None:
    with RtspServer([coloured(2)], 50, tls=tls(made)) as server:
        assert colours(by_name(server.url), made.authority) == [2, 2, 2]
        assert colours(server.url, made.server) == [2, 2, 2], "the certificate itself, whatever name is in it"
        server.requests.clear()
        for url, ca_file in ((by_name(server.url), impostor.authority), (server.url, made.authority)):
            with pytest.raises(EmotionEdgeError, match=r"its certificate is not trusted: .*camera\.ca_file") as refused:
                colours(url, ca_file)
            assert "hush" not in str(refused.value)
        assert server.requests == []


def test_pictures_are_never_asked_for_without_encryption(made: Certificates) -> None:
    with RtspServer([coloured(2)], tls=tls(made), tcp=False) as server:
        with pytest.raises(EmotionEdgeError, match="answers but sends no video"):
            colours(by_name(server.url), made.authority)
        transports = [line for line in server.requests if line.startswith("RTP/")]
    assert transports
    assert all("interleaved" in line for line in transports)


@pytest.mark.parametrize("scheme", ["rtsps", "https"])
def test_who_takes_over_after_the_check_is_told_nothing(
    scheme: str, made: Certificates, impostor: Certificates
) -> None:
    with takes_over(made, impostor) as (port, heard):
        with pytest.raises(EmotionEdgeError, match="answers but sends no video"):
            StreamCamera(f"{scheme}://me:hush@localhost:{port}/live", made.authority)
        assert b"".join(heard) == b""


@pytest.mark.parametrize("login", ["basic", "digest"])
def test_a_video_over_https_is_read_with_its_password_which_ffmpeg_is_not_told(
    login: str, made: Certificates, films: dict[str, bytes]
) -> None:
    challenge = 'Basic realm="r"' if login == "basic" else 'Digest realm="r", nonce="n", qop="auth"'

    def respond(request: str) -> Iterable[bytes]:
        if LOGIN in request if login == "basic" else digest_allows(request, "me", "hush"):
            return file_of(films["mp4"], request)
        return [head("", f"WWW-Authenticate: {challenge}", status="401 Unauthorized")]

    with RawServer(respond, tls(made)) as server:
        assert colours(by_name(server.url), made.authority) == [2, 2, 2]
        with pytest.raises(EmotionEdgeError, match=r"refuses the user name or the password \(401"):
            colours(by_name(server.url, "me:wrong@"), made.authority)
        relay = TlsRelay(by_name(server.url), made.authority)
        assert "hush" not in relay.url
        assert answer_to(relay.url).startswith(b"HTTP/1.0 206")
        place = urlsplit(relay.url)
        for path in ("/", "/stream", f"{place.path[:8]}/{place.path}"):
            assert b" 404 " in answer_to(f"http://{place.netloc}{path}").partition(b"\r\n")[0], "without the token"
        relay.close()
        with pytest.raises(ConnectionRefusedError):
            answer_to(relay.url)


def test_a_playlist_and_all_that_it_names_come_through_the_relay(made: Certificates, films: dict[str, bytes]) -> None:
    asked: list[str] = []

    def respond(request: str) -> Iterable[bytes]:
        asked.append(path := request.split()[1])
        if LOGIN not in request:
            return [head("", 'WWW-Authenticate: Basic realm="r"', status="401 Unauthorized")]
        if path.endswith(".ts"):
            return file_of(films["ts"], request, "video/mp2t")
        names = (f"https://localhost:{server.place.partition(':')[2]}/a.ts", "/b.ts", "c.ts")
        lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:1", *(f"#EXTINF:1,\n{name}" for name in names), "#EXT-X-ENDLIST"]
        return [head("application/vnd.apple.mpegurl"), "\n".join(lines).encode()]

    with RawServer(respond, tls(made)) as server:
        url = by_name(server.url).replace("/stream", "/live/list.m3u8")
        assert colours(url, made.authority, 30) == [2] * 30
    assert {"/live/list.m3u8", "/a.ts", "/b.ts", "/live/c.ts"} <= set(asked)


@pytest.mark.parametrize("to", ["http", "https"])
def test_a_redirect_leads_nowhere_without_a_trusted_certificate(
    to: str, made: Certificates, impostor: Certificates, films: dict[str, bytes]
) -> None:
    with RawServer(lambda request: file_of(films["mp4"], request), tls(impostor) if to == "https" else None) as other:
        respond: Respond = lambda _: [head("", f"Location: {other.url}", status="302 Found")]  # noqa: E731
        with RawServer(respond, tls(made)) as server:
            words = "redirects from https to http" if to == "http" else "certificate is not trusted"
            with pytest.raises(EmotionEdgeError, match=words):
                open_camera(CameraSettings(source=by_name(server.url), ca_file=made.authority))
            relay = TlsRelay(by_name(server.url), made.authority)
            assert answer_to(relay.url).startswith(b"HTTP/1.0 502")
            relay.close()
        assert other.heads == []


def answer_to(url: str) -> bytes:
    """Send a GET request to an address on the loopback; returns the answer."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), 10) as client:
        client.sendall(f"GET {parts.path} HTTP/1.0\r\n\r\n".encode())
        return b"".join(iter(lambda: client.recv(65536), b""))
