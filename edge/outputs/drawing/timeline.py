"""Draws the last minute: the timeline with its scale, and the circumplex with words at its ends."""

import math
from functools import lru_cache
from itertools import pairwise
from typing import Final

import cv2
import numpy as np

from edge.outputs.drawing.colours import Colour, bgr
from edge.outputs.drawing.face_tags import EMPTY
from edge.outputs.drawing.last_minute import MINUTE, SLOT, Moment, Past
from edge.outputs.drawing.layers import DARK, Layer, paint, panel
from edge.outputs.drawing.text import Coverage, margin, render_text
from edge.reading import Face, Image, Reading
from edge.translations import Words, capitalised

_TRAIL: Final = round(6 / SLOT)
"""Number of slots of the timeline whose path is drawn on the circumplex."""

_LINES: Final[Colour] = (130, 124, 120)
QUIET: Final[Colour] = (200, 196, 190)
"""Colour of the text of scales, with a contrast of 7:1 on a panel."""


@lru_cache(maxsize=4)
def timeline(past: Past, now: int, width: int, height: int) -> Image:
    """Draw the last minute, now at the right: a column per slot, its colour the emotion, its height the confidence.

    Args:
        past: the moments.
        now: the current slot.
        width: pixels.
        height: pixels.

    Returns:
        BGR uint8 [height, width, 3].
    """
    slots = round(MINUTE / SLOT)
    colours = np.full((slots, 3), EMPTY, np.uint8)
    heights = np.zeros(slots, np.int64)
    for moment in past.moments:
        if 0 <= (ago := now - moment.slot) < slots:
            colours[-1 - ago] = bgr(moment.emotion)
            heights[-1 - ago] = max(1, round(height * moment.confidence))
    column = np.arange(width) * slots // width
    filled = np.arange(height, 0, -1)[:, None] <= heights[column]
    return np.where(filled[..., None], colours[column], np.array(EMPTY, np.uint8))


def scale_height(capital: int) -> int:
    """Return the number of rows of the scale below a timeline."""
    return round(capital * 1.9)


def paint_scale(layer: Layer, left: int, top: int, width: int, capital: int, now: str) -> None:
    """Paint a mark every ten seconds, with `60 s`, `30 s` and the word `now`, below a timeline of this width."""
    tick: Coverage = np.full((max(2, capital // 3), 1), 255, np.uint8)
    for tenth in range(7):
        paint(layer, tick, left + round((width - 1) * tenth / 6), top, _LINES)
    row = top + round(capital * 0.6) - margin(capital)
    first, middle, last = (render_text(label, capital) for label in ("60 s", "30 s", now))
    paint(layer, first, left, row, QUIET)
    paint(layer, last, left + width - last.shape[1], row, QUIET)
    if max(first.shape[1], last.shape[1]) + middle.shape[1] / 2 + capital < width / 2:
        paint(layer, middle, left + (width - middle.shape[1]) // 2, row, QUIET)


@lru_cache(maxsize=4)
def _circumplex(side: int, words: tuple[str, str, str, str]) -> Layer:
    """Render a circle with its axes. words: at its right, left, top and bottom."""
    layer = panel(side, side)
    capital = _capital(side)
    lines = np.zeros((side * 4, side * 4), np.uint8)
    middle, radius = side * 2, round(_radius(side) * 4)
    stroke = max(4, round(side / 20))
    cv2.circle(lines, (middle, middle), radius, (255,), stroke)
    cv2.line(lines, (middle - radius, middle), (middle + radius, middle), (255,), stroke)
    cv2.line(lines, (middle, middle - radius), (middle, middle + radius), (255,), stroke)
    paint(layer, np.asarray(cv2.resize(lines, (side, side), interpolation=cv2.INTER_AREA), np.uint8), 0, 0, _LINES)
    right, left, top, bottom = (render_text(word, capital) for word in words)
    above, below = capital // 2 - margin(capital), side - capital - capital // 2 - margin(capital)
    paint(layer, top, (side - top.shape[1]) // 2, above, QUIET)
    paint(layer, bottom, (side - bottom.shape[1]) // 2, below, QUIET)
    # Beside the circle there is no room: one word stands above its end of the axis, the other below.
    over, under = (side // 2 + offset - margin(capital) for offset in (-3 * capital // 2, capital // 2))
    paint(layer, left, round(side / 2 - _radius(side)) + capital // 2, over, QUIET)
    paint(layer, right, round(side / 2 + _radius(side)) - capital // 2 - right.shape[1], under, QUIET)
    return layer


def _capital(side: int) -> int:
    return max(7, round(side / 24))


def _radius(side: int) -> float:
    return side / 2 - 2.6 * _capital(side)


def circumplex(past: Past, reading: Reading, side: int, words: Words) -> Image:
    """Draw the faces on the plane of valence and arousal, the largest with its path of the last seconds.

    Args:
        past: the last minute.
        reading: the newest Reading; its faces have valence and arousal.
        side: width and height in pixels.
        words: in the viewer's language.

    Returns:
        BGR uint8 [side, side, 3].
    """
    ends = tuple(capitalised(words[key]) for key in ("pleasant", "unpleasant", "excited", "calm"))
    assert len(ends) == 4
    image = _circumplex(side, ends).add.copy()
    unit = max(2, side // 60)
    now = math.floor(reading.captured_at / SLOT)

    def at(face: Face | Moment) -> tuple[int, int]:
        valence, arousal = face.valence or 0.0, face.arousal or 0.0
        return round((side / 2 + _radius(side) * valence) * 8), round((side / 2 - _radius(side) * arousal) * 8)

    trail = [moment for moment in past.moments[-_TRAIL:] if now - moment.slot <= _TRAIL]
    for one, two in pairwise(trail):
        if two.slot - one.slot == 1:
            cv2.line(image, at(one), at(two), bgr(two.emotion), max(1, unit // 2), cv2.LINE_AA, 3)
    for face in sorted(reading.faces, key=lambda face: face.detection.box.area):
        size = round(unit * (2.4 if face is reading.leader else 1.6) * 8)
        cv2.circle(image, at(face), size + 8, DARK, cv2.FILLED, cv2.LINE_AA, 3)
        cv2.circle(image, at(face), size, bgr(face.emotion), cv2.FILLED, cv2.LINE_AA, 3)
    return image
