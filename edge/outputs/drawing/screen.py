"""Fills a whole screen: the annotated frame, and a panel beside it if the screen is wider."""

import math
from functools import lru_cache
from typing import Final

import cv2
import numpy as np

from edge.outputs.drawing.colours import Colour, bgr
from edge.outputs.drawing.face_tags import EMPTY, bar_height
from edge.outputs.drawing.last_minute import PLAIN, SLOT, Context
from edge.outputs.drawing.layers import WHITE, Layer, blend, clear, paint
from edge.outputs.drawing.overlay import annotate, wrapped
from edge.outputs.drawing.sizes import Sizes
from edge.outputs.drawing.text import margin, render_text
from edge.outputs.drawing.timeline import QUIET, circumplex, paint_scale, scale_height, timeline
from edge.reading import Image, Reading
from edge.translations import capitalised, confidence_text, looks_text

PANEL_SHARE: Final = 0.2
"""Minimum share of the screen's width that must be free beside the frame for the panel."""

_WIDE: Final = 1.75
"""Minimum ratio of width to height of a screen, such as 16:9, on which the frame shrinks to make room for the panel."""

_GROUND: Final[Colour] = (30, 25, 22)


def on_screen(
    image: Image, reading: Reading, size: tuple[int, int], message: str = "", context: Context = PLAIN
) -> Image:
    """Return the annotated frame as large as the screen allows, with a panel at its right if there is room.

    A screen of 16:9 or wider always has the panel: a frame of its shape is shown smaller, at four fifths of the width.

    Args:
        image: BGR uint8 [H, W, 3], the frame of the Reading.
        reading: the faces found in the frame.
        size: width and height of the screen in pixels.
        message: a line across the top; empty: none.
        context: what else is drawn; without a last minute there is no panel.

    Returns:
        BGR uint8: [height, width, 3] of the screen with a panel, else as large as the frame fits.
    """
    panel = round(PANEL_SHARE * size[0])
    wide = size[0] >= _WIDE * size[1]
    frame = fitted(image, (size[0] - panel, size[1]) if wide else size)
    free = size[0] - frame.shape[1]
    if free < panel or context.past is None or not reading.analysed:
        return annotate(fitted(image, size), reading, message, context)
    shown = annotate(frame, reading, message, Context(context.words))
    side = np.empty((size[1], free, 3), np.uint8)
    side[:] = _GROUND
    _draw_panel(side, reading, context)
    if shown.shape[0] < size[1]:
        space = size[1] - shown.shape[0]
        shown = cv2.copyMakeBorder(  # type: ignore[assignment]
            shown, space // 2, space - space // 2, 0, 0, cv2.BORDER_CONSTANT, value=_GROUND
        )
    return np.hstack((shown, side))


def fitted(image: Image, screen: tuple[int, int]) -> Image:
    """Scale an image to the largest size that fits the screen (width, height)."""
    height, width = image.shape[:2]
    share = min(screen[0] / width, screen[1] / height)
    size = max(1, round(width * share)), max(1, round(height * share))
    return np.asarray(
        cv2.resize(image, size, interpolation=cv2.INTER_LINEAR if share > 1 else cv2.INTER_AREA), np.uint8
    )


def _draw_panel(side: Image, reading: Reading, context: Context) -> None:
    """Draw from the top: the emotion of the largest face, the circumplex, and the last minute with its scale."""
    height, width = side.shape[:2]
    assert context.past is not None
    sizes = Sizes.of(round(height * 4 / 3), height)
    pad = 2 * sizes.space
    inner = width - 2 * pad
    words = context.words
    leader = reading.leader
    heading = capitalised(looks_text(leader.emotion, words)) if leader else words["nobody"]
    top = pad
    title = _text_layer(heading, inner, sizes.word, width, pad)
    blend(side, title, 0, top)
    top += title.height
    if leader:
        bar = 2 * bar_height(sizes)
        figure = render_text(confidence_text(leader.confidence), sizes.text, "bold")
        length = inner - figure.shape[1] - pad
        side[top : top + bar, pad : pad + length] = EMPTY
        side[top : top + bar, pad : pad + round(length * leader.confidence)] = bgr(leader.emotion)
        layer = clear(width, figure.shape[0])
        paint(layer, figure, width - pad - figure.shape[1], 0, WHITE)
        blend(side, layer, 0, top + bar // 2 - figure.shape[0] // 2)
    band = 4 * sizes.space
    scale = max(7, round(sizes.text * 0.7))
    foot = _last_minute_layer(words["last_minute"], words["now"], inner, pad, band, sizes, scale)
    foot_top = height - foot.height - pad
    blend(side, foot, 0, foot_top)
    strip = timeline(context.past, math.floor(reading.captured_at / SLOT), inner, band)
    at = foot_top + round(sizes.text * 2.2)
    side[at : at + band, pad : pad + inner] = strip
    room = foot_top - top - 3 * pad
    square = min(inner, room)
    unknown = any(face.valence is None for face in reading.faces)
    if square >= 12 * sizes.space and not unknown:
        plane = circumplex(context.past, reading, square, words)
        left, upper = (width - square) // 2, top + pad + (room - square) // 2 + pad // 2
        area = side[upper : upper + square, left : left + square]
        np.maximum(area, plane, out=area)


@lru_cache(maxsize=32)
def _text_layer(text: str, room: int, capital: int, width: int, left: int) -> Layer:
    """Render lines of white text on an empty layer, shrunk to fit one line but to no less than half the size."""
    longest = render_text(text, capital, "bold").shape[1]
    capital = max(capital // 2, min(capital, int(capital * room / longest)))
    lines = wrapped(text, room, capital)
    step = round(capital * 1.7)
    height = step * len(lines) + capital
    layer = clear(width, height)
    for row, line in enumerate(lines):
        paint(layer, line, left, row * step, WHITE)
    return layer


@lru_cache(maxsize=8)
def _last_minute_layer(title: str, now: str, inner: int, pad: int, band: int, sizes: Sizes, scale: int) -> Layer:
    top = round(sizes.text * 2.2)
    height = top + band + 1 + scale_height(scale)
    layer = clear(inner + 2 * pad, height)
    capital = min(sizes.text, max(7, int(sizes.text * inner / render_text(title, sizes.text).shape[1])))
    paint(layer, render_text(title, capital), pad, sizes.text // 2 - margin(capital), QUIET)
    paint_scale(layer, pad, top + band + 1, inner, scale, now)
    return layer
