"""The pipeline from a Frame to a Reading, on real pictures."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.config import Settings
from edge.emotion.classifier import open_classifier
from edge.emotion.scores import Scores
from edge.faces.cadence import MAX_GAP
from edge.faces.crop import Pixels
from edge.faces.detector import open_detector
from edge.faces.tracker import CONFIRM
from edge.labels import UNCERTAIN
from edge.media import CLIP
from edge.models.runtime import choose
from edge.pipeline import Pipeline, open_pipeline
from edge.reading import Box, Detection, Face, Frame, Image
from tests.support.moving import At, Head, backdrop, compose, frames, heads


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
    assert face.valence is not None
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


def test_confidence_is_that_of_the_published_emotion_while_hysteresis_holds_it(astronaut: Image) -> None:
    settings = Settings.model_validate({"emotion": {"hysteresis": 1.0, "smoothing": 0, "uncertain_below": 0.0}})
    classifier = open_classifier(settings.emotion, choose(), 1)
    happy, sad = classifier.labels.index("happy"), classifier.labels.index("sad")
    turn = iter([(0.8, 0.2), (0.3, 0.7)])

    class Turning:
        card, labels, server = classifier.card, classifier.labels, None

        def __call__(self, image: Image, faces: Sequence[Detection | Box]) -> Scores:  # noqa: ARG002
            return self.classify(np.zeros((len(faces), 1, 1, 1), np.uint8))

        def classify(self, crops: Pixels) -> Scores:
            probabilities = np.zeros((len(crops), len(self.labels)), np.float32)
            probabilities[:, [happy, sad]] = next(turn)
            return Scores(probabilities, np.zeros((len(crops), 2), np.float32), [{}] * len(crops))

    pipeline = Pipeline(open_detector(settings.detector, choose(), 1), Turning(), settings, confirm=1, still=True)
    seen = [pipeline.analyse(Frame(astronaut, float(n), float(n), n)).faces[0] for n in range(2)]
    assert [(face.emotion, round(face.confidence, 3)) for face in seen] == [("happy", 0.8), ("happy", 0.3)]
    assert seen[1].confidence == seen[1].scores["happy"]


@pytest.fixture(scope="module")
def cast() -> list[Head]:
    return heads()


def tuned(**detector: object) -> Pipeline:
    return open_pipeline(Settings.model_validate({"detector": detector}), choose())


def ids(pipeline: Pipeline, clip: Iterator[tuple[Frame, list[Box]]]) -> list[tuple[int, ...]]:
    """Return, for each frame, the track id at each face's true place; 0 if there is none."""
    rows = []
    for frame, boxes in clip:
        faces = pipeline.analyse(frame).faces
        places = [max(faces, key=lambda face: face.detection.box.iou(box), default=None) for box in boxes]
        pairs = zip(places, boxes, strict=True)
        rows.append(tuple(face.track if face and face.detection.box.iou(box) > 0.4 else 0 for face, box in pairs))
    return rows


@pytest.mark.parametrize("every", [1, 5])
def test_an_id_outlives_a_second_behind_something(cast: list[Head], every: int) -> None:
    def still(time: float) -> tuple[list[At], Box | None]:
        return [At(cast[0], 200 + 30 * time, 240)], Box(0, 120, 640, 240) if 1 <= time < 2 else None

    def walking(time: float) -> tuple[list[At], Box | None]:
        return [At(cast[1], 80 + 110 * time, 240)], Box(260, 0, 150, 480)

    for scene, seconds in ((still, 3.0), (walking, 4.5)):
        seen = [row[0] for row in ids(tuned(every=every), frames(seconds, scene))]
        assert set(seen[2:20]) == set(seen[-12:]) == {1}
        assert set(seen) == {0, 1}


@pytest.mark.parametrize("every", [1, 5])
@pytest.mark.parametrize("apart", [0, 40])
def test_two_faces_that_cross_keep_their_ids(cast: list[Head], every: int, apart: int) -> None:
    def crossing(time: float) -> tuple[list[At], Box | None]:
        return [At(cast[0], 120 + 100 * time, 240), At(cast[1], 520 - 100 * time, 240 + apart)], None

    seen = ids(tuned(every=every), frames(4, crossing))
    assert sorted(seen[10]) == [1, 2]
    assert seen[10] == seen[25] == seen[-15] == seen[-1]


def walks(cast: list[Head], seconds: float) -> Iterator[tuple[Frame, list[Box]]]:
    return frames(seconds, lambda time: ([At(cast[0], 150 + 90 * time, 240, 90 + 10 * time)], None))


def test_between_detections_the_box_stays_on_the_face(cast: list[Head]) -> None:
    seen = tuned(every=5, size="320")
    looked = []
    for frame, (box,) in walks(cast, 2.5):
        reading = seen.analyse(frame)
        looked.append("detect" in reading.stages)
        if frame.sequence:
            (face,) = reading.faces
            assert face.detection.box.iou(box) > 0.75
            assert face.detection.landmarks is not None
    # The second detection confirms the face.
    assert [n for n, it in enumerate(looked) if it] == [0, *range(1, len(looked), 5)]


