"""Encodes annotated frames as JPEG, and draws the placeholder image that is shown while privacy is on."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Final

import cv2
import numpy as np

from edge.config import Settings
from edge.outputs.drawing.blur import FaceBlur
from edge.outputs.drawing.last_minute import PLAIN, Context
from edge.outputs.drawing.layers import blend, clear, paint
from edge.outputs.drawing.overlay import annotate
from edge.outputs.drawing.text import render_text
from edge.reading import Frame, Image, Reading
from edge.translations import words_of

JpegEncoder = Callable[[Frame, Reading], bytes]
"""Draws a Reading on its frame and encodes the result as JPEG."""

JPEG_QUALITY: Final = 80
_DARK: Final = (40, 34, 30)
_LIGHT: Final = (235, 235, 235)


def jpeg(frame: Frame, reading: Reading, context: Context = PLAIN) -> bytes:
    """Draw a Reading on its frame and encode the result as JPEG."""
    picture = annotate(frame.image, reading, context=context)
    return cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))[1].tobytes()


def frame_jpeg_encoder(settings: Settings) -> JpegEncoder:
    """Return the encoder for the daemon's frames, to which the daemon has already applied `display.blur`."""
    return partial(jpeg, context=Context(words_of(settings.display.language)))


def upload_jpeg_encoder(settings: Settings) -> JpegEncoder:
    """Return the encoder for uploaded images, which applies `display.blur` itself."""
    encode = frame_jpeg_encoder(settings)
    if not settings.display.blur:
        return encode
    return lambda frame, reading: encode(FaceBlur(settings.detector.region)(frame, reading), reading)


@lru_cache(maxsize=1)
def privacy_card(width: int, height: int, language: str = "en") -> Image:
    """Draw the placeholder shown while privacy is on: a crossed-out camera and two lines of text.

    Returns:
        BGR uint8 [height, width, 3], cached: do not write to it.
    """
    card = np.full((height, width, 3), _DARK, np.uint8)
    unit = min(width, height) / 12
    middle, top = width / 2, height * 0.38
    thick = max(2, round(unit / 6))

    def at(x: float, y: float) -> tuple[int, int]:
        return round(middle + x * unit), round(top + y * unit)

    cv2.rectangle(card, at(-2, -1.2), at(1, 1.2), _LIGHT, thick, cv2.LINE_AA)
    cv2.polylines(
        card,
        [np.array([at(1, -0.3), at(2, -1), at(2, 1), at(1, 0.3)])],
        False,
        _LIGHT,
        thick,
        lineType=cv2.LINE_AA,
    )
    cv2.line(card, at(-2.4, 1.8), at(2.4, -1.8), _DARK, 4 * thick, cv2.LINE_AA)
    cv2.line(card, at(-2.4, 1.8), at(2.4, -1.8), _LIGHT, thick, cv2.LINE_AA)
    words = words_of(language)
    layer = clear(width, height)
    for line, share, place in ((words["privacy"], 0.8, 0.66), (words["camera_off"], 0.55, 0.79)):
        capital = max(5, round(unit * share))
        longest = render_text(line, capital, "bold").shape[1]
        text = render_text(line, max(5, int(capital * min(1.0, 0.92 * width / longest))), "bold")
        paint(layer, text, round(middle - text.shape[1] / 2), round(height * place), _LIGHT)
    blend(card, layer, 0, 0)
    return card
