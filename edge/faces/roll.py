"""Tilted heads: measures the roll of a face by its eyes, and rotates pictures so that a detector finds it."""

import cmath
import math
from dataclasses import replace
from typing import Final

import cv2
import numpy as np

from edge.reading import Box, Detection, Image

UPRIGHT: Final = 8.0
"""Degrees of roll below which a crop is not rotated, because the positions of the eyes are inexact."""

TURNED: Final = 12.0
"""Degrees of roll from which a tracked face is also searched for in a picture rotated to make it upright."""

LOOK: Final = 45.0
"""Degrees by which pictures are rotated, to either side, to search for tilted faces that are not tracked yet."""


def roll_of(face: Detection) -> float:
    """Return a face's clockwise roll in degrees, -180 to 180, by the line through its eyes; 0 without landmarks."""
    if face.landmarks is None:
        return 0.0
    (right_x, right_y), (left_x, left_y) = face.landmarks[:2].tolist()
    return math.degrees(math.atan2(left_y - right_y, left_x - right_x))


class TurnedImage:
    """A picture rotated about its centre and shrunk for a detector; corners that leave it are cut off."""

    def __init__(self, image: Image, roll: float, size: tuple[int, int]) -> None:
        """Rotate a picture so that a face with this roll is upright.

        Args:
            image: BGR or grey uint8.
            roll: degrees, clockwise.
            size: width and height of the detector's input; a smaller picture is not enlarged.
        """
        height, width = image.shape[:2]
        scale = min(size[0] / width, size[1] / height, 1.0)
        if scale < 0.5:
            half = (max(1, round(2 * scale * width)), max(1, round(2 * scale * height)))
            image = np.asarray(cv2.resize(image, half, interpolation=cv2.INTER_LINEAR), np.uint8)
        shown = (max(1, round(width * scale)), max(1, round(height * scale)))
        self._centre, self._shown_centre = complex(width, height) / 2, complex(*shown) / 2
        self._turn = scale * cmath.exp(-1j * math.radians(roll))
        turn = self._turn * (width / image.shape[1])
        to = self._shown_centre - turn * complex(image.shape[1], image.shape[0]) / 2
        matrix = np.array([[turn.real, -turn.imag, to.real], [turn.imag, turn.real, to.imag]])
        self.image = np.asarray(cv2.warpAffine(image, matrix, shown, flags=cv2.INTER_LINEAR), np.uint8)

    def back(self, face: Detection) -> Detection:
        """Map a face from the rotated picture to the original one: its box keeps its size, its landmarks rotate."""
        box = face.box
        centre = self._place(complex(box.x + box.width / 2, box.y + box.height / 2))
        width, height = box.width / abs(self._turn), box.height / abs(self._turn)
        marks = face.landmarks
        if marks is not None:
            places = [self._place(complex(x, y)) for x, y in marks.tolist()]
            marks = np.array([(place.real, place.imag) for place in places], np.float32)
        return replace(face, box=Box(centre.real - width / 2, centre.imag - height / 2, width, height), landmarks=marks)

    def _place(self, point: complex) -> complex:
        return (point - self._shown_centre) / self._turn + self._centre
