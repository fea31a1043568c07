"""Sources that are no camera are clear errors."""

import http.server
import os
import threading
from pathlib import Path

import pytest

from edge.cameras.choose import find_cameras, open_camera
from edge.cameras.picamera import IMPORT_PROBLEM
from edge.cameras.v4l2 import list_devices
from edge.config import CameraSettings
from edge.errors import EmotionEdgeError
from tests.support.daemon import free_port


@pytest.mark.parametrize("source", ["77", "/dev/video77"])
def test_a_missing_device_is_a_clear_error(source: str) -> None:
    found = ", ".join(list_devices()) or "no camera"
    with pytest.raises(EmotionEdgeError, match=rf"^camera /dev/video77: not there \(found: {found}\)$"):
        open_camera(CameraSettings(source=source))


def test_a_device_that_is_no_camera_is_a_clear_error() -> None:
    if not os.access("/dev/null", os.R_OK | os.W_OK):
        pytest.skip("no /dev/null here")
    with pytest.raises(EmotionEdgeError, match=r"^camera /dev/null: .*gives no picture"):
        open_camera(CameraSettings(source="/dev/null"))


def test_auto_says_what_to_do_where_there_is_no_camera() -> None:
    if find_cameras():
        pytest.skip("this machine has a camera")
    with pytest.raises(EmotionEdgeError, match=r"^camera auto: no camera found \(plug one in, or set camera.source"):
        open_camera(CameraSettings())


def test_picamera2_says_how_to_get_it() -> None:
    if not IMPORT_PROBLEM:
        pytest.skip("picamera2 imports on this machine")
    with pytest.raises(EmotionEdgeError, match=r"picamera2 does not import: .*apt install python3-picamera2"):
        open_camera(CameraSettings(source="picamera2"))


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    port = free_port()
    with pytest.raises(EmotionEdgeError, match="does not answer") as refused:
        open_camera(CameraSettings(source=f"http://user:secret@127.0.0.1:{port}/"))
    assert f"camera http://user:***@127.0.0.1:{port}/: " in str(refused.value)
    assert "secret" not in str(refused.value)
    with pytest.raises(EmotionEdgeError, match="does not answer"):
        open_camera(CameraSettings(source=f"rtsp://127.0.0.1:{port}/stream"))


@pytest.mark.parametrize(
    "address",
    [
        "rtsp://localhost:1444/hush@127.0.0.1/live",
        "rtsp://localhost:1444#hush@127.0.0.1/live",
    ],
)
def test_no_part_of_a_password_is_said_of_an_address_that_does_not_open(address: str) -> None:
    # By the standard the user name is a host, and the password a port.
    with pytest.raises(EmotionEdgeError, match="write / as %2F") as refused:
        open_camera(CameraSettings(source=address))
    assert "hush" not in str(refused.value)
    assert "1444" not in str(refused.value)


def test_a_server_without_video_is_a_clear_error() -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        with pytest.raises(EmotionEdgeError, match="answers but sends no video"):
            open_camera(CameraSettings(source=f"http://127.0.0.1:{server.server_address[1]}/none"))
        server.shutdown()


def test_a_named_pipe_is_refused_at_once_and_passed_over_in_a_folder(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(EmotionEdgeError, match="not a regular file"):
        open_camera(CameraSettings(source=str(tmp_path / "pipe.mp4")))
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(EmotionEdgeError, match="has no picture"):
        open_camera(CameraSettings(source=str(tmp_path)))
