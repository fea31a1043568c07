"""Cameras over TLS: which certificates are accepted, and that nothing is sent to a server with another."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.cameras.camera import Camera
from edge.cameras.http_camera import HttpCamera
from edge.cameras.stream import StreamCamera
from edge.config import CameraSettings
from edge.errors import EmotionEdgeError
from tests.support.broker import Certificates, certificates
from tests.support.mjpeg import MjpegServer
from tests.support.samples import picture


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def camera(made: Certificates) -> Iterator[MjpegServer]:
    """A camera at 127.0.0.1 whose certificate is for the name `localhost`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.server, made.server_key)
    with MjpegServer([picture()], tls=context) as server:
        yield server


def opened(kind: str, url: str, ca_file: Path | None) -> Camera:
    if kind == "http":
        return HttpCamera(url, CameraSettings(source=url, ca_file=ca_file))
    return StreamCamera(url, ca_file)


@pytest.mark.parametrize("kind", ["http", "ffmpeg"])
def test_whose_certificate_is_believed(kind: str, camera: MjpegServer, made: Certificates) -> None:
    by_number = camera.url.replace("https://", "https://user:hush@")
    by_name = by_number.replace("127.0.0.1", "localhost")
    for url, ca_file in ((by_name, None), (by_number, made.authority), (by_name, made.client)):
        with pytest.raises(EmotionEdgeError, match=r"its certificate is not trusted: .*camera\.ca_file") as caught:
            opened(kind, url, ca_file)
        assert "hush" not in str(caught.value)
    assert camera.clients == 0, "a camera that is not believed is asked nothing"
    for url, ca_file in ((by_name, made.authority), (by_number, made.server)):
        (camera_here := opened(kind, url, ca_file)).close()
        assert camera_here.name.startswith("camera https://user:***@")
    assert camera.clients >= 2


def test_a_file_without_a_certificate_is_named(camera: MjpegServer, tmp_path: Path) -> None:
    (file := tmp_path / "none.pem").write_text("nothing")
    with pytest.raises(EmotionEdgeError, match=f"camera.ca_file {file}: holds no certificate"):
        HttpCamera(camera.url, CameraSettings(source=camera.url, ca_file=file))
