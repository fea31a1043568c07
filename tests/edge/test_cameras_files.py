"""Pictures, folders and videos as cameras."""

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.cameras.capture import Capture
from edge.cameras.choose import open_camera
from edge.config import CameraSettings
from edge.errors import EmotionEdgeError
from tests.support.pictures import colour_of, coloured, frames_of, write_folder, write_video


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
        cv2.imwrite(str(path), coloured(0))
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
        ("text.mp4", "video .*text.mp4: cannot be decoded .not a video"),
        ("nothing.mp4", "video .*nothing.mp4: cannot be decoded .the file is empty"),
        ("text.png", "image .*text.png: this is no image that can be read"),
        ("empty", "folder .*empty: has no picture"),
        ("damaged", "folder .*damaged: none of its pictures can be decoded"),
    ],
)
def test_a_file_that_is_no_picture_is_a_clear_error(name: str, said: str, tmp_path: Path) -> None:
    for text in ("text.mp4", "text.png"):
        (tmp_path / text).write_text("no picture")
    (tmp_path / "nothing.mp4").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "one.jpg").write_text("no picture")
    with pytest.raises(EmotionEdgeError, match=said):
        open_camera(CameraSettings(source=f"{tmp_path}/{name}"))
