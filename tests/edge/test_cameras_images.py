"""Image files are recognised by their contents, and the images of a folder are analysed independently."""

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.cameras.capture import Capture
from edge.cameras.choose import open_camera
from edge.config import CameraSettings, Settings
from edge.errors import EmotionEdgeError
from edge.models.runtime import choose
from edge.pipeline import open_pipeline
from edge.reading import Image, Reading
from tests.support.images import encoded, with_orientation
from tests.support.pictures import colour_of, coloured, write_folder

FIELD = Path(__file__).resolve().parents[3] / "shared" / "field" / "images"
HEIC = b"\0\0\0\x1cftypheic\0\0\0\0mif1heic" + bytes(100)


@pytest.mark.parametrize("name", ["a.jpg", "a.jfif", "a.jpe", "a.JPEG", "a.png", "a.webp", "a.txt", "a"])
def test_a_picture_is_opened_and_turned_by_its_contents_whatever_its_name(name: str, tmp_path: Path) -> None:
    suffix = {".png": ".png", ".webp": ".webp"}.get(Path(name).suffix, ".jpg")
    sideways = np.asarray(cv2.rotate(coloured(1), cv2.ROTATE_90_COUNTERCLOCKWISE), np.uint8)
    (tmp_path / name).write_bytes(with_orientation(encoded(sideways, suffix), 6))
    for source in (tmp_path / name, tmp_path):
        camera = open_camera(CameraSettings(source=str(source), loop=False, fps=100))
        taken = camera.read()
        camera.close()
        assert taken is not None
        assert colour_of(taken.image) == 1


def test_heic_is_refused_with_what_to_do(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("photo.heic", "photo.jpg", "photo"):
        (tmp_path / name).write_bytes(HEIC)
        with pytest.raises(EmotionEdgeError, match=r"HEIC and AVIF images are not read .*save it as JPEG"):
            open_camera(CameraSettings(source=str(tmp_path / name)))
    folder = write_folder(tmp_path / "many", 2)
    (folder / "photo.heic").write_bytes(HEIC)
    camera = open_camera(CameraSettings(source=str(folder), loop=False, fps=100))
    assert len(list(iter(camera.read, None))) == 2
    assert "photo.heic: HEIC" in caplog.text


@pytest.mark.parametrize("name", ["exif6.jpg", "exif6.jfif", "exif6.jpe", "exif6"])
def test_field_pictures_are_upright(name: str) -> None:
    if not (FIELD / name).is_file():
        pytest.skip(f"{name} is not here (looked for beside the project, in ../shared/field/images)")
    taken = open_camera(CameraSettings(source=str(FIELD / name))).read()
    assert taken is not None
    pipeline = open_pipeline(Settings(), choose(), confirm=1)
    with Capture(CameraSettings(source=str(FIELD / name))) as capture:
        frame = capture.newest(20)
        assert frame is not None
        assert pipeline.analyse(frame).faces, "faces are found when they are upright"


def test_a_folder_of_large_and_broken_pictures_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_folder(tmp_path / "many", 2)
    for name in ("huge1bit.png", "limit_passed_200mp.jpg", "chunk_length_4g.png", "scans_3000.jpg", "grid.heic"):
        if not (FIELD / name).is_file():
            pytest.skip(f"{name} is not here (looked for beside the project, in ../shared/field/images)")
        (folder / f"1{name}").write_bytes((FIELD / name).read_bytes())
    with Capture(CameraSettings(source=str(folder), realtime=False)) as capture:
        shown: list[int] = []
        while len(shown) < 4:
            frame = capture.newest(30)
            assert frame is not None, capture.status
            shown.append(colour_of(frame.image))
    assert shown == [0, 1, 0, 1]
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 5, "each is named once"


def test_each_picture_of_a_folder_gets_a_reading_of_its_own(tmp_path: Path, astronaut: Image) -> None:
    folder = tmp_path / "stack"
    folder.mkdir()
    images = [astronaut, astronaut[:, ::-1].copy(), np.zeros_like(astronaut), astronaut]
    for number, image in enumerate(images):
        cv2.imwrite(str(folder / f"{number}.png"), image)
    settings = Settings(camera=CameraSettings(source=str(folder), loop=False, realtime=False))
    pipeline = open_pipeline(settings, choose())
    readings: list[Reading] = []
    with Capture(settings.camera) as capture:
        while not capture.ended:
            if frame := capture.newest(20):
                readings.append(pipeline.analyse(frame))
    assert [[face.track for face in reading.faces] for reading in readings] == [[1], [2], [], [3]]
    alone = open_pipeline(Settings(), choose(), confirm=1)
    for reading, image in zip(readings, images, strict=True):
        path = tmp_path / "one.png"
        cv2.imwrite(str(path), image)
        with Capture(CameraSettings(source=str(path), loop=False, realtime=False)) as capture:
            frame = capture.newest(20)
        assert frame is not None
        alone = open_pipeline(Settings(), choose(), confirm=1)
        assert [face.scores for face in alone.analyse(frame).faces] == [face.scores for face in reading.faces]


def test_one_picture_shown_over_and_over_keeps_the_ids_of_its_faces(tmp_path: Path, astronaut: Image) -> None:
    cv2.imwrite(str(tmp_path / "one.png"), astronaut)
    settings = Settings(camera=CameraSettings(source=str(tmp_path / "one.png"), realtime=False))
    pipeline = open_pipeline(settings, choose())
    with Capture(settings.camera) as capture:
        for _ in range(3):
            frame = capture.newest(20)
            assert frame is not None
            assert [face.track for face in pipeline.analyse(frame).faces] == [1]
