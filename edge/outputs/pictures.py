"""Pictures that are made for people: the annotated frame as a JPEG, and the card that stands for the camera."""

from functools import lru_cache
from typing import Final

import cv2
import numpy as np

from edge.outputs.overlay import annotate
from edge.reading import Frame, Image, Reading

JPEG_QUALITY: Final = 80
_GROUND: Final = (40, 34, 30)
_INK: Final = (235, 235, 235)
_LINES: Final = ("Privacy is on", "The camera is off")


def jpeg(frame: Frame, reading: Reading) -> bytes:
    """The frame with what was seen in it drawn on, as a JPEG."""
    picture = annotate(frame.image, reading)
    return cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))[1].tobytes()


@lru_cache(maxsize=1)
def privacy_card(width: int, height: int) -> Image:
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
    for number, line in enumerate(_LINES):
        scale = unit / 40 * (1.0 if number == 0 else 0.7)
        weight = max(1, round(2 * scale))
        (across, _), _ = cv2.getTextSize(line, cv2.FONT_HERSHEY_SIMPLEX, scale, weight)
        place = round(middle - across / 2), round(height * 0.70 + number * 1.3 * unit)
        cv2.putText(card, line, place, cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, weight, cv2.LINE_AA)
    return card
