"""Distant faces: uncertain detections of the large network are confirmed in an enlarged part of the picture."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from edge.config import DetectorSettings
from edge.faces.detector import open_detector
from edge.faces.two_sizes import TwoSizes
from edge.faces.zoom import MOST, QUARTERS, ZoomingDetector, quarter
from edge.models.runtime import choose
from edge.reading import Box, Detection, Image
from tests.support.moving import At, Head, backdrop, compose, heads

HD = np.zeros((720, 1280, 3), np.uint8)


@pytest.fixture(scope="module")
def cast() -> list[Head]:
    return heads()


@dataclass
class Network:
    """A detector that finds the same in every image, and keeps the shapes of the images."""

    found: list[Detection] = field(default_factory=list)
    size: tuple[int, int] = (320, 256)
    seen: list[tuple[int, ...]] = field(default_factory=list)

    def detect(self, image: Image) -> list[Detection]:
        self.seen.append(image.shape)
        return list(self.found)


def at(x: float, score: float) -> Detection:
    return Detection(Box(x, 100, 30, 40), score, np.full((5, 2), x, np.float32))


@pytest.mark.parametrize(("width", "size"), [(30, (1280, 720)), (18, (640, 480))])
def test_somebody_too_far_for_both_networks_is_found_in_a_close_up(
    cast: list[Head], width: int, size: tuple[int, int]
) -> None:
    placed = [At(head, size[0] * (0.3 + 0.4 * n), size[1] / 2, width) for n, head in enumerate(cast)]
    image = compose(backdrop(*size), placed)
    alone = open_detector(DetectorSettings(size="640"), choose(), 1).detect(image)
    found = open_detector(DetectorSettings(), choose(), 1).detect(image)
    assert len(alone) < len(found) == 2
    for face in found:
        assert face.landmarks is not None
        (box,) = (it.box for it in placed if it.box.iou(face.box) > 0.5)
        assert box.x < face.landmarks[:, 0].min() < face.landmarks[:, 0].max() < box.x + box.width


def test_a_picture_without_faces_has_none() -> None:
    detector = open_detector(DetectorSettings(), choose(), 1)
    assert isinstance(detector, TwoSizes)
    assert [detector.detect(backdrop(1280, 720, seed)) for seed in range(3)] == [[]] * 3


def test_sure_faces_are_not_looked_at_again_and_close_ups_are_limited() -> None:
    large = Network([at(0, 0.9), at(2, 0.3), *(at(100 * n, 0.2) for n in range(1, 12))], (640, 480))
    small = Network()
    assert ZoomingDetector(large, small, 0.5).detect(HD) == [large.found[0]]
    assert len(small.seen) == MOST
    assert set(small.seen) == {(120, 150, 3)}


def test_what_the_large_network_finds_without_being_sure_must_be_in_the_close_up() -> None:
    large = Network([at(615, 0.55)])
    assert ZoomingDetector(large, Network(), 0.5).detect(HD) == []
    seen = Network([Detection(Box(60, 42, 28, 38), 0.5)])
    assert len(ZoomingDetector(large, seen, 0.5).detect(HD)) == 1
    large.found = [at(615, 0.45)]
    assert ZoomingDetector(large, seen, 0.5).detect(HD) == []


def test_a_crowd_of_unsure_faces_is_kept_where_there_are_too_many_for_close_ups() -> None:
    crowd = Network([at(100 * n, 0.6) for n in range(10)])
    assert len(ZoomingDetector(crowd, Network(), 0.5).detect(HD)) == 10 - MOST


def test_a_close_up_gives_the_face_in_pixels_of_the_picture() -> None:
    small = Network([Detection(Box(60, 42, 28, 38), 0.8, np.full((5, 2), 70, np.float32))])
    (face,) = ZoomingDetector(Network([at(615, 0.1)]), small, 0.5).detect(HD)
    assert (face.box.x, face.box.y) == (615, 102)
    assert face.landmarks is not None
    assert face.landmarks[0].tolist() == [625, 130]


def test_what_a_close_up_finds_beside_the_candidate_does_not_count() -> None:
    small = Network([Detection(Box(0, 0, 28, 38), 0.8)])
    assert ZoomingDetector(Network([at(615, 0.1)]), small, 0.5).detect(HD) == []


@pytest.mark.parametrize("corner", [(-20.0, -20.0), (1270.0, 715.0), (-500.0, 9000.0)])
def test_a_candidate_at_the_rim_is_looked_at_within_the_picture(corner: tuple[float, float]) -> None:
    small = Network()
    ZoomingDetector(Network([Detection(Box(*corner, 30, 40), 0.1)]), small, 0.5).detect(HD)
    ZoomingDetector(Network([Detection(Box(*corner, 3000, 40), 0.1)]), small, 0.5).detect(HD)
    assert small.seen == [(120, 150, 3), (720, 1280, 3)]


@pytest.mark.parametrize("size", [(640, 480), (800, 600), (1280, 720), (1920, 1080), (720, 1280), (300, 2000)])
def test_every_small_face_is_whole_in_one_of_the_parts_of_a_picture(size: tuple[int, int]) -> None:
    parts = [quarter(*size, (640, 480), number) for number in range(QUARTERS)]
    face = min(size) // 4
    for x in range(0, size[0] - face, 20):
        for y in range(0, size[1] - face, 20):
            assert any(
                left <= x and x + face <= left + width and top <= y and y + face <= top + height
                for left, top, width, height in parts
            )
    assert all(left >= 0 and left + width <= size[0] and top + height <= size[1] for left, top, width, height in parts)


def test_a_part_of_a_picture_is_searched_with_more_pixels_for_each_face() -> None:
    large = Network([at(100, 0.9)], (640, 480))
    detector = ZoomingDetector(large, Network(), 0.5)
    boxes = [detector.quarter(HD, number)[0].box for number in range(QUARTERS)]
    assert set(large.seen) == {(640, 854, 3)}
    assert [(box.x, box.y) for box in boxes] == [(100, 100), (526, 180), (100, 180), (526, 100)]
    assert detector.divides(HD)
    assert not detector.divides(HD[:480, :640])


def test_known_far_faces_are_checked_in_close_ups() -> None:
    def checked(face: Detection) -> list[Box]:
        seen = ZoomingDetector(Network(), Network([face]), 0.5).check(HD, [at(615, 0.1).box])
        return [it.box for it in seen]

    assert checked(Detection(Box(70, 42, 28, 38), 0.8)) == [Box(625, 102, 28, 38)]
    assert checked(Detection(Box(60, 42, 28, 38), 0.6)) == [], "not sure"
    assert checked(Detection(Box(0, 42, 28, 38), 0.8)) == [], "somebody beside"
    assert checked(Detection(Box(60, 42, 90, 120), 0.8)) == [], "another size"
