"""Every kind of camera keeps the same promises, and Capture keeps the newest frame and gets a lost camera back."""

import http.server
import itertools
import logging
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge.cameras.camera import Camera
from edge.cameras.capture import Capture
from edge.cameras.choose import find_cameras, open_camera
from edge.cameras.picamera import IMPORT_PROBLEM, list_picameras
from edge.cameras.v4l2 import list_devices
from edge.config import CameraSettings
from edge.errors import EmotionEdgeError
from edge.media import CLIP
from edge.reading import Frame
from tests.support.daemon import free_port, wait_until
from tests.support.mjpeg import MjpegServer
from tests.support.rtsp import RtspServer

Image = npt.NDArray[np.uint8]

COLOURS = ((230, 30, 30), (30, 230, 30), (30, 30, 230), (30, 200, 200), (200, 30, 200), (120, 120, 120))
"""Blue, green, red: far enough from each other to be told apart after compression."""
WIDTH, HEIGHT = 96, 64


def picture(colour: int) -> Image:
    """Half the colour of that number, half black."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[:, : WIDTH // 2] = COLOURS[colour]
    return image


def colour_of(image: Image) -> int:
    """The number of the colour in the left half, which must be clearly one of ours, with black to its right."""
    pixel = image[HEIGHT // 2, WIDTH // 4].astype(int)
    distances = [int(np.abs(pixel - colour).max()) for colour in COLOURS]
    assert min(distances) < 20, f"{pixel} is none of our colours"
    assert int(image[HEIGHT // 2, 3 * WIDTH // 4].max()) < 20
    return distances.index(min(distances))


def write_folder(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        cv2.imwrite(str(folder / f"{number}.png"), picture(number))
    return folder


def write_video(path: Path, count: int, fps: float) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (WIDTH, HEIGHT))
    for number in range(count):
        writer.write(picture(number))
    writer.release()
    return path


def frames_of(capture: Capture, count: int) -> list[Frame]:
    frames = []
    for _ in range(count):
        frame = capture.newest(20)
        assert frame is not None, capture.status
        frames.append(frame)
    return frames


@dataclass(frozen=True)
class Source:
    """A camera to try. ours: it shows our colours at our size; else it is hardware, and shows what there is."""

    settings: CameraSettings
    ours: bool = True


@pytest.fixture(params=["image", "folder", "video", "http", "rtsp", "v4l2", "picamera2"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Source]:
    match request.param:
        case "image":
            cv2.imwrite(str(tmp_path / "one.png"), picture(2))
            yield Source(CameraSettings(source=str(tmp_path / "one.png"), fps=100))
        case "folder":
            yield Source(CameraSettings(source=str(write_folder(tmp_path / "many", 4)), fps=100))
        case "video":
            yield Source(CameraSettings(source=str(write_video(tmp_path / "video.avi", 6, 50))))
        case "http":
            with MjpegServer([picture(number) for number in range(6)], fps=50) as server:
                yield Source(CameraSettings(source=server.url))
        case "rtsp":
            with RtspServer([picture(number) for number in range(6)], fps=50) as stream:
                yield Source(CameraSettings(source=stream.url))
        case "v4l2":
            devices = list_devices()
            if not devices:
                pytest.skip("no V4L2 camera on this machine")
            yield Source(CameraSettings(source=next(iter(devices))), ours=False)
        case _:
            if IMPORT_PROBLEM or not list_picameras():
                pytest.skip(IMPORT_PROBLEM or "no camera on the camera ports")
            yield Source(CameraSettings(source="picamera2"), ours=False)


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


def test_a_slow_reader_gets_the_newest_frame() -> None:
    with MjpegServer([picture(0)], fps=50) as server, Capture(CameraSettings(source=server.url)) as capture:
        frames_of(capture, 1)
        server.show([picture(3)])
        seen = capture.captured
        wait_until(lambda: capture.captured > seen + 20, "frames that nobody takes")
        before = capture.captured
        (frame,) = frames_of(capture, 1)
        assert frame.sequence >= before - 1
        assert colour_of(frame.image) == 3


def test_pictures_that_are_not_wanted_pass_and_count_as_captured_not_as_dropped() -> None:
    with MjpegServer([picture(0)], fps=25) as server, Capture(CameraSettings(source=server.url)) as capture:
        first = capture.newest(timeout=10)
        assert first
        wanted = first.captured_at
        capture.wanted_from = lambda: wanted
        handed: list[Frame] = []
        for _ in range(5):
            wanted += 0.4
            while not handed or handed[-1].captured_at < wanted:
                frame = capture.newest(timeout=10)
                assert frame
                handed.append(frame)
        passed = handed[-1].sequence - handed[0].sequence - len(handed)
        print(f"\n{len(handed)} pictures handed out, {passed} let pass, {capture.dropped} dropped")
        assert passed >= 2 * len(handed)
        assert capture.dropped <= len(handed)


def test_a_folder_is_shown_once_in_the_order_of_its_names(tmp_path: Path) -> None:
    camera = open_camera(CameraSettings(source=str(write_folder(tmp_path / "many", 5)), loop=False, fps=200))
    shown = [colour_of(taken.image) for taken in iter(camera.read, None)]
    assert shown == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("kind", ["folder", "video"])
def test_a_file_that_loops_begins_again(kind: str, tmp_path: Path) -> None:
    path = write_folder(tmp_path / "many", 3) if kind == "folder" else write_video(tmp_path / "video.avi", 3, 25)
    with Capture(CameraSettings(source=str(path), realtime=False)) as capture:
        assert [colour_of(frame.image) for frame in frames_of(capture, 8)] == [0, 1, 2, 0, 1, 2, 0, 1]
        assert not capture.ended


@pytest.mark.parametrize("kind", ["image", "folder", "video"])
def test_a_file_played_once_as_fast_as_it_goes_loses_nothing_and_ends(kind: str, tmp_path: Path) -> None:
    if kind == "image":
        path, count = tmp_path / "one.png", 1
        cv2.imwrite(str(path), picture(0))
    else:
        count = 6
        # At its own pace of a frame every minute, this would not end in time.
        path = write_folder(tmp_path / "many", 6) if kind == "folder" else write_video(tmp_path / "slow.avi", 6, 1 / 60)
    with Capture(CameraSettings(source=str(path), loop=False, realtime=False, fps=1 / 60)) as capture:
        shown = []
        while not capture.ended:
            frame = capture.newest(20)
            if frame is not None:
                shown.append(colour_of(frame.image))
        assert shown == list(range(count))
        assert (capture.captured, capture.dropped) == (count, 0)
        assert capture.status == "ended"
        assert capture.newest(20) is None


def test_a_video_keeps_its_own_pace(tmp_path: Path) -> None:
    camera = open_camera(CameraSettings(source=str(write_video(tmp_path / "video.avi", 6, 20)), loop=False))
    times = [taken.captured_at for taken in iter(camera.read, None)]
    assert len(times) == 6
    assert times[-1] - times[0] >= 5 / 20 - 0.01


def test_a_damaged_image_is_named_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_folder(tmp_path / "many", 3)
    (folder / "1.png").write_bytes((folder / "1.png").read_bytes()[:40])
    (folder / "2a.jpg").write_bytes(b"")
    (folder / "notes.txt").write_text("not looked at")
    with Capture(CameraSettings(source=str(folder), realtime=False)) as capture:
        assert [colour_of(frame.image) for frame in frames_of(capture, 6)] == [0, 2, 0, 2, 0, 2]
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 2, "each damaged file is named once"
    assert "1.png" in warnings[0]
    assert "2a.jpg" in warnings[1]


def test_grey_and_transparent_images_become_bgr(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((4, 6), 77, np.uint8))
    cv2.imwrite(str(tmp_path / "transparent.png"), np.full((4, 6, 4), 77, np.uint8))
    for name in ("grey.png", "transparent.png"):
        taken = open_camera(CameraSettings(source=str(tmp_path / name))).read()
        assert taken is not None
        assert taken.image.shape == (4, 6, 3)
        assert (taken.image == 77).all()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.mp4", "none.mp4: not there .found: "),
        ("none/", "none/: not there .found: "),
        ("text.mp4", "video .*text.mp4: cannot be decoded"),
        ("text.png", "image .*text.png: cannot be decoded"),
        ("empty", "folder .*empty: has no picture"),
        ("damaged", "folder .*damaged: none of its pictures can be decoded"),
    ],
)
def test_a_file_that_is_no_picture_is_a_clear_error(name: str, said: str, tmp_path: Path) -> None:
    for text in ("text.mp4", "text.png"):
        (tmp_path / text).write_text("no picture")
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "one.jpg").write_text("no picture")
    with pytest.raises(EmotionEdgeError, match=said):
        open_camera(CameraSettings(source=f"{tmp_path}/{name}"))


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
    ("address", "said"),
    [
        ("rtsp://localhost:hush/hush@127.0.0.1/live", "write / as %2F"),  # a user of that name, for who reads it right
        ("rtsp://localhost:1444/hush@127.0.0.1/live", "write / as %2F"),
        ("rtsp://localhost:1444#hush@127.0.0.1/live", "and # as %23"),
        ("rtsp://user:hush@127.0.0.1:port/live", "not an address"),
        ("http://[127.0.0.1/live?pwd=hush", "not an address"),
        ("rtmp://user:hush@127.0.0.1/live", "not there"),
    ],
)
def test_no_part_of_a_password_is_said_of_an_address_that_does_not_open(address: str, said: str) -> None:
    with pytest.raises(EmotionEdgeError) as refused:
        open_camera(CameraSettings(source=address))
    assert said in str(refused.value)
    assert "hush" not in str(refused.value)
    assert "1444" not in str(refused.value)


def test_a_server_without_video_is_a_clear_error() -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        with pytest.raises(EmotionEdgeError, match="answers but sends no video"):
            open_camera(CameraSettings(source=f"http://127.0.0.1:{server.server_address[1]}/none"))
        server.shutdown()


def test_a_camera_that_is_lost_is_reopened(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="edge.cameras.capture")
    server = MjpegServer([picture(1)], fps=50)
    with server, Capture(CameraSettings(source=server.url)) as capture:
        frames_of(capture, 3)
        server.stop()
        wait_until(lambda: capture.status.startswith("lost: camera http://127.0.0.1"), "the loss to be seen")
        wait_until(lambda: capture.status.endswith("does not answer (Connection refused)"), "a try")
        wait_until(lambda: capture.retry_delay == 2, "longer pauses between tries")
        taken = capture.captured
        capture.newest(0)
        server.show([picture(4)])
        server.start()
        (frame,) = frames_of(capture, 1)
        assert frame.sequence >= taken
        assert colour_of(frame.image) == 4
        assert capture.status == "online"
    said = [record.getMessage() for record in caplog.records]
    assert [line.split(":")[0] for line in said] == ["camera http", "lost", "camera http"], "one line each, none a try"


def test_no_picture_comes_after_word_that_the_camera_is_lost() -> None:
    with MjpegServer([picture(1)], fps=50) as server, Capture(CameraSettings(source=server.url)) as capture:
        wait_until(lambda: capture.captured > 2, "pictures that nobody takes")
        server.stop()
        wait_until(lambda: capture.status.startswith("lost"), "the loss to be seen")
        assert capture.newest(0) is None
        assert capture.dropped == capture.captured


def test_a_camera_that_is_there_late_is_opened() -> None:
    server = MjpegServer([picture(1)], fps=50, port=free_port())
    with Capture(CameraSettings(source=server.url)) as capture:
        wait_until(lambda: capture.status.startswith("no picture: camera http://"), "the status to say so")
        assert capture.newest(0) is None
        with server:
            frames_of(capture, 2)
            assert capture.status == "online"


def test_a_camera_that_hangs_is_lost_and_found() -> None:
    with MjpegServer([picture(1)], fps=50) as server, Capture(CameraSettings(source=server.url)) as capture:
        frames_of(capture, 2)
        server.freeze()
        wait_until(lambda: "nothing came for 5 s" in capture.status, "the time-out")
        server.freeze(False)
        capture.newest(0)
        frames_of(capture, 2)


def test_a_pause_lets_the_camera_go_and_gives_no_frame_until_it_ends() -> None:
    with MjpegServer([picture(1)], fps=50) as server, Capture(CameraSettings(source=server.url)) as capture:
        frames_of(capture, 2)
        capture.pause("off: privacy is on")
        wait_until(lambda: server.watchers == 0, "the server to see that nobody looks")
        server.show([picture(4)])
        taken = capture.captured
        assert capture.newest(0.3) is None
        assert (capture.captured, capture.status) == (taken, "off: privacy is on")
        capture.resume()
        (frame,) = frames_of(capture, 1)
        assert colour_of(frame.image) == 4
        assert frame.sequence >= taken


@pytest.mark.parametrize("times", [1, 5])
def test_pauses_in_quick_succession_do_not_end_a_camera(times: int) -> None:
    with MjpegServer([picture(1)], fps=50) as server, Capture(CameraSettings(source=server.url)) as capture:
        for _ in range(times):
            capture.pause("off")
            capture.resume()
        frames_of(capture, 2)
        assert not capture.ended


def test_a_camera_that_was_opened_before_a_pause_is_opened_anew_after_it(tmp_path: Path) -> None:
    settings = CameraSettings(source=str(write_video(tmp_path / "video.avi", 6, 50)), realtime=False, loop=False)
    with Capture(settings, open_camera(settings)) as capture:
        capture.pause("off")
        assert capture.newest(0) is None
        capture.resume()
        assert [colour_of(frame.image) for frame in frames_of(capture, 6)] == list(range(6))


def test_close_does_not_wait_for_a_read_that_hangs() -> None:
    with MjpegServer([picture(1)], fps=50) as server:
        capture = Capture(CameraSettings(source=server.url))
        frames_of(capture, 2)
        (thread,) = [thread for thread in threading.enumerate() if thread.name == "capture"]
        server.freeze()
        seen = -1
        while seen != capture.captured:  # until the read waits for a picture that does not come
            seen = capture.captured
            time.sleep(0.1)
        capture.close()
        assert thread.is_alive(), "the read goes on until its time-out of 5 s, and close() did not wait for it"
        assert capture.status == "closed"
        capture.close()
        thread.join(timeout=30)
        assert not thread.is_alive(), "the thread ends by itself"


def test_close_ends_the_wait_for_a_camera_that_is_not_there(tmp_path: Path) -> None:
    capture = Capture(CameraSettings(source=str(tmp_path / "none.mp4")))
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "capture"]
    wait_until(lambda: capture.retry_delay == 2, "a long pause between two tries")
    capture.close()
    assert not thread.is_alive()
    assert capture.newest(20) is None


def test_a_camera_that_is_already_open_is_taken_over(tmp_path: Path) -> None:
    settings = CameraSettings(source=str(write_video(tmp_path / "video.avi", 6, 50)), realtime=False, loop=False)
    with Capture(settings, open_camera(settings)) as capture:
        assert [colour_of(frame.image) for frame in frames_of(capture, 6)] == list(range(6))


def test_the_bundled_clip_is_small_and_can_be_read() -> None:
    assert CLIP.stat().st_size < 2_000_000
    camera = open_camera(CameraSettings(source=str(CLIP), loop=False, realtime=False))
    shapes = [taken.image.shape for taken in iter(camera.read, None)]
    assert len(shapes) == 320
    assert set(shapes) == {(480, 640, 3)}
