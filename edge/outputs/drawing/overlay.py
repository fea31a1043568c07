"""Annotates frames: faces with their emotions, the last minute, and the notice that emotion recognition runs."""

import math
from functools import lru_cache

from edge.outputs.drawing.face_tags import draw_faces
from edge.outputs.drawing.last_minute import PLAIN, SLOT, Context
from edge.outputs.drawing.layers import Layer, blend, paint, panel
from edge.outputs.drawing.sizes import Sizes
from edge.outputs.drawing.text import Coverage, margin, render_text
from edge.outputs.drawing.timeline import paint_scale, scale_height, timeline
from edge.reading import Box, Image, Reading


def annotate(image: Image, reading: Reading, message: str = "", context: Context = PLAIN) -> Image:
    """Return a copy of the image with the Reading drawn on it, sharp at the image's own size.

    Args:
        image: BGR uint8 [H, W, 3], the frame of the Reading or the same scene at another size.
        reading: the faces found in the frame.
        message: a line across the top, such as that the image is old; empty: none.
        context: what else is drawn.
    """
    drawn = image.copy()
    height, width = drawn.shape[:2]
    sizes = Sizes.of(width, height, len(reading.faces))
    past = context.past if reading.analysed and height >= 200 else None
    notice = context.words["notice" if reading.analysed else "notice_off"]
    rate = f"{context.fps:.0f} fps" if context.fps is not None and reading.analysed else ""
    foot = _footer(notice, rate, context.words["now"] if past else "", width, height, sizes)
    floor = height - foot.height
    across, down = width / reading.width, height / reading.height
    blend(drawn, foot, 0, floor)
    if past is not None:
        band = timeline(past, math.floor(reading.captured_at / SLOT), width - 4 * sizes.space, _band(sizes))
        top = floor + round(1.5 * sizes.space)
        drawn[top : top + band.shape[0], 2 * sizes.space : 2 * sizes.space + band.shape[1]] = band
    boxes = [face.detection.box for face in reading.faces]
    scaled = [Box(box.x * across, box.y * down, box.width * across, box.height * down) for box in boxes]
    draw_faces(drawn[:floor], image, list(zip(reading.faces, scaled, strict=True)), sizes, context.words)
    if message:
        blend(drawn, _banner(message, width, height, sizes), 0, 0)
    return drawn


def wrapped(text: str, room: int, capital: int) -> list[Coverage]:
    """Wrap text into rendered lines of at most `room` pixels; a longer word gets a line of its own."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and render_text(longer, capital).shape[1] <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return [render_text(line, capital) for line in lines]


def _clipped(layer: Layer, height: int) -> Layer:
    """Clip a strip to half the image's height, so that some of a small frame stays visible."""
    return Layer(layer.keep[: height // 2], layer.add[: height // 2])


@lru_cache(maxsize=16)
def _banner(message: str, width: int, height: int, sizes: Sizes) -> Layer:
    lines = wrapped(message, width - 2 * sizes.space, sizes.text)
    step = round(sizes.text * 1.6)
    layer = panel(width, 3 * sizes.space + sizes.text + step * (len(lines) - 1))
    for row, text in enumerate(lines):
        top = round(1.5 * sizes.space) + row * step - margin(sizes.text)
        paint(layer, text, (width - text.shape[1]) // 2, top)
    return _clipped(layer, height)


def _band(sizes: Sizes) -> int:
    """Return the height of the timeline in pixels."""
    return 2 * sizes.space


def _scale(sizes: Sizes) -> int:
    """Return the height in pixels of capitals in the timeline's scale."""
    return max(7, round(sizes.text * 0.6))


@lru_cache(maxsize=16)
def _footer(notice: str, fps: str, now: str, width: int, height: int, sizes: Sizes) -> Layer:
    """Render the strip along the bottom: the notice and the frame rate, with room for the timeline above them.

    now: the word for the present at the end of the timeline's scale; empty: no timeline.
    """
    space = sizes.space
    room = width - 4 * space if now else width - 2 * space
    # A smaller font, or leaving the frame rate out, may fit the notice into one line.
    small = max(7, round(sizes.text * 0.75))
    for capital, figure in ((sizes.text, fps), (small, fps), (small, ""), (sizes.text, "")):
        rate = render_text(figure, capital) if figure else None
        lines = wrapped(notice, room - (rate.shape[1] + 3 * space if rate is not None else 0), capital)
        if len(lines) == 1:
            break
    step = round(capital * 1.6)
    top = round(1.5 * space)
    scale = top + _band(sizes) + 1
    if now:
        top = scale + scale_height(_scale(sizes)) + space // 2
    layer = panel(width, top + step * (len(lines) - 1) + capital + round(1.5 * space))
    if now:
        paint_scale(layer, 2 * space, scale, room, _scale(sizes), now)
    for row, text in enumerate(lines):
        x = 2 * space if rate is not None else (width - text.shape[1]) // 2
        paint(layer, text, max(0, x), top + row * step - margin(capital))
    if rate is not None:
        paint(layer, rate, width - 2 * space - rate.shape[1], top - margin(capital))
    return _clipped(layer, height)
