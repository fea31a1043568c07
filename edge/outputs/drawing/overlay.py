"""The annotated picture: boxes, emotions, the last minute, and the notice that emotion recognition runs."""

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from edge.outputs.drawing.colours import Colour, bgr
from edge.outputs.drawing.last_minute import MINUTE, PLAIN, SLOT, Context, Past
from edge.outputs.drawing.layers import DARK, Layer, blend, paint, panel
from edge.outputs.drawing.text import Coverage, margin, render_text
from edge.reading import Box, Face, Image, Reading
from edge.translations import Words

_TRAIL: Final = round(6 / SLOT)
"""Slots whose way on the circumplex is drawn."""

_ARC: Final = np.linspace(0, math.pi / 2, 7) + np.arange(4)[:, None] * math.pi / 2
_ARCS: Final = np.stack([np.cos(_ARC), np.sin(_ARC)], axis=-1)
"""The four quarters of a circle, from its right downwards."""

_EMPTY: Final[Colour] = (50, 46, 44)
_LINES: Final[Colour] = (130, 124, 120)


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Pixels, from the picture's own size: capitals of an emotion's word, capitals of all else, and a unit of space.

    With one face in view its word is a sixteenth of the picture's height. On a Raspberry Pi's 7-inch display, 86 mm
    high, that is 5.4 mm: from two metres away 9 minutes of arc, where normal sight reads 5 (ISO 8596). All else, with a
    29th where there is room, is at that limit.
    """

    word: int
    text: int
    space: int

    @classmethod
    def of(cls, width: int, height: int, faces: int) -> "_Sizes":
        """faces: how many share the picture: with more, their words are smaller."""
        room = min(height, width * 0.75)
        share = 16 if faces < 2 else 20 if faces < 4 else 26
        return cls(max(8, round(room / share)), max(7, round(room / 29)), max(3, round(room / 60)))


def annotate(image: Image, reading: Reading, message: str = "", context: Context = PLAIN) -> Image:
    """A copy of the picture with what was seen drawn on it, sharp at the picture's own size.

    image: BGR uint8 [H, W, 3], the frame of the Reading or the same scene at another size.
    message: a line that is put across the top, such as that the picture is old.
    """
    drawn = image.copy()
    height, width = drawn.shape[:2]
    sizes = _Sizes.of(width, height, len(reading.faces))
    notice = context.words["notice" if reading.analysed else "notice_off"]
    fps = f"{context.fps:.0f} fps" if context.fps is not None and reading.analysed else ""
    past = context.past if reading.analysed and height >= 200 else None
    foot = _foot(notice, fps, width, height, sizes, past is not None)
    floor = height - foot.height
    across, down = width / reading.width, height / reading.height
    blend(drawn, foot, 0, floor)
    if past is not None:
        _draw_past(drawn, past, reading, foot, sizes)
    # The largest last, so that no smaller face's label hides the one the scene is judged by.
    for face in sorted(reading.faces, key=lambda face: face.detection.box.area):
        box = face.detection.box
        box = Box(box.x * across, box.y * down, box.width * across, box.height * down)
        _draw_box(drawn[:floor], face, box, sizes)
        _draw_label(drawn[:floor], image, face, box, sizes, context.words)
    if message:
        blend(drawn, _banner(message, width, height, sizes), 0, 0)
    return drawn


def _cut(layer: Layer, height: int) -> Layer:
    """On a thumbnail, a strip ends at half the height, so that something of the picture is left."""
    return Layer(layer.keep[: height // 2], layer.add[: height // 2])


def _wrapped(message: str, room: int, capital: int) -> list[Coverage]:
    lines: list[str] = []
    for word in message.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and render_text(longer, capital).shape[1] <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return [render_text(line, capital) for line in lines]


def _print(layer: Layer, text: Coverage, x: int, top: int, capital: int) -> None:
    """Print text with its capitals' top at `top`."""
    paint(layer, text, x, top - margin(capital))


def _write(image: Image, text: Coverage, x: int, y: int) -> None:
    """White text on a panel, with its top left corner at x, y; what leaves the picture is cut off."""
    text = text[max(0, -y) :, max(0, -x) :]
    into = image[max(0, y) :, max(0, x) :][: text.shape[0], : text.shape[1]]
    np.maximum(into, text[: into.shape[0], : into.shape[1], None], out=into)


