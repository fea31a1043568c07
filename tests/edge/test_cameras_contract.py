"""Every kind of camera against every quirk that it can have: one table for all of them, with real files and servers."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import cv2
import pytest

from edge.cameras import v4l2
from edge.cameras.camera import Camera, Picture
from edge.cameras.capture import Capture
from edge.cameras.choose import open_camera
from edge.cameras.mounting import turn
from edge.cameras.opencv import VideoReader
from edge.config import CameraSettings
from edge.errors import EmotionEdgeError
from tests.support.daemon import wait_until
from tests.support.mjpeg import encode
from tests.support.pictures import colour_of, coloured, write_video
from tests.support.raw_http import MULTIPART, RawServer, head, part
from tests.support.rtsp import RtspServer

JPEGS: Final = [encode(coloured(number)) for number in range(6)]
GARBAGE: Final = b"\x55" * 500
CUT_OFF: Final = JPEGS[0][: len(JPEGS[0]) // 2]
WEB_PAGE: Final = b"<html>503 busy</html>" * 20

Shown = Sequence[int | bytes]
"""Pictures that a camera gives in turn: the number of a colour, or the bytes of a damaged picture."""

QUIRKS: Final[dict[str, Shown]] = {
    "none": [0, 1, 2, 3, 4],
    "first picture damaged": [GARBAGE, 1, 2, 3, 4],
    "first three damaged": [GARBAGE, CUT_OFF, GARBAGE, 3, 4, 5],
    "every second damaged": [0, GARBAGE, 1, GARBAGE, 2, GARBAGE, 3],
    "some in a row damaged": [0, 1, GARBAGE, GARBAGE, CUT_OFF, 2, 3],
    "text instead of a picture": [0, WEB_PAGE, 1, 2, 3],
    "one colour twice": [0, 0, 1, 1, 2],
}

KINDS: Final = ("folder", "video", "v4l2", "mjpeg", "mjpeg without lengths", "still", "rtsp")
"""Kinds of camera under test. v4l2: its reader on a file instead of a device; test_cameras.py has real devices."""

ENDLESS: Final = ("still", "rtsp")
UNCOUNTED: Final = ("rtsp", "mjpeg without lengths")
"""Kinds that do not count damaged pictures, as lost packets and stray bytes are not known to be pictures."""


def write_damaged(path: Path, shown: Shown) -> Path:
    """Write a video of motion JPEG in which the data of some frames is damaged."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 50, (96, 64))
    for item in shown:
        writer.write(coloured(item if isinstance(item, int) else 5))
    writer.release()
    data, at = bytearray(path.read_bytes()), 0
    at = data.index(b"movi")
    for item in shown:
        at = data.index(b"00dc", at) + 4
        length = int.from_bytes(data[at : at + 4], "little")
        if isinstance(item, bytes):
            data[at + 4 : at + 4 + length] = item[:length].ljust(length, b"\0")
    path.write_bytes(data)
    return path


@contextmanager
def camera_that_shows(
    kind: str, shown: Shown, folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: object
) -> Iterator[Camera]:
    """Context manager: an open camera of this kind that shows `shown` once; stills and RTSP repeat it."""
    files = [JPEGS[item] if isinstance(item, int) else item for item in shown]
    with settings_for(kind, shown, files, folder, monkeypatch) as source:
        camera = open_camera(CameraSettings.model_validate({"source": source, "loop": False, "fps": 100, **settings}))
        yield camera
        camera.close()


@contextmanager
def settings_for(
    kind: str, shown: Shown, files: list[bytes], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    match kind:
        case "folder":
            for number, data in enumerate(files):
                (folder / f"{number}.jpg").write_bytes(data)
            yield str(folder)
        case "video":
            yield str(write_damaged(folder / "video.avi", shown))
        case "v4l2":
            device = Path("/dev") / "video99"
            path = write_damaged(folder / "video.avi", [1, *shown])  # the first picture is read to try the device
            monkeypatch.setattr(v4l2, "device_problem", lambda _: "")
            monkeypatch.setattr(v4l2, "VideoReader", lambda _, __, bad: VideoReader(str(path), cv2.CAP_FFMPEG, bad))
            yield str(device)
        case "mjpeg" | "mjpeg without lengths":
            length = -1 if kind == "mjpeg" else None
            # A final boundary: without lengths, only a boundary marks the end of a picture.
            pieces = [MULTIPART, *(part(data, length) for data in files), part(b"", 0)]
            with RawServer(lambda _: pieces) as server:
                yield server.url
        case "still":
            answers = itertools.cycle(files)
            with RawServer(lambda _: [head("image/jpeg"), next(answers)]) as server:
                yield server.url
        case "rtsp":
            images = [coloured(item) if isinstance(item, int) else None for item in shown]
            with RtspServer(images, fps=50) as stream:
                yield stream.url
        case unknown:
            pytest.fail(f"no source for the kind {unknown}")


def taken_from(camera: Camera, count: int) -> list[Picture]:
    pictures = []
    for _ in range(count):
        picture = camera.read()
        assert picture is not None
        pictures.append(picture)
    return pictures


@pytest.mark.parametrize("quirk", QUIRKS)
@pytest.mark.parametrize("kind", KINDS)
def test_good_pictures_come_in_order_and_damaged_ones_are_counted(
    kind: str, quirk: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = QUIRKS[quirk]
    good = [item for item in shown if isinstance(item, int)]
    with camera_that_shows(kind, shown, tmp_path, monkeypatch) as camera:
        pictures = taken_from(camera, len(good))
        assert [colour_of(picture.image) for picture in pictures] == good
        bad = sum(picture.bad for picture in pictures)
        assert bad <= len(shown) - len(good)
        if kind not in UNCOUNTED:
            assert bad == len(shown) - len(good)
        if kind in ENDLESS:
            assert colour_of(taken_from(camera, 1)[0].image) == good[0]
        elif kind in ("folder", "video"):
            assert camera.read() is None
        else:
            with pytest.raises(EmotionEdgeError, match=r"ended|gives no picture any more"):
                camera.read()


@pytest.mark.parametrize("kind", KINDS)
def test_a_camera_upside_down_is_turned(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with camera_that_shows(kind, QUIRKS["none"], tmp_path, monkeypatch, rotate=180) as camera:
        for picture, colour in zip(taken_from(camera, 3), (0, 1, 2), strict=True):
            assert colour_of(turn(picture.image, 180)) == colour


@pytest.mark.parametrize("kind", KINDS)
def test_a_closed_camera_is_at_its_end(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with camera_that_shows(kind, QUIRKS["none"], tmp_path, monkeypatch) as camera:
        taken_from(camera, 1)
        camera.close()
        assert camera.read() is None


def test_the_capture_counts_damaged_pictures_since_its_start(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.avi", 5, 50)
    write_damaged(path, QUIRKS["every second damaged"])
    with Capture(CameraSettings(source=str(path), realtime=False)) as capture:
        wait_until(lambda: capture.newest(1) is not None and capture.bad >= 5, "the second time through the file")
        assert capture.captured >= 5
