"""The picture that fills a whole screen: the frame, and the panel beside it."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from edge.outputs.drawing.colours import bgr
from edge.outputs.drawing.last_minute import SLOT, Context, Moment, Past
from edge.outputs.drawing.overlay import annotate
from edge.outputs.drawing.screen import fitted, on_screen
from edge.reading import Box, Image
from edge.translations import LANGUAGES, words_of
from tests.support.samples import face, frame, picture, reading


def exactly(image: Image, emotion: str) -> npt.NDArray[np.bool_]:
    return np.asarray((image == np.array(bgr(emotion), np.uint8)).all(axis=2))


def past(now: float, emotion: str = "sad") -> Past:
    last = int(now // SLOT)
    return Past(tuple(Moment(last - ago, emotion, 1.0, -0.5, -0.5) for ago in range(100, 0, -1)))


def black(width: int = 640, height: int = 480) -> Image:
    return np.zeros((height, width, 3), np.uint8)


@pytest.mark.parametrize("size", [(1920, 1080), (1280, 720), (800, 480), (1366, 768)])
def test_a_screen_wider_than_the_frame_has_a_panel_that_fills_it(size: tuple[int, int]) -> None:
    shown = frame(image=picture())
    seen = reading([face(box=Box(200, 150, 160, 180))], shown)
    drawn = on_screen(shown.image, seen, size, context=Context(words_of(), past(seen.captured_at)))
    assert drawn.shape == (size[1], size[0], 3)
    width = fitted(shown.image, size).shape[1]
    plain = annotate(fitted(shown.image, size), seen)
    assert np.array_equal(drawn[:, :width], plain)
    assert exactly(drawn[:, width:], "happy").sum() > 100
    assert exactly(drawn[:, width:], "sad").sum() > 1000


@pytest.mark.parametrize("size", [(1024, 768), (600, 800), (700, 480)])
def test_a_screen_of_the_frames_shape_has_none(size: tuple[int, int]) -> None:
    shown = frame(image=picture())
    seen = reading([face()], shown)
    context = Context(words_of(), past(seen.captured_at))
    assert np.array_equal(
        on_screen(shown.image, seen, size, context=context), annotate(fitted(shown.image, size), seen, context=context)
    )


@pytest.mark.parametrize("size", [(1920, 1080), (1366, 768), (2560, 1080)])
def test_a_wide_screen_has_the_panel_beside_a_frame_of_its_own_shape_too(size: tuple[int, int]) -> None:
    shown = frame(image=black(1280, 720))
    seen = reading([face(box=Box(200, 150, 160, 180))], shown)
    drawn = on_screen(shown.image, seen, size, context=Context(words_of(), past(seen.captured_at)))
    assert drawn.shape == (size[1], size[0], 3)
    panel = drawn[:, -size[0] // 5 + 1 :]
    assert exactly(panel, "happy").sum() > 100
    assert exactly(panel, "sad").sum() > 1000
    assert exactly(drawn[:, : -size[0] // 5], "happy").sum() > 100, "the box of the face"


def test_a_frame_that_is_not_analysed_fills_the_screen() -> None:
    shown = frame(image=black(1280, 720))
    seen = replace(reading([], shown), analysed=False)
    drawn = on_screen(shown.image, seen, (1920, 1080), context=Context(words_of(), Past()))
    assert np.array_equal(drawn, annotate(fitted(shown.image, (1920, 1080)), seen))


@pytest.mark.parametrize(("valence", "arousal"), [(0.8, 0.3), (-0.7, 0.5), (0.0, -0.9)])
def test_dot_is_where_valence_and_arousal_are(valence: float, arousal: float) -> None:
    def centre(valence: float, arousal: float) -> npt.NDArray[np.float64]:
        shown = frame(image=black())
        seen = face(emotion="fear", box=Box(20, 120, 80, 80), valence=valence, arousal=arousal)
        drawn = on_screen(shown.image, reading([seen], shown), (1920, 1080), context=Context(words_of(), Past()))
        return np.asarray(np.argwhere(exactly(drawn[250:800, 1440:], "fear")).mean(axis=0))

    right, up = centre(1, 0) - centre(0, 0), centre(0, 1) - centre(0, 0)
    assert right[1] > 60
    assert right == pytest.approx([0, -up[0]], abs=0.7)
    assert centre(valence, arousal) - centre(0, 0) == pytest.approx(valence * right + arousal * up, abs=1)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("size", [(1920, 1080), (800, 480)])
def test_texts_of_every_language_fit_the_panel(language: str, size: tuple[int, int]) -> None:
    shown = frame(image=black())
    for emotion in ("contempt", "disgust", "uncertain"):
        seen = reading([face(emotion=emotion, label_set="ferplus8")], shown)
        drawn = on_screen(shown.image, seen, size, context=Context(words_of(language), Past()))
        assert not (drawn[:, -2:] >= 180).all(axis=2).any()


def test_nobody_in_view_is_said() -> None:
    shown = frame(image=black())
    context = Context(words_of(), Past())
    empty, full = (on_screen(shown.image, reading(f, shown), (1920, 1080), context=context) for f in ([], [face()]))
    assert (empty[:200, 1440:] >= 250).any()
    assert not np.array_equal(empty[:200, 1440:], full[:200, 1440:])
