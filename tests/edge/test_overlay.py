"""The annotated picture: what is drawn, where, and its legibility."""

from dataclasses import replace
from itertools import combinations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge.labels import LABEL_SETS, UNCERTAIN
from edge.outputs.drawing.colours import COLOURS, bgr
from edge.outputs.drawing.last_minute import SLOT, Context, LastMinute, Moment, Past
from edge.outputs.drawing.overlay import annotate
from edge.outputs.drawing.text import Coverage, render_text
from edge.reading import Box, Image
from edge.translations import LANGUAGES, words_of
from tests.support.samples import face, frame, picture, reading

SIZES = [(160, 120), (320, 240), (640, 480), (480, 640), (1280, 720), (1920, 1080)]


def plain(width: int, height: int, value: int) -> Image:
    return np.full((height, width, 3), value, np.uint8)


def exactly(image: Image, colour: tuple[int, int, int]) -> npt.NDArray[np.bool_]:
    """Mask of the pixels with exactly this colour, bool [H, W]."""
    return np.asarray((image == np.array(colour, np.uint8)).all(axis=2))


def luminance(image: Image) -> npt.NDArray[np.float64]:
    """Relative luminance, 0 to 1 (WCAG 2.2)."""
    value = image.astype(np.float64) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return np.asarray(linear @ np.array([0.0722, 0.7152, 0.2126]))


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_box_label_and_notice_are_drawn_on_a_copy(width: int, height: int) -> None:
    shown = frame(image=picture(width, height))
    before = shown.image.copy()
    box = Box(width * 0.4, height * 0.45, width * 0.2, height * 0.25)
    drawn = annotate(shown.image, reading([face(emotion="happy", box=box)], shown))
    assert np.array_equal(shown.image, before)
    assert drawn.shape == before.shape
    assert drawn.dtype == np.uint8
    middle = round(box.y + box.height / 2)
    for edge in (box.x, box.x + box.width):
        assert exactly(drawn[middle : middle + 1, round(edge) - 4 : round(edge) + 5], bgr("happy")).any()
    inside = np.s_[round(box.y + box.height * 0.3) : round(box.y + box.height * 0.7), round(width * 0.45) : width // 2]
    assert np.array_equal(drawn[inside], before[inside])


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("value", [0, 255])
def test_notice_is_on_every_picture_and_can_be_read(width: int, height: int, value: int) -> None:
    shown = frame(image=plain(width, height, value))
    drawn = annotate(shown.image, reading([], shown))
    changed = (drawn != value).any(axis=2)
    rows = np.flatnonzero(changed.any(axis=1))
    strip = drawn[rows[0] :]
    assert rows[-1] == height - 1
    assert rows[0] > height * 0.7
    written = (strip >= 200).all(axis=2)
    lines = np.split(inked := np.flatnonzero(written.any(axis=1)), np.flatnonzero(np.diff(inked) > 1) + 1)
    assert max(len(line) for line in lines) >= max(7, height // 60)
    columns = np.flatnonzero(written.any(axis=0))
    assert columns[0] >= 1
    assert columns[-1] <= width - 2
    ground = luminance(strip[1:2, :1]).item()
    assert (luminance(strip).max() + 0.05) / (ground + 0.05) >= 7


def test_a_picture_that_nobody_looks_at_does_not_say_that_it_is_read() -> None:
    shown = frame(image=plain(640, 480, 0))
    running, off = (
        (annotate(shown.image, replace(reading([], shown), analysed=analysed)) >= 200).all(axis=2)
        for analysed in (True, False)
    )
    # The same strip with a shorter text, which says that detection is off.
    assert 0 < np.ptp(np.flatnonzero(off.any(axis=0))) < 0.7 * np.ptp(np.flatnonzero(running.any(axis=0)))


def tag_rows(box: Box, word: str = "neutral") -> tuple[int, int]:
    """Draw a face on a black 640x480 picture; returns the pixels of its word (white) and of its full bar."""
    shown = frame(image=plain(640, 480, 0))
    drawn = annotate(shown.image, reading([face(emotion=word, confidence=1.0, box=box)], shown))
    drawn = np.where((annotate(shown.image, reading([], shown)) > 0), 0, drawn).astype(np.uint8)
    return int((drawn == 255).all(axis=2).sum()), int(exactly(drawn, bgr(word)).sum())


@pytest.mark.parametrize(
    "box",
    [
        Box(-40, -50, 120, 140),
        Box(560, -50, 120, 140),
        Box(-40, 400, 120, 140),
        Box(560, 400, 120, 140),
        Box(250, 2, 120, 70),
    ],
)
def test_word_of_a_face_at_the_edge_is_whole(box: Box) -> None:
    assert tag_rows(box)[0] == tag_rows(Box(250, 200, 120, 140))[0] > 100
    assert tag_rows(Box(250, -10, 120, 480))[0] > 100  # the word is smaller, inside the box


def test_tag_is_at_most_half_as_wide_again_as_the_face_and_far_faces_have_a_bar_alone() -> None:
    for width in (30, 60, 100, 200):
        shown = frame(image=plain(640, 480, 0))
        seen = reading([face(emotion="contempt", confidence=0.5, box=Box(300, 200, width, width))], shown)
        changed = (annotate(shown.image, seen) != annotate(shown.image, reading([], shown))).any(axis=2)
        columns = np.flatnonzero(changed.any(axis=0))
        assert columns[-1] - columns[0] < 1.5 * width + 8
    assert tag_rows(Box(300, 200, 30, 36))[0] == 0
    assert tag_rows(Box(300, 200, 100, 120))[0] > 0


def test_no_tag_is_over_another_face_or_another_tag() -> None:
    rng = np.random.default_rng(7)
    for _ in range(40):
        boxes = [Box(*rng.uniform((0, 0), (560, 380)), *([rng.uniform(30, 140)] * 2)) for _ in range(4)]
        shown = frame(image=plain(640, 480, 90))
        faces = [face(index, "neutral", 0.9, box) for index, box in enumerate(boxes)]
        alone = [annotate(shown.image, reading([one], shown)) for one in faces]
        bare = annotate(shown.image, reading([], shown))
        together = annotate(shown.image, reading(faces, shown))
        for index, box in enumerate(boxes):
            inner = np.s_[
                max(0, round(box.y + box.height * 0.4)) : round(box.y + box.height * 0.6),
                round(box.x + box.width * 0.4) : round(box.x + box.width * 0.6),
            ]
            crossed = any(at != index and other.iou(box) > 0 for at, other in enumerate(boxes))
            if not crossed and np.array_equal(alone[index][inner], bare[inner]):
                assert np.array_equal(together[inner], bare[inner])


def test_confidence_is_the_length_of_the_bar() -> None:
    def length(confidence: float) -> int:
        shown = frame(image=plain(640, 480, 0))
        drawn = annotate(shown.image, reading([face(emotion="happy", confidence=confidence)], shown))
        return int(exactly(drawn[100:135], bgr("happy")).sum(axis=1).max())

    whole = length(1.0)
    assert whole > 80
    for share in (0.2, 0.5, 0.75):
        assert length(share) / whole == pytest.approx(share, abs=0.02)


def test_no_figure_and_no_rate_stand_in_the_picture_unless_asked_for() -> None:
    shown = frame(image=plain(640, 480, 0))
    minute = LastMinute(words_of())
    for index in range(40):
        minute.put(reading([face()], shown, captured_at=100 + index / 20))
    assert minute.context().fps is None
    asked = LastMinute(words_of(), fps=True)
    for index in range(40):
        asked.put(reading([face()], shown, captured_at=100 + index / 20))
    assert asked.context().fps == pytest.approx(20, abs=0.5)
    seen = reading([], shown)
    with_rate, without = (annotate(shown.image, seen, context=Context(words_of(), None, fps)) for fps in (20.0, None))
    assert not np.array_equal(with_rate, without)


def test_boxes_follow_the_picture_to_another_size() -> None:
    seen = reading([face(box=Box(200, 240, 120, 120))], frame(image=plain(640, 480, 0)))
    drawn = annotate(plain(320, 240, 0), seen)
    assert exactly(drawn[150:151, 98:103], bgr("happy")).any()
    assert exactly(drawn[150:151, 158:163], bgr("happy")).any()


@pytest.mark.parametrize(("width", "height"), [(16, 16), (48, 48), (64, 400), (400, 40)])
def test_thumbnails_are_annotated_as_well_as_may_be(width: int, height: int) -> None:
    shown = frame(image=plain(width, height, 255))
    seen = reading([face(box=Box(2, 2, width - 4, height - 4)), face(2, box=Box(-9, -9, 5, 5))], shown)
    drawn = annotate(shown.image, seen, "No new picture for 7 s")
    assert drawn.shape == shown.image.shape
    assert drawn[-1].min() < 100


def test_message_is_put_across_the_top() -> None:
    shown = frame(image=picture())
    without, drawn = annotate(shown.image, reading([], shown)), annotate(shown.image, reading([], shown), "Old picture")
    rows = np.flatnonzero((without != drawn).any(axis=(1, 2)))
    assert rows[0] == 0
    assert 10 < rows[-1] < 60
    assert (drawn[: rows[-1]] == 255).all(axis=2).any()


def moments(now: float, **emotions: float) -> Past:
    """Make a history of the last minute, divided among emotions with these confidences."""
    count = int(60 / SLOT)
    names = [list(emotions)[index * len(emotions) // count] for index in range(count)]
    last = int(now // SLOT)
    return Past(tuple(Moment(last - count + 1 + at, name, emotions[name], 0.5, 0.5) for at, name in enumerate(names)))


@pytest.mark.parametrize(("width", "height"), SIZES[1:])
def test_last_minute_is_drawn_oldest_first_and_as_high_as_it_was_sure(width: int, height: int) -> None:
    shown = frame(image=plain(width, height, 0))
    past = moments(100, sad=0.5, happy=1.0)
    drawn = annotate(shown.image, reading([], shown, captured_at=100.2), context=Context(words_of(), past))
    sad, happy = (exactly(drawn, bgr(emotion)) for emotion in ("sad", "happy"))
    columns = {name: np.flatnonzero(it.any(axis=0)) for name, it in (("sad", sad), ("happy", happy))}
    assert columns["sad"][-1] + 1 == columns["happy"][0]
    assert len(columns["sad"]) == pytest.approx(len(columns["happy"]), abs=1)
    assert len(columns["sad"]) > width * 0.3
    assert happy.any(axis=1).sum() == pytest.approx(2 * sad.any(axis=1).sum(), abs=1)


def test_what_is_longer_ago_than_a_minute_is_drawn_no_more() -> None:
    shown = frame(image=plain(640, 480, 0))
    context = Context(words_of(), moments(100, sad=1.0))
    later = [annotate(shown.image, reading([], shown, captured_at=at), context=context) for at in (130.0, 161.0)]
    half, none = (int(exactly(drawn, bgr("sad")).sum()) for drawn in later)
    now = int(exactly(annotate(shown.image, reading([], shown, captured_at=100.0), context=context), bgr("sad")).sum())
    assert half == pytest.approx(now / 2, rel=0.05)
    assert none == 0


def test_nothing_is_said_of_a_minute_nobody_looked_in() -> None:
    shown = frame(image=picture())
    off = replace(reading([], shown), analysed=False)
    context = Context(words_of(), moments(off.captured_at, sad=1.0), 25.0)
    assert np.array_equal(annotate(shown.image, off, context=context), annotate(shown.image, off))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("width", "height"), [(320, 240), (640, 480), (480, 640), (1280, 720)])
def test_texts_of_every_language_have_room(language: str, width: int, height: int) -> None:
    shown = frame(image=plain(width, height, 0))
    faces = [face(1, emotion, box=Box(width * 0.4, height * 0.4, width / 5, height / 4)) for emotion in ("surprise",)]
    context = Context(words_of(language), Past(), 30.0)
    drawn = annotate(shown.image, reading(faces, shown), words_of(language)["stale"].format(seconds=3599), context)
    written = (drawn >= 250).all(axis=2)
    assert not written[:, [0, -1]].any()
    assert not written[[0, -1]].any()
    assert drawn[height // 2 : height * 2 // 3, 0].max() == 0  # the strips leave most of the picture free


def test_words_are_those_of_the_language() -> None:
    shown = frame(image=plain(640, 480, 0))
    german, english = (
        annotate(shown.image, reading([face(box=Box(220, 140, 190, 200))], shown), context=Context(words_of(language)))
        for language in ("de", "en")
    )
    word = render_text("Freude", 30, "bold")
    assert holds(german, word)
    assert not holds(english, word)


def holds(drawn: Image, paint: Coverage) -> bool:
    """Return True if these letters are in the picture in white."""
    found = cv2.matchTemplate(drawn.min(axis=2), paint, cv2.TM_CCOEFF_NORMED)
    return float(found.max()) > 0.95


def test_label_that_has_no_colour_looks_uncertain() -> None:
    # Other tests of this process may have chosen a colour for other names.
    assert bgr("a label without a colour") == bgr(UNCERTAIN)
    assert set(COLOURS) >= {label for labels in LABEL_SETS.values() for label in labels} | {UNCERTAIN}


# Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency" (2009),
# table 1, severity 1.0, for linear RGB.
VISION = {
    "full": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("label_set", LABEL_SETS)
def test_colours_are_told_apart_with_any_colour_vision(vision: str, label_set: str) -> None:
    """A CIELAB distance of 10 is several times what the eye can tell apart side by side."""
    emotions = dict.fromkeys([*LABEL_SETS[label_set], UNCERTAIN])
    value = np.array([bgr(emotion)[::-1] for emotion in emotions], np.float32) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(VISION[vision]).T, 0, 1)
    encoded = np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)
    lab = cv2.cvtColor(encoded[None].astype(np.float32), cv2.COLOR_RGB2LAB)[0]
    for (one, first), (other, second) in combinations(zip(emotions, lab, strict=True), 2):
        assert np.linalg.norm(first - second) > 10, (one, other)
