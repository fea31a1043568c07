"""The Python interface, used as docs/python.md says."""

import json
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

import edge
from edge import Analyser, EmotionEdgeError, Reading, draw
from edge.media import CLIP
from edge.reading import Image
from tests.edge.test_messages import validator


@pytest.fixture(scope="module")
def analyser() -> Iterator[Analyser]:
    with Analyser(model="emotion-small") as opened:
        yield opened


def clip_frames(count: int) -> Iterator[Image]:
    video = cv2.VideoCapture(str(CLIP))
    for _ in range(count):
        yield np.asarray(video.read()[1], np.uint8)


def test_a_portrait_gives_one_happy_face_where_it_is(analyser: Analyser, astronaut: Image) -> None:
    reading = analyser.read(astronaut)
    (face,) = reading.faces
    assert face.emotion == "happy"
    assert set(face.scores) == set(analyser.labels)
    box = face.detection.box  # the face's centre is near x 224, y 120 of 512 x 512
    assert box.x < 224 < box.x + box.width
    assert box.y < 120 < box.y + box.height
    validator("faces").validate(json.loads(json.dumps(reading.to_dict())))


def test_pictures_have_nothing_to_do_with_each_other(analyser: Analyser, astronaut: Image) -> None:
    alone = analyser.read(astronaut).faces[0]
    grey = cv2.cvtColor(astronaut, cv2.COLOR_BGR2GRAY)
    empty, again, in_grey = analyser.read_all([np.zeros_like(astronaut), astronaut, np.asarray(grey, np.uint8)])
    assert empty.faces == ()
    assert again.faces[0].scores == alone.scores
    assert again.faces[0].track == alone.track
    assert in_grey.faces[0].emotion == "happy"


def test_faces_of_a_video_keep_their_ids(analyser: Analyser) -> None:
    readings = [reading for _, reading in analyser.follow(clip_frames(40), fps=20)]
    assert len(readings) == 40
    assert readings[-1].captured_at - readings[0].captured_at == pytest.approx(39 / 20)
    ids = [tuple(face.track for face in reading.faces) for reading in readings[20:]]
    assert ids[0]
    assert set(ids) == {ids[0]}


def test_what_is_drawn_is_another_picture(analyser: Analyser, astronaut: Image) -> None:
    before = astronaut.copy()
    drawn = draw(astronaut, analyser.read(astronaut))
    assert drawn.shape == astronaut.shape
    assert (drawn != astronaut).any()
    assert (before == astronaut).all()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((9, 9, 3), np.float32), r"not float32 \[9, 9, 3\]"),
        (np.zeros((9, 9, 4), np.uint8), "4 channels"),
        (np.zeros((0, 9, 3), np.uint8), r"uint8 \[0, 9, 3\]"),
        (None, "not NoneType"),  # what cv2.imread gives for a file that is not there
    ],
)
def test_what_is_no_picture_is_refused(analyser: Analyser, image: Image, message: str) -> None:
    with pytest.raises(EmotionEdgeError, match=message):
        analyser.read(image)


def test_a_rate_of_nothing_and_a_closed_analyser_are_refused(analyser: Analyser, astronaut: Image) -> None:
    with pytest.raises(EmotionEdgeError, match="fps 0"):
        next(analyser.follow([astronaut], fps=0))
    with Analyser() as closed:
        pass
    with pytest.raises(EmotionEdgeError, match="closed"):
        closed.read(astronaut)


def test_a_model_that_is_not_there_is_named() -> None:
    with pytest.raises(EmotionEdgeError, match=r"model 'nobody'.*emotion-small"):
        Analyser(model="nobody")


def test_the_public_names_are_there() -> None:
    assert all(getattr(edge, name) is not None for name in edge.__all__)
    assert edge.Reading is Reading
    with pytest.raises(AttributeError, match="Analyzer"):
        edge.Analyzer  # noqa: B018
