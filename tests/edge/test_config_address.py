"""Addresses of cameras that no waiting makes right are refused; the others are tried again."""

import re
from pathlib import Path

import pytest

from edge.cameras.choose import can_come_back
from edge.cli import main
from edge.config import CameraSettings
from edge.config.address import camera_source

PARTS = "is there a : with anything but a port"
SCHEMES = "an address begins with rtsp://, rtsps://, http:// or https://, without quotes"
NAMELESS = "names no camera: its name or IP address goes behind the ://"

REFUSED = {
    "http://": NAMELESS,
    "https:///": NAMELESS,
    "rtsp:///live": NAMELESS,
    "RTSP://:554/live": NAMELESS,
    "rtsp://me:hush@/live": NAMELESS,
    "rtsp://user:hush@127.0.0.1:port/live": PARTS,
    "rtsp://user:hush@127.0.0.1:70000/live": PARTS,
    "http://[127.0.0.1/live?pwd=hush": PARTS,
    "http://fe80::1/live?pwd=hush": PARTS,
    "http://camera..lan/": PARTS,
    "http://" + 64 * "a" + ".lan/": PARTS,
    "rtsp://localhost:hush/hush@127.0.0.1/live": "write / as %2F",
    "rtsp://me:hu#sh@127.0.0.1/live": "write / as %2F",
    "rtmp://user:hush@127.0.0.1/live": SCHEMES,
    "htpp://127.0.0.1/": SCHEMES,
    "://127.0.0.1/": SCHEMES,
    "file:///srv/clip.mp4": "write the path alone",
    '"http://127.0.0.1/"': SCHEMES,
    "http://127.0.0.1/\r\nX: 1": "no control characters and no line breaks",
    "http://my camera/": "has no space",
}


@pytest.mark.parametrize(("address", "said"), REFUSED.items())
def test_an_address_that_no_waiting_makes_right_is_refused_in_one_line_without_its_password(
    address: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.yaml"
    quoted = address.replace("'", "''").replace("\r\n", "\n\n")
    file.write_text(f"camera:\n  source: '{quoted}'\n")
    assert main(["run", "--config", str(file)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"emotion-edge: settings file {file}, line 2: camera.source: ")
    assert said in line
    assert not re.search("hu#?sh", line)


@pytest.mark.parametrize(
    ("address", "read"),
    [
        ("http://127.0.0.1", ""),
        ("HTTP://Camera.lan:8080/Stream 1.mjpg?x=1", "http://Camera.lan:8080/Stream 1.mjpg?x=1"),
        ("http://me@work.lan:pa%23ss@127.0.0.1/", ""),
        ("rtsp://me:100%@127.0.0.1/", ""),
        ("rtsp://me:a:b@127.0.0.1/", ""),
        ("http://[::1]:8080/", ""),
        ("http://[fe80::1%25eth0]/live%2501", "http://[fe80::1%eth0]/live%2501"),
        ("http://kamera-küche.lan/", ""),
        ("  rtsp://127.0.0.1/live\n", "rtsp://127.0.0.1/live"),
        ("http://127.0.0.1:/", ""),
    ],
)
def test_an_address_that_may_answer_later_is_tried_again(address: str, read: str) -> None:
    settings = CameraSettings(source=address)
    assert settings.source == (read or address)
    assert can_come_back(settings.source)


@pytest.mark.parametrize("source", ["auto", "0", "/dev/video7", "clips/a.mp4", " a b.mp4 ", "/srv/x://y.mp4", "x:/y"])
def test_what_is_no_address_stays_as_it_is(source: str) -> None:
    assert camera_source(source) == source
    assert can_come_back(source) == (source in ("auto", "0", "/dev/video7"))