@lru_cache(maxsize=16)
def _banner(message: str, width: int, height: int, sizes: _Sizes) -> Layer:
    lines = _wrapped(message, width - 2 * sizes.space, sizes.text)
    step = round(sizes.text * 1.6)
    layer = panel(width, 3 * sizes.space + sizes.text + step * (len(lines) - 1))
    for row, text in enumerate(lines):
        _print(layer, text, (width - text.shape[1]) // 2, round(1.5 * sizes.space) + row * step, sizes.text)
    return _cut(layer, height)


def _band(sizes: _Sizes) -> int:
    """Height of the timeline."""
    return 2 * sizes.space


def _side(sizes: _Sizes) -> int:
    """Width and height of the panel with the circumplex."""
    return 14 * sizes.space


@lru_cache(maxsize=16)
def _foot(notice: str, fps: str, width: int, height: int, sizes: _Sizes, past: bool) -> Layer:
    """The strip along the bottom: the notice and the rate, with room for the timeline above them."""
    space = sizes.space
    room = width - 2 * space - (_side(sizes) if past else 0)
    # A little smaller, or without the rate, if that makes it one line.
    small = max(7, round(sizes.text * 0.75))
    for capital, figure in ((sizes.text, fps), (small, fps), (small, ""), (sizes.text, "")):
        rate = render_text(figure, capital) if figure else None
        lines = _wrapped(notice, room - (rate.shape[1] + 3 * space if rate is not None else 0), capital)
        if len(lines) == 1:
            break
    step = round(capital * 1.6)
    top = round(1.5 * space) + (_band(sizes) + round(1.5 * space) if past else 0)
    layer = panel(width, top + step * (len(lines) - 1) + capital + round(1.5 * space))
    for row, text in enumerate(lines):
        x = 2 * space if past or rate is not None else (width - text.shape[1]) // 2
        _print(layer, text, max(0, x), top + row * step, capital)
    if rate is not None:
        _print(layer, rate, space + room - rate.shape[1], top, capital)
    return _cut(layer, height)


def _draw_past(image: Image, past: Past, reading: Reading, foot: Layer, sizes: _Sizes) -> None:
    """The timeline in the strip along the bottom, and the circumplex in the corner to the right of it."""
    height, width = image.shape[:2]
    side, space = _side(sizes), sizes.space
    now = math.floor(reading.captured_at / SLOT)
    band = _timeline(past, now, width - side - 3 * space, _band(sizes))
    top = height - foot.height + round(1.5 * space)
    image[top : top + band.shape[0], 2 * space : 2 * space + band.shape[1]] = band
    left, top = width - side, height - side
    panel = _circumplex(side, space)
    strip = max(top, height - foot.height)
    blend(image[:strip], panel, left, top)
    # The strip is as dark as the panel, which goes on in it, lines alone.
    np.maximum(image[strip:, left:], panel.add[strip - top :], out=image[strip:, left:])
    centre = (left + side / 2, top + side / 2)
    radius = side / 2 - 2.4 * space

    def at(valence: float, arousal: float) -> tuple[int, int]:
        return round((centre[0] + radius * valence) * 8), round((centre[1] - radius * arousal) * 8)

    trail = [moment for moment in past.moments[-_TRAIL:] if now - moment.slot <= _TRAIL]
    for one, two in pairwise(trail):
        if two.slot - one.slot == 1:
            line = at(one.valence, one.arousal), at(two.valence, two.arousal)
            cv2.line(image, *line, bgr(two.emotion), max(1, space // 4), cv2.LINE_AA, 3)
    for face in sorted(reading.faces, key=lambda face: face.detection.box.area):
        size = round(space * (0.9 if face is reading.leader else 0.6) * 8)
        cv2.circle(image, at(face.valence, face.arousal), size + 8, DARK, cv2.FILLED, cv2.LINE_AA, 3)
        cv2.circle(image, at(face.valence, face.arousal), size, bgr(face.emotion), cv2.FILLED, cv2.LINE_AA, 3)


@lru_cache(maxsize=4)
def _timeline(past: Past, now: int, width: int, height: int) -> Image:
    """The last minute, now at the right: a column a slot in the emotion's colour, as high as it was sure."""
    slots = round(MINUTE / SLOT)
    colours = np.full((slots, 3), _EMPTY, np.uint8)
    heights = np.zeros(slots, np.int64)
    for moment in past.moments:
        if 0 <= (ago := now - moment.slot) < slots:
            colours[-1 - ago] = bgr(moment.emotion)
            heights[-1 - ago] = max(1, round(height * moment.confidence))
    column = np.arange(width) * slots // width
    filled = np.arange(height, 0, -1)[:, None] <= heights[column]
    return np.where(filled[..., None], colours[column], np.array(_EMPTY, np.uint8))


@lru_cache(maxsize=4)
def _circumplex(side: int, space: int) -> Layer:
    """The panel: a circle with its axes, V at the pleasant end of valence, A at the lively end of arousal."""
    layer = panel(side, side, 2 * space, 0, 0, 0)
    lines = np.zeros((side * 4, side * 4), np.uint8)
    middle, radius = side * 2, round((side / 2 - 2.4 * space) * 4)
    stroke = max(4, round(space * 0.9))
    cv2.circle(lines, (middle, middle), radius, (255,), stroke)
    cv2.line(lines, (middle - radius, middle), (middle + radius, middle), (255,), stroke)
    cv2.line(lines, (middle, middle - radius), (middle, middle + radius), (255,), stroke)
    paint(layer, np.asarray(cv2.resize(lines, (side, side), interpolation=cv2.INTER_AREA), np.uint8), 0, 0, _LINES)
    capital = max(5, round(space * 1.2))
    for text, x, y in (("V", side - 1.2 * space, side / 2), ("A", side / 2, space)):
        letter = render_text(text, capital, "bold")
        paint(layer, letter, round(x - letter.shape[1] / 2), round(y - letter.shape[0] / 2))
    return layer


def _outline(box: Box, radius: float) -> npt.NDArray[np.int32]:
    """The corners of a rounded rectangle, int32 [n, 1, 2], in 1/8 pixels."""
    left, top, right, bottom = box.x + radius, box.y + radius, box.x + box.width - radius, box.y + box.height - radius
    corners = np.array(((right, bottom), (left, bottom), (left, top), (right, top)))
    return np.asarray(np.rint((corners[:, None] + radius * _ARCS) * 8), np.int32).reshape(-1, 1, 2)


def _stroke(sizes: _Sizes) -> int:
    return max(2, round(sizes.space / 2))


def _draw_box(image: Image, face: Face, box: Box, sizes: _Sizes) -> None:
    stroke = _stroke(sizes)
    outline = _outline(box, min(box.width / 4, box.height / 4, 2 * sizes.space))
    cv2.polylines(image, [outline], True, DARK, stroke + 2, cv2.LINE_AA, shift=3)
    cv2.polylines(image, [outline], True, bgr(face.emotion), stroke, cv2.LINE_AA, shift=3)


def _small(sizes: _Sizes) -> int:
    """Capitals of the figure beside an emotion's word."""
    return max(7, round(sizes.word * 0.7))


@lru_cache(maxsize=128)
def _label(word: str, sizes: _Sizes) -> Layer:
    """The panel of a face with the emotion's word, and room for what changes."""
    space = sizes.space
    name, most = render_text(word, sizes.word, "bold"), render_text("100%", _small(sizes))
    inner = name.shape[1] + sizes.word + most.shape[1]
    layer = panel(inner + 4 * space, 4 * space + round(sizes.word * 1.36) + _bar(sizes), round(1.5 * space))
    _print(layer, name, 2 * space, 2 * space, sizes.word)
    return layer


def _bar(sizes: _Sizes) -> int:
    return max(3, round(sizes.word * 0.26))


def _draw_label(image: Image, under: Image, face: Face, box: Box, sizes: _Sizes, words: Words) -> None:
    """The panel with the emotion, and how sure it is, as a figure and as a bar.

    under: the bare picture.
    """
    layer = _label(words.get(face.emotion, face.emotion), sizes)
    x, y = _place(box, layer, image.shape[1], image.shape[0], _stroke(sizes) + 1)
    blend(image, layer, x, y, under[: image.shape[0]])
    space, bar, small = sizes.space, _bar(sizes), _small(sizes)
    left, right, top = x + 2 * space, x + layer.width - 2 * space, y + layer.height - 2 * space - bar
    sure = render_text(f"{face.confidence:.0%}", small)
    _write(image, sure, right - sure.shape[1], y + 2 * space + sizes.word - small - margin(small))
    filled = round((right - left) * min(1.0, max(0.0, face.confidence)))
    image[top : top + bar, left:right] = _EMPTY
    image[top : top + bar, left : left + filled] = bgr(face.emotion)


def _place(box: Box, layer: Layer, right: int, floor: int, gap: int) -> tuple[int, int]:
    """Top left corner of a face's panel: above the box, else below, else at the box's top; always in the picture."""
    x = round(box.x) - gap // 2
    above, below = round(box.y) - gap - layer.height, round(box.y + box.height) + gap
    y = next((y for y in (above, below) if 0 <= y <= floor - layer.height), round(box.y) + gap)
    return max(0, min(x, right - layer.width)), max(0, min(y, floor - layer.height))
