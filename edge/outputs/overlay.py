"""The annotated picture: boxes, emotions and the notice that emotion recognition runs, drawn with OpenCV alone."""

import math
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from edge.labels import UNCERTAIN
from edge.reading import Box, Face, Image, Reading

NOTICE: Final = "Emotion recognition is running; no image is stored"
NOTICE_OFF: Final = "Emotion recognition is off"

COLOURS: Final[Mapping[str, str]] = MappingProxyType(
    {
        # The palette of Okabe and Ito, "Color Universal Design" (2008), told apart with any kind of colour vision.
        "angry": "#d55e00",
        "negative": "#d55e00",
        "disgust": "#009e73",
        "fear": "#cc79a7",
        "happy": "#f0e442",
        "sad": "#0072b2",
        "surprise": "#e69f00",
        "contempt": "#56b4e9",
        "neutral": "#e8e8e8",
        UNCERTAIN: "#6e6e6e",
    }
)
"""sRGB colour of each emotion, for picture and page."""

_Colour = tuple[int, int, int]
_DARK: Final[_Colour] = (24, 20, 18)
_BAR_EMPTY: Final[_Colour] = (50, 46, 44)
_PLATE: Final = 0.22
"""How much of the picture shines through a plate: white text on it keeps a contrast of 7:1 over a white picture."""
_SHARPER: Final = 4
"""Text is drawn this many times larger, then shrunk: OpenCV's stroke font has whole-pixel strokes only."""


def bgr(emotion: str) -> _Colour:
    """The emotion's colour for OpenCV; of a label that is not known, that of `uncertain`."""
    colour = COLOURS.get(emotion, COLOURS[UNCERTAIN])
    return int(colour[5:7], 16), int(colour[3:5], 16), int(colour[1:3], 16)


def annotate(image: Image, reading: Reading, message: str = "") -> Image:
    """A copy of the picture with what was seen drawn on it.

    image: BGR uint8 [H, W, 3], the frame of the Reading or the same scene at another size.
    message: a line that is put across the top, such as that the picture is old. ASCII, as all text here.
    """
    drawn = image.copy()
    height, width = drawn.shape[:2]
    size = _text_size(width, height)
    across, down = width / reading.width, height / reading.height
    # The largest last, so that no smaller face's label hides the one the scene is judged by.
    for face in sorted(reading.faces, key=lambda face: face.detection.box.area):
        box = face.detection.box
        box = Box(box.x * across, box.y * down, box.width * across, box.height * down)
        _draw_box(drawn, face, box, size)
        _draw_label(drawn, image, face, box, size)
    _lay(drawn, _notice(NOTICE if reading.analysed else NOTICE_OFF, width, size), 0, height)
    if message:
        _lay(drawn, _banner(message, width, size), 0, 0)
    return drawn


def _text_size(width: int, height: int) -> int:
    """Height of a capital letter in pixels: about a thirtieth of the picture's height, and still to be read."""
    return max(8, round(min(height, width * 0.75) / 36))


