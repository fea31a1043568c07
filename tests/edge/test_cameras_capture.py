"""Capture keeps the newest frame, and reopens a lost camera."""

import logging
import math
import threading
import time
from pathlib import Path

import pytest

from edge.cameras.capture import Capture
from edge.cameras.choose import open_camera
from edge.config import CameraSettings
from edge.reading import Frame
from tests.support.daemon import free_port, wait_until
from tests.support.mjpeg import MjpegServer
from tests.support.pictures import colour_of, coloured, frames_of, write_video
from tests.support.rtsp import RtspServer


def test_a_slow_reader_gets_the_newest_frame() -> None:
    with MjpegServer([coloured(0)], fps=50) as server, Capture(CameraSettings(source=server.url)) as capture:
        frames_of(capture, 1)
        server.show([coloured(3)])
        seen = capture.captured
        wait_until(lambda: capture.captured > seen + 20, "frames that nobody takes")
        before = capture.captured
        (frame,) = frames_of(capture, 1)
        assert frame.sequence >= before - 1
        assert colour_of(frame.image) == 3


def test_pictures_that_are_not_wanted_pass_and_count_as_captured_not_as_dropped() -> None:
    wanted = -math.inf
    with (
        MjpegServer([coloured(0)], fps=25) as server,
        Capture(CameraSettings(source=server.url), wanted_from=lambda: wanted) as capture,
    ):
        first = capture.newest(timeout=10)
        assert first
        wanted = first.captured_at
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


def test_a_camera_that_is_lost_is_reopened(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="edge.cameras.capture")
    server = MjpegServer([coloured(1)], fps=50)
    with server, Capture(CameraSettings(source=server.url)) as capture:
        frames_of(capture, 3)
        server.stop()
        wait_until(lambda: capture.status.startswith("lost: camera http://127.0.0.1"), "the loss to be seen")
        wait_until(lambda: capture.status.endswith("does not answer (Connection refused)"), "a try")
        wait_until(lambda: capture.retry_delay == 2, "longer pauses between tries")
        taken = capture.captured
        capture.newest(0)
        server.show([coloured(4)])
        server.start()
        (frame,) = frames_of(capture, 1)
        assert frame.sequence >= taken
        assert colour_of(frame.image) == 4
        assert capture.status == "online"
    said = [record.getMessage() for record in caplog.records]
    assert [line.split(":")[0] for line in said] == ["camera http", "lost", "camera http"], "one line each, none a try"


def test_no_picture_comes_after_word_that_the_camera_is_lost() -> None:
    with MjpegServer([coloured(1)], fps=50) as server, Capture(CameraSettings(source=server.url)) as capture:
        wait_until(lambda: capture.captured > 2, "pictures that nobody takes")
        server.stop()
        wait_until(lambda: capture.status.startswith("lost"), "the loss to be seen")
        assert capture.newest(0) is None
        assert capture.dropped == capture.captured


def test_a_camera_that_is_there_late_is_opened() -> None:
    server = MjpegServer([coloured(1)], fps=50, port=free_port())
    with Capture(CameraSettings(source=server.url)) as capture:
        wait_until(lambda: capture.status.startswith("no picture: camera http://"), "the status to say so")
        assert capture.newest(0) is None
        with server:
            frames_of(capture, 2)
            assert capture.status == "online"


def test_a_camera_that_hangs_is_lost_and_found() -> None:
    with MjpegServer([coloured(1)], fps=50) as server, Capture(CameraSettings(source=server.url)) as capture:
        frames_of(capture, 2)
        server.freeze()
        wait_until(lambda: "nothing came for 5 s" in capture.status, "the time-out")
        server.freeze(False)
        capture.newest(0)
        frames_of(capture, 2)


def test_a_pause_lets_the_camera_go_and_gives_no_frame_until_it_ends() -> None:
    with MjpegServer([coloured(1)], fps=50) as server, Capture(CameraSettings(source=server.url)) as capture:
        frames_of(capture, 2)
        capture.pause("off: privacy is on")
        wait_until(lambda: server.watchers == 0, "the server to see that nobody looks")
        server.show([coloured(4)])
        taken = capture.captured
        assert capture.newest(0.3) is None
        assert (capture.captured, capture.status) == (taken, "off: privacy is on")
        capture.resume()
        (frame,) = frames_of(capture, 1)
        assert colour_of(frame.image) == 4
        assert frame.sequence >= taken


@pytest.mark.parametrize("times", [1, 5])
def test_pauses_in_quick_succession_do_not_end_a_camera(times: int) -> None:
    with MjpegServer([coloured(1)], fps=50) as server, Capture(CameraSettings(source=server.url)) as capture:
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


def hung(server: MjpegServer | RtspServer) -> tuple[Capture, threading.Thread]:
    """Start a Capture whose read waits for a picture that never comes; returns it and its thread."""
    capture = Capture(CameraSettings(source=server.url))
    frames_of(capture, 2)
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "capture"]
    server.freeze()
    seen = -1
    while seen != capture.captured:
        seen = capture.captured
        time.sleep(0.1)
    return capture, thread


def test_close_does_not_wait_for_a_read_that_hangs() -> None:
    with RtspServer([coloured(1)], fps=50) as server:
        capture, thread = hung(server)
        capture.close()
        assert thread.is_alive(), "the read goes on until its time-out of 5 s, and close() did not wait for it"
        assert capture.status == "closed"
        capture.close()
        thread.join(timeout=30)
        assert not thread.is_alive(), "the thread ends by itself"


def test_close_ends_a_read_of_motion_jpeg_that_hangs() -> None:
    with MjpegServer([coloured(1)], fps=50) as server:
        capture, thread = hung(server)
        capture.close()
        thread.join(timeout=2)
        assert not thread.is_alive()


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
