"""A camera mounted on its side, upside down or behind a mirror gives upright pictures."""

from argparse import ArgumentParser
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.cameras import picamera
from edge.cameras.choose import open_camera
from edge.cameras.mounting import turn
from edge.cameras.picamera import PiCamera
from edge.config import CameraSettings
from edge.config.load import add_flags, load
from edge.errors import EmotionEdgeError
from edge.reading import Image

CORNERS = np.zeros((64, 96, 3), np.uint8)
"""Picture whose corners are red, green, blue and white, clockwise from the top left."""
CORNERS[:32, :48], CORNERS[:32, 48:], CORNERS[32:, 48:], CORNERS[32:, :48] = (
    (0, 0, 255),
    (0, 255, 0),
    (255, 0, 0),
    (255, 255, 255),
)
NAMES: dict[tuple[int, ...], str] = {(0, 0, 255): "R", (0, 255, 0): "G", (255, 0, 0): "B", (255, 255, 255): "W"}


def corners(image: Image) -> str:
    """Return the colours of the corners, clockwise from the top left."""
    at = image[8, 8], image[8, -8], image[-8, -8], image[-8, 8]
    return "".join(NAMES[tuple(int(value > 128) * 255 for value in pixel)] for pixel in at)


@pytest.mark.parametrize(
    ("rotate", "flip", "seen"),
    [("0", True, "GRWB"), ("90", False, "WRGB"), ("180", False, "BWRG"), ("270", False, "GBWR"), ("90", True, "RWBG")],
)
def test_the_picture_is_rotated_clockwise_then_mirrored(rotate: Any, flip: bool, seen: str, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "corners.png"), CORNERS)
    settings = CameraSettings(source=str(tmp_path / "corners.png"), rotate=rotate, flip=flip, fps=100)
    camera = open_camera(settings)
    for _ in range(2):
        taken = camera.read()
        assert taken is not None
        assert corners(taken.image) == seen
        assert taken.image.shape == ((96, 64, 3) if rotate in ("90", "270") else (64, 96, 3))
        taken.image[:] = 0
    camera.close()
    assert camera.read() is None


def loaded(*flags: str) -> CameraSettings:
    parser = ArgumentParser()
    add_flags(parser)
    return load(parser.parse_args(flags)).camera


def test_rotate_is_read_as_a_number_and_as_text(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("camera: {rotate: 90, flip: true}\n")
    from_file = loaded("--config", str(tmp_path / "config.yaml"))
    assert (from_file.rotate, from_file.flip) == ("90", True)
    assert loaded("--camera.rotate", "270").rotate == "270"
    with pytest.raises(EmotionEdgeError, match="rotate"):
        loaded("--camera.rotate", "45")


@dataclass(frozen=True)
class FakeTransform:
    hflip: bool = False
    vflip: bool = False


class FakePicamera2:
    """Imitates picamera2: a sensor with or without flip, and a small stream beside the large one."""

    can_flip = True

    camera_controls: tuple[str, ...] = ()

    @staticmethod
    def global_camera_info() -> list[dict[str, str]]:
        return [{"Model": "imx708"}]

    def create_video_configuration(self, **configuration: Any) -> dict[str, Any]:
        return configuration

    def configure(self, configuration: dict[str, Any]) -> None:
        self.configuration = {"transform": FakeTransform()} | configuration
        if not self.can_flip:
            self.configuration["transform"] = FakeTransform()

    def camera_configuration(self) -> dict[str, Any]:
        return self.configuration

    def start(self) -> None: ...

    def close(self) -> None: ...

    def release(self) -> None: ...

    def capture_request(self, wait: float) -> "FakePicamera2":
        assert wait > 0
        return self

    def get_metadata(self) -> dict[str, int]:
        return {}

    def make_array(self, stream: str) -> Image:
        size = self.configuration[stream]["size"]
        image = cv2.resize(CORNERS, size, interpolation=cv2.INTER_NEAREST)
        transform = self.configuration["transform"]
        image = image[:, ::-1] if transform.hflip else image
        image = np.ascontiguousarray(image[::-1] if transform.vflip else image)
        return np.asarray(image if stream == "main" else cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420), np.uint8)


@pytest.mark.parametrize("can_flip", [True, False])
@pytest.mark.parametrize("rotate", ["0", "90", "180", "270"])
@pytest.mark.parametrize("flip", [True, False])
def test_picamera2_turns_in_the_sensor_where_it_can(
    rotate: Any, flip: bool, can_flip: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakePicamera2, "can_flip", can_flip)
    monkeypatch.setattr(picamera, "Picamera2", FakePicamera2)
    monkeypatch.setattr(picamera, "Transform", FakeTransform)
    camera = open_camera(CameraSettings(source="picamera2", rotate=rotate, flip=flip))
    taken = camera.read()
    assert taken is not None
    assert taken.analysis is not None
    expected = corners(turn(CORNERS, int(rotate), flip))
    assert (corners(taken.image), corners(taken.analysis)) == (expected, expected)
    in_sensor = isinstance(camera, PiCamera) and camera.turned
    assert in_sensor == (can_flip and (rotate == "180" or (rotate == "0" and flip)))