def test_another_scene_is_looked_at_at_once(cast: list[Head]) -> None:
    seen = tuned(every=30)
    here, there = backdrop(seed=3), backdrop(seed=9)
    for number in range(5):
        seen.analyse(Frame(compose(here, [At(cast[0], 150, 240)]), number / 20, 0.0, number))
    other = At(cast[1], 450, 200, 110)
    reading = seen.analyse(Frame(compose(there, [other]), 5 / 20, 0.0, 5))
    assert "detect" in reading.stages
    faces = seen.analyse(Frame(compose(there, [other]), 6 / 20, 0.0, 6)).faces
    assert any(face.detection.box.iou(other.box) > 0.6 for face in faces)


def test_a_stream_that_changes_its_size_is_looked_at_at_once(cast: list[Head]) -> None:
    seen, size = tuned(every=30), (1280, 720)
    image = compose(backdrop(1920, 1080), [At(cast[0], 1650, 900, 225)])
    for number in range(5):
        (*_, face) = seen.analyse(Frame(image, number / 20, 0.0, number)).faces or (None,)
    assert face is not None
    other = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    readings = [seen.analyse(Frame(other, number / 20, 0.0, number)) for number in range(5, 20)]
    assert "detect" in readings[0].stages
    (face,) = readings[-1].faces  # the last one's place in the other picture is forgotten by now
    middle = face.detection.box.x + face.detection.box.width / 2
    assert middle == pytest.approx(1650 * 2 / 3, abs=30)


def test_a_lost_face_is_looked_for_at_once(cast: list[Head]) -> None:
    seen = tuned(every=30)
    for number in range(5):
        seen.analyse(Frame(compose(backdrop(), [At(cast[0], 150, 240)]), number / 20, 0.0, number))
    # Farther than optical flow can follow, but not farther than a face may move.
    moved = At(cast[0], 205, 240)
    reading = seen.analyse(Frame(compose(backdrop(), [moved]), 5 / 20, 0.0, 5))
    (face,) = reading.faces
    assert face.detection.box.iou(moved.box) > 0.7
    assert face.track == 1


@pytest.mark.parametrize(("every", "bound"), [(4, 4), ("auto", round(20 * MAX_GAP))])
@pytest.mark.parametrize("alone", [True, False])
def test_a_new_face_is_found_within_its_bound(cast: list[Head], every: object, bound: int, alone: bool) -> None:
    def arrives(time: float) -> tuple[list[At], Box | None]:
        known = [] if alone else [At(cast[0], 150 + 10 * time, 240)]
        return [*known, *([At(cast[1], 450, 240)] if time >= 1.05 else [])], None

    counts = [len(seen.analyse(frame).faces) for seen in [tuned(every=every)] for frame, _ in frames(2.2, arrives)]
    assert counts.index(1 if alone else 2) <= 21 + bound  # and one more frame to confirm the face
    assert counts[-1] == (1 if alone else 2)


def test_only_faces_in_the_region_of_the_least_size_and_the_largest_count(cast: list[Head]) -> None:
    image = compose(backdrop(), [At(cast[0], 120, 240, 60), At(cast[1], 320, 240, 110), At(cast[0], 530, 240, 85)])

    def middles(**detector: object) -> list[int]:
        settings = Settings.model_validate({"detector": detector})
        faces = open_pipeline(settings, choose(), 1).analyse(Frame(image, 0.0, 0.0, 0)).faces
        return sorted(round((face.detection.box.x + face.detection.box.width / 2) / 10) * 10 for face in faces)

    assert middles() == [120, 320, 530]
    assert middles(region=[0.65, 0.2, 0.35, 0.6]) == [530]
    assert middles(region=[0, 0, 0.75, 1]) == [120, 320]
    assert middles(min_face=75) == [320, 530]
    assert middles(max_faces=2) == [320, 530]


def found(frame: Frame, **detector: object) -> list[Face]:
    settings = Settings.model_validate({"detector": detector})
    return list(open_pipeline(settings, choose(), 1).analyse(frame).faces)


def with_small(image: Image) -> Frame:
    """Make a frame like the Raspberry Pi camera's, with a small picture for the analysis."""
    small = cv2.resize(image, (320, 180), interpolation=cv2.INTER_AREA)
    return Frame(image, 0.0, 0.0, 0, np.asarray(small, np.uint8))


