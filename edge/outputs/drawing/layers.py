"""Sheets: what lies over a part of the picture, made once and laid over many pictures.

A sheet says of each pixel how much of the picture shines through and what is added to that, so that plates, rounded
corners and text in any colours cost two passes over the part they cover, however much is on them.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np

from edge.outputs.drawing.text import Coverage
from edge.reading import Image

Colour = tuple[int, int, int]
"""Blue, green, red, 0 to 255."""

DARK: Final[Colour] = (24, 20, 18)
WHITE: Final[Colour] = (255, 255, 255)
THROUGH: Final = 0.22
"""How much of the picture shines through a plate: white text on it keeps a contrast of 7:1 over a white picture."""

_FINER: Final = 4


@dataclass(frozen=True, slots=True)
class Sheet:
    """keep: what is left of the picture, 255 for all; add: what comes on top. Each BGR uint8 [height, width, 3]."""

    keep: Image
    add: Image

    @property
    def height(self) -> int:
        return self.keep.shape[0]

    @property
    def width(self) -> int:
        return self.keep.shape[1]


@lru_cache(maxsize=256)
def _rounded(width: int, height: int, radii: tuple[int, int, int, int]) -> Coverage:
    """A rectangle with rounded corners: top left, top right, bottom right, bottom left, in pixels."""
    cover = np.full((height, width), 255, np.uint8)
    for corner, radius in enumerate(radii):
        radius = min(radius, width // 2, height // 2)
        if radius < 1:
            continue
        disc = np.zeros((radius * _FINER, radius * _FINER), np.uint8)
        cv2.circle(disc, (radius * _FINER, radius * _FINER), radius * _FINER, (255,), cv2.FILLED)
        quarter = cv2.resize(disc, (radius, radius), interpolation=cv2.INTER_AREA)
        rows = slice(radius) if corner < 2 else slice(height - radius, height)
        columns = slice(radius) if corner in (0, 3) else slice(width - radius, width)
        cover[rows, columns] = quarter[:: 1 if corner < 2 else -1, :: 1 if corner in (0, 3) else -1]
    return cover


def plate(width: int, height: int, *radii: int) -> Sheet:
    """A dark plate that lets a little of the picture through, with rounded corners.

    radii: of the corners in pixels, clockwise from the top left; one for all of them, none: square ones.
    """
    four = (radii * 4)[:4] if len(radii) == 1 else (radii or (0, 0, 0, 0))
    assert len(four) == 4
    cover = _rounded(width, height, four).astype(np.float32)[..., None] / 255
    keep = np.rint(255 * (1 - (1 - THROUGH) * cover)) * np.ones(3, np.float32)
    add = np.rint((1 - THROUGH) * cover * np.array(DARK, np.float32))
    return Sheet(keep.astype(np.uint8), add.astype(np.uint8))


def ink(sheet: Sheet, cover: Coverage, x: int, y: int, colour: Colour = WHITE) -> None:
    """Print on a sheet that is not cached yet, with the top left corner at x, y; what does not fit is cut off."""
    left, top = max(0, -x), max(0, -y)
    cover = cover[top : top + sheet.height - max(0, y), left : left + sheet.width - max(0, x)]
    x, y = max(0, x), max(0, y)
    share = cover.astype(np.float32)[..., None] / 255
    area = np.s_[y : y + cover.shape[0], x : x + cover.shape[1]]
    sheet.keep[area] = np.rint(sheet.keep[area] * (1 - share))
    sheet.add[area] = np.rint(sheet.add[area] * (1 - share) + share * np.array(colour, np.float32))


def lay(image: Image, sheet: Sheet, x: int, y: int, under: Image | None = None) -> None:
    """Lay a sheet over the picture with its top left corner at x, y; what leaves the picture is cut off.

    under: what shines through, a picture of the same size; None: the picture itself.
    """
    left, top = max(0, -x), max(0, -y)
    area = np.s_[max(0, y) : max(0, y + sheet.height), max(0, x) : max(0, x + sheet.width)]
    into = image[area]
    height, width = into.shape[:2]
    if not height or not width:
        return
    part = np.s_[top : top + height, left : left + width]
    through = into if under is None else under[area]
    cv2.multiply(through, sheet.keep[part], dst=into, scale=1 / 255)
    cv2.add(into, sheet.add[part], dst=into)
