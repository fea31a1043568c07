"""Pictures that are made for people: the annotated frame as a JPEG, and the card that stands for the camera."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Final

import cv2
import numpy as np

from edge.config import Settings
from edge.outputs.drawing.blur import Veil
from edge.outputs.drawing.layers import Sheet, ink, lay
from edge.outputs.drawing.overlay import PLAIN, Context, annotate
from edge.outputs.drawing.text import lettering
from edge.reading import Frame, Image, Reading
from edge.translations import Language, words_of

Draw = Callable[[Frame, Reading], bytes]
"""Makes a JPEG of a frame with what was seen in it."""

JPEG_QUALITY: Final = 80
_GROUND: Final = (40, 34, 30)
_INK: Final = (235, 235, 235)


def jpeg(frame: Frame, reading: Reading, context: Context = PLAIN) -> bytes:
    """The frame with what was seen in it drawn on, as a JPEG."""
    picture = annotate(frame.image, reading, context=context)
    return cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))[1].tobytes()


def jpegs(settings: Settings) -> Draw:
    """What makes the JPEGs of the daemon's frames in the settings' language.

    Where faces are to be hidden, the daemon has hidden them: nothing that it hands out shows one.
    """
    return partial(jpeg, context=Context(words_of(settings.display.language)))


def jpegs_of_others(settings: Settings) -> Draw:
    """The same for pictures that do not come from the daemon: it hides their faces itself where the settings ask."""
    draw = jpegs(settings)
    if not settings.display.blur:
        return draw
    return lambda frame, reading: draw(Veil(settings.detector.region)(frame, reading), reading)


@lru_cache(maxsize=1)
def privacy_card(width: int, height: int, language: Language = "en") -> Image:
    """What is shown in place of the camera's picture while privacy is on: BGR uint8 [height, width, 3].

    A camera crossed out, and two lines. Not to be written to.
    """
    card = np.full((height, width, 3), _GROUND, np.uint8)
    unit = min(width, height) / 12
    middle, top = width / 2, height * 0.38
    thick = max(2, round(unit / 6))

    def at(x: float, y: float) -> tuple[int, int]:
        return round(middle + x * unit), round(top + y * unit)

    cv2.rectangle(card, at(-2, -1.2), at(1, 1.2), _INK, thick, cv2.LINE_AA)
    cv2.polylines(
        card, [np.array([at(1, -0.3), at(2, -1), at(2, 1), at(1, 0.3)])], False, _INK, thick, lineType=cv2.LINE_AA
    )
    cv2.line(card, at(-2.4, 1.8), at(2.4, -1.8), _GROUND, 4 * thick, cv2.LINE_AA)
    cv2.line(card, at(-2.4, 1.8), at(2.4, -1.8), _INK, thick, cv2.LINE_AA)
    words = words_of(language)
    sheet = Sheet(np.full_like(card, 255), np.zeros_like(card))
    for line, share, place in ((words["privacy"], 0.8, 0.66), (words["camera_off"], 0.55, 0.79)):
        capital = max(5, round(unit * share))
        longest = lettering(line, capital, "bold").shape[1]
        text = lettering(line, max(5, int(capital * min(1.0, 0.92 * width / longest))), "bold")
        ink(sheet, text, round(middle - text.shape[1] / 2), round(height * place), _INK)
    lay(card, sheet, 0, 0)
    return card
