"""From a frame to a Reading, on a real picture."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge.config import Settings
from edge.faces.tracker import CONFIRM
from edge.labels import UNCERTAIN
from edge.pipeline import Pipeline, open_pipeline
from edge.reading import Frame, Image
from edge.runtime import choose


def pipeline(confirm: int = 1) -> Pipeline:
    return open_pipeline(Settings(), choose(), confirm)


def test_a_smiling_astronaut_is_happy(astronaut: Image) -> None:
    reading = pipeline().analyse(Frame(astronaut, 1.0, 2.0, 7))
    (face,) = reading.faces
    assert (reading.sequence, reading.captured_at, reading.wall_time) == (7, 1.0, 2.0)
    assert (reading.width, reading.height) == (512, 512)
    assert face.emotion == "happy"
    assert face.confidence == max(face.scores.values()) > 0.5
    assert sum(face.scores.values()) == pytest.approx(1, abs=1e-4)
    assert face.valence > 0.3
    assert set(reading.stages) == {"follow", "detect", "track", "classify", "smooth"}
    assert reading.leader == face


def test_a_stream_confirms_a_face_and_keeps_its_id(astronaut: Image) -> None:
    followed = pipeline(CONFIRM)
    readings = [followed.analyse(Frame(astronaut, n / 20, n / 20, n)) for n in range(5)]
    assert [[face.track for face in reading.faces] for reading in readings] == [[], [1], [1], [1], [1]]


def test_a_face_that_left_lingers_and_goes(astronaut: Image) -> None:
    followed = pipeline()
    blank = np.zeros_like(astronaut)
    first = followed.analyse(Frame(astronaut, 0.0, 0.0, 0)).faces
    lingering = followed.analyse(Frame(blank, 0.3, 0.3, 1)).faces
    assert lingering == first
    gone = followed.analyse(Frame(blank, 2.0, 2.0, 2))
    assert gone.faces == ()
    assert gone.leader is None


def test_the_cameras_small_picture_gives_the_same_boxes(astronaut: Image) -> None:
    frame = Frame(astronaut, 0.0, 0.0, 0)
    small = np.asarray(cv2.resize(astronaut, (256, 256), interpolation=cv2.INTER_AREA), np.uint8)
    (whole,) = pipeline().analyse(frame).faces
    (from_small,) = pipeline().analyse(replace(frame, analysis=small)).faces
    assert whole.detection.box.iou(from_small.detection.box) > 0.85
    assert from_small.emotion == whole.emotion
    landmarks = from_small.detection.landmarks
    assert landmarks is not None
    assert whole.detection.landmarks is not None
    assert np.abs(landmarks - whole.detection.landmarks).max() < 8


def test_below_the_threshold_the_emotion_is_uncertain(astronaut: Image) -> None:
    settings = Settings.model_validate({"emotion": {"uncertain_below": 1.0}})
    (face,) = open_pipeline(settings, choose(), 1).analyse(Frame(astronaut, 0.0, 0.0, 0)).faces
    assert face.emotion == UNCERTAIN
    assert max(face.scores, key=lambda label: face.scores[label]) == "happy"