def test_a_larger_network_sees_more_than_the_cameras_small_picture(cast: list[Head]) -> None:
    image = compose(backdrop(1280, 720), [At(cast[0], 1100, 200, 38)])
    frame = with_small(image)
    assert found(frame, size="320") == []
    (face,) = found(frame, size="640")
    (whole,) = found(replace(frame, analysis=None), size="640")
    assert face.detection.box == whole.detection.box
    # The smaller detectors work on a picture of that size anyway.
    near = with_small(compose(image, [At(cast[1], 500, 300, 150)]))
    for size in ("160", "320"):
        assert found(near, size=size)
        assert not found(replace(near, analysis=np.zeros((180, 320, 3), np.uint8)), size=size)


def test_a_region_makes_small_faces_larger_with_a_small_picture_too(cast: list[Head]) -> None:
    tiny = At(cast[0], 1100, 200, 26)
    image = compose(backdrop(1280, 720), [tiny])
    part = [0.75, 0.1, 0.25, 0.4]
    # With one network: of two, the large one finds this face in the whole picture, too.
    assert found(Frame(image, 0.0, 0.0, 0), size="320") == []
    (face,) = found(Frame(image, 0.0, 0.0, 0), size="320", region=part)
    assert face.detection.box.iou(tiny.box) > 0.6
    assert [other.detection.box for other in found(with_small(image), size="320", region=part)] == [face.detection.box]


def test_of_two_faces_of_one_size_the_one_that_is_followed_is_kept(cast: list[Head]) -> None:
    def swelling(time: float) -> tuple[list[At], Box | None]:
        return [At(cast[0], 160, 240, 100), At(cast[1], 480, 240, 90 + 15 * time)], None

    seen = tuned(every=1, max_faces=1)
    tracks = [[face.track for face in seen.analyse(frame).faces] for frame, _ in frames(1.5, swelling)]
    assert tracks[1:] == [[1]] * (len(tracks) - 1)


def clip_frames(count: int) -> Iterator[Frame]:
    """Yield frames of the bundled clip, from the first with both faces in view."""
    clip = cv2.VideoCapture(str(CLIP))
    clip.set(cv2.CAP_PROP_POS_FRAMES, 110)
    for number in range(count):
        yield Frame(np.asarray(clip.read()[1], np.uint8), number / 20, number / 20, number)
    clip.release()


def test_now_and_then_gives_the_labels_that_every_frame_gives() -> None:
    def labels(rate: float) -> tuple[list[dict[int, str]], int, float]:
        settings = Settings.model_validate({"emotion": {"rate": rate}, "detector": {"every": 2}})
        seen = open_pipeline(settings, choose())
        readings = [seen.analyse(frame) for frame in clip_frames(120)]
        happy = float(np.mean([face.scores["happy"] for reading in readings for face in reading.faces]))
        rows = [{face.track: face.emotion for face in reading.faces} for reading in readings]
        return rows, sum("classify" in reading.stages for reading in readings), happy

    dense, every, often = labels(0)
    sparse, some, seldom = labels(Settings().emotion.rate)
    assert every >= 118
    assert 55 <= some <= 70  # ten a second of twenty frames; a new face at once
    pairs = [(before[track], after[track]) for before, after in zip(dense, sparse, strict=True) for track in before]
    assert np.mean([before == after for before, after in pairs]) > 0.93
    assert seldom == pytest.approx(often, abs=0.02)


def test_all_faces_that_are_due_go_in_one_batch(cast: list[Head]) -> None:
    def arrives(time: float) -> tuple[list[At], Box | None]:
        return [At(cast[0], 150, 240), *([At(cast[1], 450, 240)] if time >= 0.5 else [])], None

    settings = Settings.model_validate({"emotion": {"rate": 5}, "detector": {"every": 1}})
    runtime = choose()
    batches: list[int] = []
    classifier = open_classifier(settings.emotion, runtime, 1)

    class Watched:
        def __getattr__(self, name: str) -> Any:
            return getattr(classifier, name)

        def __call__(self, image: Image, boxes: Sequence[Detection | Box]) -> Scores:
            batches.append(len(boxes))
            return classifier(image, boxes)

    watched: Any = Watched()
    seen = Pipeline(open_detector(settings.detector, runtime, 1), watched, settings)
    for frame, _ in frames(2, arrives):
        seen.analyse(frame)
    first = batches.index(2)
    assert set(batches[:first]) == {1}
    assert set(batches[first:]) == {2}
    assert len(batches) <= 13


@pytest.mark.parametrize("source", ["folder", "file"])
def test_single_pictures_are_each_looked_at_and_classified(tmp_path: Path, astronaut: Image, source: str) -> None:
    cv2.imwrite(str(tmp_path / "one.png"), astronaut)
    settings = {"camera": {"source": str(tmp_path if source == "folder" else tmp_path / "one.png")}}
    seen = open_pipeline(Settings.model_validate({**settings, "detector": {"every": 30}}), choose())
    for number in range(4):
        reading = seen.analyse(Frame(astronaut, number / 30, 0.0, number))
        assert "detect" in reading.stages
        assert "classify" in reading.stages
        assert len(reading.faces) == 1