@lru_cache(maxsize=1024)
def _text(text: str, size: int, weight: float = 1.0) -> npt.NDArray[np.uint8]:
    """The text as coverage, uint8 [height, width], 0 to 255: capitals of `size` pixels, room for descenders below.

    weight: stroke width, 1 is regular.
    """
    large = size * _SHARPER
    scale = large / 21.0  # capitals of Hershey's simplex font are 21 units high
    stroke = max(1, round(large * 0.13 * weight))
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, stroke)
    width = math.ceil(width / _SHARPER) * _SHARPER
    canvas = np.zeros((round(size * 1.5) * _SHARPER, width), np.uint8)
    cv2.putText(canvas, text, (0, large + stroke // 2), cv2.FONT_HERSHEY_SIMPLEX, scale, (255,), stroke, cv2.LINE_AA)
    small = cv2.resize(canvas, None, fx=1 / _SHARPER, fy=1 / _SHARPER, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def _write(image: Image, text: npt.NDArray[np.uint8], x: int, y: int) -> None:
    """Put white text with its top left corner at x, y, cut where it leaves the picture."""
    into = image[y : y + text.shape[0], x : x + text.shape[1]]
    np.maximum(into, text[: into.shape[0], : into.shape[1], None], out=into)


def _darken(image: Image, under: Image, x: int, y: int, width: int, height: int) -> None:
    """A dark plate through which `under` shines: the bare picture, so that no other face's label does."""
    area = np.s_[y : y + height, x : x + width]
    plain = np.full_like(under[area], _DARK)
    cv2.addWeighted(under[area], _PLATE, plain, 1 - _PLATE, 0, dst=image[area])


def _lay(image: Image, strip: Image, x: int, y: int) -> None:
    """Blend a dark strip with white text into the picture; y is its top, or the picture's height for the bottom.

    On a thumbnail it is cut at half the height, so that something of the picture is left.
    """
    strip = strip[: image.shape[0] // 2]
    y = min(y, image.shape[0] - strip.shape[0])
    into = image[y : y + strip.shape[0], x : x + strip.shape[1]]
    cv2.addWeighted(into, _PLATE, strip, 1, 0, dst=into)


def _strip(lines: list[str], width: int, size: int) -> Image:
    """A strip across the picture with the lines centred, already weighted for `_lay`."""
    texts = [_text(line, size) for line in lines]
    pad = round(size * 0.6)
    step = round(size * 1.55)
    strip = np.full((pad * 2 + step * (len(texts) - 1) + size, width, 3), _DARK, np.uint8)
    cv2.convertScaleAbs(strip, dst=strip, alpha=1 - _PLATE)
    for row, text in enumerate(texts):
        _write(strip, text, max(0, (width - text.shape[1]) // 2), pad + row * step)
    return strip


def _wrapped(message: str, width: int, size: int) -> list[str]:
    lines: list[str] = []
    for word in message.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _text(longer, size).shape[1] <= width - size:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


@lru_cache(maxsize=8)
def _banner(message: str, width: int, size: int) -> Image:
    return _strip(_wrapped(message, width, size), width, size)


@lru_cache(maxsize=8)
def _notice(text: str, width: int, size: int) -> Image:
    """The notice in somewhat smaller letters, in two lines where the picture is narrow."""
    small = max(7, round(size * 0.8))
    return _strip(_wrapped(text, width, small), width, small)


def _outline(box: Box, radius: float) -> npt.NDArray[np.int32]:
    """The corners of a rounded rectangle, int32 [n, 1, 2], in 1/8 pixels."""
    arc = np.linspace(0, math.pi / 2, 6)
    left, top, right, bottom = box.x + radius, box.y + radius, box.x + box.width - radius, box.y + box.height - radius
    corners = ((right, bottom), (left, bottom), (left, top), (right, top))
    points = [
        (x + radius * np.cos(arc + turn * math.pi / 2), y + radius * np.sin(arc + turn * math.pi / 2))
        for turn, (x, y) in enumerate(corners)
    ]
    flat = np.concatenate([np.stack(point, axis=1) for point in points])
    return np.asarray(np.rint(flat * 8), np.int32)[:, None]


def _draw_box(image: Image, face: Face, box: Box, size: int) -> None:
    stroke = _stroke(size)
    outline = _outline(box, min(box.width, box.height, size * 8) * 0.1)
    cv2.polylines(image, [outline], True, _DARK, stroke + 2, cv2.LINE_AA, shift=3)
    cv2.polylines(image, [outline], True, bgr(face.emotion), stroke, cv2.LINE_AA, shift=3)


def _stroke(size: int) -> int:
    return max(2, round(size / 6))


def _draw_label(image: Image, under: Image, face: Face, box: Box, size: int) -> None:
    """The plate with emotion, confidence and its bar, then track, valence and arousal in small letters.

    under: the bare picture. One lower than 200 pixels has room for the emotion and the bar only.
    """
    height, width = image.shape[:2]
    word = _text(face.emotion, size, 1.25)
    top, bottom, detail = [word], [], size
    if height >= 200:
        detail = max(7, round(size * 0.72))
        top.append(_text(f"{face.confidence:.0%}", size))
        bottom = [_text(f"#{face.track}", detail), _text(f"V{face.valence:+.1f} A{face.arousal:+.1f}", detail)]
    pad, bar = round(size * 0.55), max(3, round(size * 0.32))
    inner = max(sum(text.shape[1] for text in row) + size * (len(row) - 1) for row in (top, bottom or top))
    bar_at = pad + round(size * 1.5)
    plate_height = bar_at + bar + (round(size * 0.5) + detail if bottom else 0) + pad
    plate_width = inner + 2 * pad
    above_notice = height - _notice(NOTICE, width, size).shape[0]
    x, y = _place(box, plate_width, plate_height, width, above_notice, _stroke(size) + 2)

    _darken(image, under, x, y, plate_width, plate_height)
    left, right = x + pad, x + pad + inner
    for row, at in ((top, pad), (bottom, bar_at + bar + round(size * 0.5))):
        for text, start in zip(row, (left, right - (row[-1].shape[1] if row else 0)), strict=False):
            _write(image, text, start, y + at)
    filled = round(inner * min(1.0, max(0.0, face.confidence)))
    image[y + bar_at : y + bar_at + bar, left:right] = _BAR_EMPTY
    image[y + bar_at : y + bar_at + bar, left : left + filled] = bgr(face.emotion)


def _place(box: Box, width: int, height: int, right: int, floor: int, gap: int) -> tuple[int, int]:
    """Top left corner of a face's plate: above the box, else below, else at the box's top; always in the picture."""
    x = round(box.x) - gap // 2
    above, below = round(box.y) - gap - height, round(box.y + box.height) + gap
    y = next((y for y in (above, below) if 0 <= y <= floor - height), round(box.y) + gap)
    return max(0, min(x, right - width)), max(0, min(y, floor - height))
