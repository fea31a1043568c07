"""`detector.size: auto`: near faces by the small network, people across the room by the large one."""

import logging

import numpy as np
import pytest

from edge.config import DetectorSettings, Settings
from edge.faces.detector import open_detector
from edge.faces.search import FaceSearch
from edge.faces.two_sizes import EMPTY_INTERVAL, FAR_WIDTH, NEAR_INTERVAL, SLOW, SizeChoice, TwoSizes
from edge.faces.yunet import YuNet
from edge.faces.zoom import MOST
from edge.models.released import model_dir
from edge.models.runtime import choose
from edge.pipeline import Pipeline, open_pipeline, read_once
from edge.reading import Box, Frame, Image
from tests.support.moving import At, Head, backdrop, compose, heads

SMALL = (320, 256)
HD = Box(0, 0, 1280, 720)


@pytest.fixture(scope="module")
def cast() -> list[Head]:
    return heads()


def large_looks(pipeline: Pipeline, images: list[Image], fps: int = 20) -> list[int]:
    """Return the numbers of the frames in which the large network was run."""
    search: FaceSearch = getattr(pipeline, "_search")  # noqa: B009
    looks = []
    for number, image in enumerate(images):
        if "detect" in pipeline.analyse(Frame(image, number / fps, 0.0, number)).stages and search.large:
            looks.append(number)
    return looks


def test_auto_is_the_default_and_other_sizes_are_one_network() -> None:
    assert DetectorSettings().size == "auto"
    assert isinstance(open_detector(DetectorSettings(), choose(), 1), TwoSizes)
    assert isinstance(open_detector(DetectorSettings(size="640"), choose(), 1), YuNet)


@pytest.mark.parametrize("width", [32, 60])
def test_somebody_across_the_room_is_found_within_a_second_and_followed(cast: list[Head], width: int) -> None:
    pipeline = open_pipeline(Settings(), choose())
    empty = backdrop(1280, 720)
    tracks = []
    for number in range(60):
        placed = [At(cast[0], 900 + 2 * number, 250, width)] if number >= 10 else []
        reading = pipeline.analyse(Frame(compose(empty, placed), number / 20, 0.0, number))
        tracks.append([face.track for face in reading.faces])
    assert [1] in tracks[10:30]
    assert sum(seen == [1] for seen in tracks[30:]) >= 20


def test_near_faces_are_left_to_the_small_network(cast: list[Head]) -> None:
    images = [compose(backdrop(), [At(cast[0], 150 + n, 240), At(cast[1], 450 - n, 240)]) for n in range(120)]
    looks = large_looks(open_pipeline(Settings(), choose()), images, fps=10)
    after_start = [number for number in looks if number > 1]
    assert 1 <= len(after_start) <= 12 / NEAR_INTERVAL


def test_a_crowd_across_the_room_is_followed_by_the_large_network(cast: list[Head]) -> None:
    placed = [At(cast[n % 2], 200 + 160 * n, 200 + 80 * (n % 3), 50) for n in range(MOST + 2)]
    image = compose(backdrop(1280, 720), placed)
    pipeline = open_pipeline(Settings(detector=DetectorSettings(every=1)), choose())
    assert large_looks(pipeline, [image] * 30)[-3:] == [27, 28, 29]


def test_one_person_across_the_room_is_followed_in_close_ups(cast: list[Head]) -> None:
    image = compose(backdrop(1280, 720), [At(cast[0], 900, 250, 40)])
    pipeline = open_pipeline(Settings(detector=DetectorSettings(every=1)), choose())
    looks = large_looks(pipeline, [image] * 50)
    assert len(looks) <= 1 + 2.5 / EMPTY_INTERVAL
    assert len(pipeline.visible_tracks) == 1


def test_single_pictures_are_searched_by_both(cast: list[Head]) -> None:
    image = compose(backdrop(1280, 720), [At(cast[0], 1100, 200, 38), At(cast[1], 400, 360, 300)])
    assert len(read_once(Settings(), choose(), Frame(image, 0.0, 0.0, 0)).faces) == 2
    found = open_detector(DetectorSettings(), choose(), 1).detect(image)
    assert [face.score for face in found] == sorted((face.score for face in found), reverse=True)
    assert len(found) == 2


def test_the_large_network_is_due_often_in_an_empty_room_and_seldom_otherwise() -> None:
    choice = SizeChoice(SMALL)
    assert choice.due(0.0, 0, HD)
    choice.looked(0.0, 0.05)
    assert not choice.due(EMPTY_INTERVAL - 0.01, 0, HD)
    assert choice.due(EMPTY_INTERVAL, 0, HD)
    assert not choice.due(EMPTY_INTERVAL, 1, HD)
    assert choice.due(NEAR_INTERVAL, 1, HD)
    assert choice.due(-5.0, 0, HD), "a clock that starts anew"


@pytest.mark.parametrize(("area", "min_face"), [(Box(0, 0, 320, 240), 0), (HD, 4 * FAR_WIDTH)])
def test_where_the_small_network_sees_all_that_counts_the_large_one_is_never_due(area: Box, min_face: float) -> None:
    assert not SizeChoice(SMALL, min_face).due(0.0, 0, area)


def test_a_board_that_is_too_slow_stays_with_the_small_network_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    choice = SizeChoice(SMALL)
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            assert choice.due(float(number), 0, HD)
            choice.looked(float(number), 3 * SLOW)
    assert not choice.due(10.0, 0, HD)
    assert choice.far([Box(0, 0, 30, 30)], HD) == []
    (record,) = caplog.records
    assert "only the smaller one" in record.getMessage()


def test_a_slow_first_look_does_not_count() -> None:
    choice = SizeChoice(SMALL)
    for number, seconds in enumerate((9.0, 0.1, 0.1)):
        choice.looked(float(number), seconds)
    assert choice.due(10.0, 0, HD)
    far, near = Box(0, 0, 4 * FAR_WIDTH - 1, 90), Box(0, 0, 4 * FAR_WIDTH + 1, 90)
    assert choice.far([far, near], HD) == [far]


def test_another_yunet_of_ones_own_is_used_alone() -> None:
    detector = open_detector(DetectorSettings(file=model_dir("yunet-160")), choose(), 1)
    assert isinstance(detector, YuNet)
    assert detector.detect(np.zeros((48, 64, 3), np.uint8)) == []
