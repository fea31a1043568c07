"""Detection of a camera that is not mounted upright, in the log and by the doctor."""

import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.cameras.mounting import turn
from edge.commands import doctor
from edge.config import CameraSettings, DetectorSettings, Settings
from edge.faces.detector import Detector, open_detector
from edge.faces.orientation import advice, rotation_needed
from edge.models.runtime import choose
from edge.pipeline import open_pipeline
from edge.reading import Frame, Image


@pytest.fixture(scope="module")
def detector() -> Detector:
    return open_detector(DetectorSettings(), choose(), 1)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_the_rotation_that_is_needed_is_found(detector: Detector, astronaut: Image, degrees: int) -> None:
    assert rotation_needed(detector, turn(astronaut, (360 - degrees) % 360)) == degrees


def test_without_a_face_nothing_is_said(detector: Detector, astronaut: Image) -> None:
    assert rotation_needed(detector, np.zeros_like(astronaut)) is None
    assert rotation_needed(detector, astronaut[300:]) is None


@pytest.mark.parametrize("rotate", ["0", "90", "180", "270"])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("needed", [90, 180, 270])
def test_the_advice_makes_the_picture_upright(rotate: Any, flip: bool, needed: int, astronaut: Image) -> None:
    """The advice is right for every present setting of rotation and flip."""
    text = advice(needed, CameraSettings(rotate=rotate, flip=flip))
    corrected = turn(astronaut, int(text.rpartition(" ")[2]), flip)
    assert np.array_equal(corrected, turn(turn(astronaut, int(rotate), flip), needed))


@pytest.mark.parametrize(
    ("degrees", "words"), [(90, "set camera.rotate: 270"), (180, "set camera.rotate: 180"), (0, "")]
)
def test_the_log_says_it_once_after_some_time(
    degrees: int, words: str, astronaut: Image, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = open_pipeline(Settings(), choose())
    image = turn(astronaut, degrees)
    for second in range(0, 60, 5):
        pipeline.analyse(Frame(image, float(second), 0.0, second))
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == bool(words)
    assert not words or words in warnings[0]


def test_the_doctor_says_it(tmp_path: Path, astronaut: Image, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(tmp_path / "side.png"), turn(astronaut, 90))
    camera = {"source": str(tmp_path / "side.png"), "fps": 100}
    doctor.report(Settings.model_validate({"camera": camera}))
    assert "the camera lies on its side" in capsys.readouterr().out
    doctor.report(Settings.model_validate({"camera": camera | {"rotate": "270"}}))
    assert "lies on its side" not in capsys.readouterr().out
