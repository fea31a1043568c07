"""What every kind of camera guarantees."""

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.cameras.camera import Camera
from edge.cameras.capture import Capture
from edge.cameras.choose import open_camera
from edge.cameras.picamera import IMPORT_PROBLEM, list_picameras
from edge.cameras.v4l2 import list_devices
from edge.config import CameraSettings
from edge.media import CLIP
from tests.support.daemon import wait_until
from tests.support.mjpeg import MjpegServer
from tests.support.pictures import HEIGHT, WIDTH, colour_of, coloured, frames_of, write_folder, write_video
from tests.support.rtsp import RtspServer


@dataclass(frozen=True)
class Source:
    """A camera to test. ours: True if it shows the tests' colours; False for hardware, with unknown pictures."""

    settings: CameraSettings
    ours: bool = True


@pytest.fixture(params=["image", "folder", "video", "http", "rtsp", "v4l2", "picamera2"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Source]:
    match request.param:
        case "image":
            cv2.imwrite(str(tmp_path / "one.png"), coloured(2))
            yield Source(CameraSettings(source=str(tmp_path / "one.png"), fps=100))
        case "folder":
            yield Source(CameraSettings(source=str(write_folder(tmp_path / "many", 4)), fps=100))
        case "video":
            yield Source(CameraSettings(source=str(write_video(tmp_path / "video.avi", 6, 50))))
        case "http":
            with MjpegServer([coloured(number) for number in range(6)], fps=50) as server:
                yield Source(CameraSettings(source=server.url))
        case "rtsp":
            with RtspServer([coloured(number) for number in range(6)], fps=50) as stream:
                yield Source(CameraSettings(source=stream.url))
        case "v4l2":
            devices = list_devices()
            if not devices:
                pytest.skip("no V4L2 camera on this machine")
            yield Source(CameraSettings(source=next(iter(devices))), ours=False)
        case "picamera2":
            if IMPORT_PROBLEM or not list_picameras():
                pytest.skip(IMPORT_PROBLEM or "no camera on the camera ports")
            yield Source(CameraSettings(source="picamera2"), ours=False)
        case unknown:
            pytest.fail(f"no camera to try for the kind {unknown}")


@pytest.fixture
def camera(source: Source) -> Iterator[Camera]:
    camera = open_camera(source.settings)
    yield camera
    camera.close()


def test_a_camera_gives_bgr_pictures_with_times_that_never_go_back(source: Source, camera: Camera) -> None:
    last = 0.0
    for _ in range(10):
        taken = camera.read()
        assert taken is not None
        assert taken.image.dtype == np.uint8
        assert taken.image.ndim == 3
        assert taken.image.shape[2] == 3
        assert last <= taken.captured_at <= time.monotonic()
        last = taken.captured_at
        if source.ours:
            assert taken.image.shape == (HEIGHT, WIDTH, 3)
            colour_of(taken.image)


def test_a_picture_may_be_drawn_on_without_changing_the_next(camera: Camera, source: Source) -> None:
    for _ in range(3):
        taken = camera.read()
        assert taken is not None
        if source.ours:
            colour_of(taken.image)
        taken.image[:] = 255


def test_a_closed_camera_gives_nothing_and_may_be_closed_again(camera: Camera) -> None:
    assert camera.read() is not None
    camera.close()
    camera.close()
    assert camera.read() is None


def test_frames_are_numbered_and_stamped(source: Source) -> None:
    with Capture(source.settings) as capture:
        frames = frames_of(capture, 8)
        assert capture.status == "online"
    for before, after in itertools.pairwise(frames):
        assert before.sequence < after.sequence
        assert before.captured_at <= after.captured_at
    difference = time.time() - time.monotonic()
    assert frames[-1].wall_time - frames[-1].captured_at == pytest.approx(difference, abs=1)


def test_frames_counted_are_either_dropped_or_delivered(source: Source) -> None:
    with Capture(source.settings) as capture:
        delivered = len(frames_of(capture, 1))
        wait_until(lambda: capture.captured >= 6, "frames that nobody takes")
        delivered += len(frames_of(capture, 1))
    delivered += capture.newest(0) is not None
    assert capture.dropped >= 3
    assert capture.captured - capture.dropped == delivered


def test_the_bundled_clip_is_small_and_can_be_read() -> None:
    assert CLIP.stat().st_size < 2_000_000
    camera = open_camera(CameraSettings(source=str(CLIP), loop=False, realtime=False))
    shapes = [taken.image.shape for taken in iter(camera.read, None)]
    assert len(shapes) == 320
    assert set(shapes) == {(480, 640, 3)}
