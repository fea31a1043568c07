"""Video files as phones, cameras and editors write them."""

import itertools
import logging
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.cameras.camera import Picture
from edge.cameras.capture import Capture
from edge.cameras.choose import open_camera
from edge.commands.snapshot import snapshot
from edge.config import CameraSettings, Settings
from edge.errors import EmotionEdgeError
from tests.support.images import encoded
from tests.support.pictures import HEIGHT, WIDTH, colour_of, frames_of, write_video

FIELD = Path(__file__).resolve().parents[3] / "shared" / "field" / "videos"
MEDIA = Path(__file__).parents[1] / "media"


def field(name: str) -> Path:
    if not (FIELD / name).is_file():
        pytest.skip(f"{name} is not here (looked for beside the project, in ../shared/field/videos)")
    return FIELD / name


def all_of(path: Path) -> list[Picture]:
    camera = open_camera(CameraSettings(source=str(path), loop=False, realtime=False))
    taken = list(iter(camera.read, None))
    camera.close()
    return taken


def damage_frame(path: Path, number: int) -> None:
    """Overwrite the compressed data of one frame of an MJPEG AVI, counted from 0."""
    data = bytearray(path.read_bytes())
    at = data.index(b"movi")
    for _ in range(number + 1):
        at = data.index(b"00dc", at) + 4
    length = int.from_bytes(data[at : at + 4], "little")
    data[at + 4 : at + 4 + length] = b"\x55" * length
    path.write_bytes(data)


@pytest.mark.parametrize("bad", [(0,), (2,), (5,), (1, 2, 3), (0, 2, 4)])
def test_frames_that_cannot_be_decoded_are_passed_over_and_counted(
    bad: tuple[int, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_video(tmp_path / "video.avi", 6, 25)
    for number in bad:
        damage_frame(path, number)
    good = [number for number in range(6) if number not in bad]
    assert [colour_of(taken.image) for taken in all_of(path)] == good
    with Capture(CameraSettings(source=str(path), realtime=False)) as capture:
        assert [colour_of(frame.image) for frame in frames_of(capture, 2 * len(good))] == 2 * good
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert all(f"video {path}: " in line and "could not be decoded" in line for line in warnings)
    assert len(warnings) <= 2, "one line for each camera that was opened"


def test_a_bad_frame_in_the_middle_of_a_file_is_no_end() -> None:
    taken = all_of(field("onebad.avi"))
    assert len(taken) == 29
    steps = [after - before for before, after in itertools.pairwise(at(taken))]
    assert sum(steps) == pytest.approx(2.9, abs=0.01)
    assert sorted(steps)[-2:] == pytest.approx([0.1, 0.2], abs=0.01)


def at(taken: list[Picture]) -> list[float]:
    return [picture.position or 0.0 for picture in taken]


def test_a_phone_video_is_upright_before_and_after_it_begins_again() -> None:
    with Capture(CameraSettings(source=str(field("rot90.mp4")), realtime=False)) as capture:
        images = [frame.image for frame in frames_of(capture, 51)]
    upright = all_of(field("vfr.mp4"))[0].image  # the same clip, not turned
    assert {image.shape for image in images} == {(480, 640, 3)}
    for image in (images[0], images[50]):
        assert np.abs(image.astype(int) - upright).mean() < 10


def test_a_variable_frame_rate_is_kept() -> None:
    positions = at(all_of(field("vfr.mp4")))
    assert positions[:5] == pytest.approx([0, 1, 2, 3, 4])
    assert np.diff(positions[4:]) == pytest.approx(np.full(len(positions) - 5, 1 / 30), abs=0.001)


@pytest.mark.parametrize(("name", "shape"), [("narrow", (2 * HEIGHT, WIDTH, 3)), ("wide", (HEIGHT, 2 * WIDTH, 3))])
def test_pixels_that_are_not_square_are_made_so(name: str, shape: tuple[int, ...]) -> None:
    taken = all_of(MEDIA / f"pixels_{name}.mp4")
    assert {picture.image.shape for picture in taken} == {shape}
    assert [colour_of(picture.image) for picture in taken] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "name", ["10:30.avi", "http:x.avi", "naïve ☺.avi", "100%.avi", "a?b#c.avi", os.fsdecode(b"\xff\xe9.avi")]
)
def test_any_file_name_opens(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = write_video(tmp_path / "video.avi", 6, 25)
    written.rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for source in (str(tmp_path / name), name):
        with Capture(CameraSettings(source=source, realtime=False)) as capture:
            assert [colour_of(frame.image) for frame in frames_of(capture, 7)] == [0, 1, 2, 3, 4, 5, 0]


@pytest.mark.parametrize("name", ["raw.mjpeg", "RAW.MJPG"])
def test_jpeg_images_one_after_another_are_a_video(name: str, tmp_path: Path) -> None:
    """As `rpicam-vid --codec mjpeg` writes them."""
    pictures = [encoded(picture.image) for picture in all_of(write_video(tmp_path / "video.avi", 6, 25))]
    (tmp_path / name).write_bytes(b"".join(pictures))
    assert [colour_of(picture.image) for picture in all_of(tmp_path / name)] == [0, 1, 2, 3, 4, 5]


def test_a_video_file_leaves_no_handle_open(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.avi", 3, 25)
    all_of(path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        all_of(path)
    (tmp_path / "text.avi").write_text("no video")
    with pytest.raises(Exception, match="cannot be decoded"):
        all_of(tmp_path / "text.avi")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_snapshot_is_written_under_any_name(tmp_path: Path) -> None:
    out = tmp_path / os.fsdecode(b"\xff\xe9.jpg")
    settings = Settings(camera=CameraSettings(source=str(write_video(tmp_path / "video.avi", 6, 25))))
    snapshot(settings, None, out)
    image = cv2.imdecode(np.frombuffer(out.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    with pytest.raises(EmotionEdgeError, match=r"name ending in \.jpg or \.png"):
        snapshot(settings, None, tmp_path / "out")
    with pytest.raises(EmotionEdgeError, match="is the folder there"):
        snapshot(settings, None, tmp_path / "none" / "out.png")
