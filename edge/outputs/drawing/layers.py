"""Overlay layers: rendered once, then blended over many frames.

A layer holds, per pixel, the share of the frame that remains and the colour that is added. Blending a layer costs two
passes over the area it covers, independent of how much is drawn on it.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np

from edge.outputs.drawing.colours import Colour
from edge.outputs.drawing.text import Coverage
from edge.reading import Image

DARK: Final[Colour] = (24, 20, 18)
WHITE: Final[Colour] = (255, 255, 255)
TRANSPARENCY: Final = 0.22
"""Share of the frame that remains under a panel: white text on it keeps a contrast of 7:1 over a white frame."""

_SCALE: Final = 4


@dataclass(frozen=True, slots=True)
class Layer:
    """A transparent drawing that is laid over a frame.

    Attributes:
        keep: share of the frame that remains, 255 for all; BGR uint8 [height, width, 3].
        add: colour that is added; BGR uint8 [height, width, 3].
    """

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
    """Render a rectangle with rounded corners. radii: top left, top right, bottom right, bottom left, in pixels."""
    cover = np.full((height, width), 255, np.uint8)
    for corner, radius in enumerate(radii):
        radius = min(radius, width // 2, height // 2)
        if radius < 1:
            continue
        disc = np.zeros((radius * _SCALE, radius * _SCALE), np.uint8)
        cv2.circle(disc, (radius * _SCALE, radius * _SCALE), radius * _SCALE, (255,), cv2.FILLED)
        quarter = cv2.resize(disc, (radius, radius), interpolation=cv2.INTER_AREA)
        rows = slice(radius) if corner < 2 else slice(height - radius, height)
        columns = slice(radius) if corner in (0, 3) else slice(width - radius, width)
        cover[rows, columns] = quarter[:: 1 if corner < 2 else -1, :: 1 if corner in (0, 3) else -1]
    return cover


def clear(width: int, height: int) -> Layer:
    """Return an empty layer, which leaves the frame unchanged."""
    return Layer(np.full((height, width, 3), 255, np.uint8), np.zeros((height, width, 3), np.uint8))


def panel(width: int, height: int, *radii: int) -> Layer:
    """Return a layer with a dark, slightly transparent rectangle with rounded corners.

    Args:
        width: pixels.
        height: pixels.
        radii: corner radii in pixels, clockwise from the top left; one value for all corners, none: square corners.
    """
    four = (radii * 4)[:4] if len(radii) == 1 else (radii or (0, 0, 0, 0))
    assert len(four) == 4
    cover = _rounded(width, height, four).astype(np.float32)[..., None] / 255
    keep = np.rint(255 * (1 - (1 - TRANSPARENCY) * cover)) * np.ones(3, np.float32)
    add = np.rint((1 - TRANSPARENCY) * cover * np.array(DARK, np.float32))
    return Layer(keep.astype(np.uint8), add.astype(np.uint8))


def paint(layer: Layer, cover: Coverage, x: int, y: int, colour: Colour = WHITE) -> None:
    """Paint `cover` in a colour onto a layer, its top left corner at x, y, clipped. Never pass a cached layer."""
    left, top = max(0, -x), max(0, -y)
    cover = cover[top : top + layer.height - max(0, y), left : left + layer.width - max(0, x)]
    x, y = max(0, x), max(0, y)
    share = cover.astype(np.float32)[..., None] / 255
    area = np.s_[y : y + cover.shape[0], x : x + cover.shape[1]]
    layer.keep[area] = np.rint(layer.keep[area] * (1 - share))
    layer.add[area] = np.rint(layer.add[area] * (1 - share) + share * np.array(colour, np.float32))


def blend(image: Image, layer: Layer, x: int, y: int, under: Image | None = None) -> None:
    """Blend a layer over the image in place, clipped to the image.

    Args:
        image: BGR uint8 [H, W, 3].
        layer: what is blended over it.
        x: column of the layer's top left corner.
        y: row of the layer's top left corner.
        under: the image to blend with, of the same shape; None: `image` itself.
    """
    left, top = max(0, -x), max(0, -y)
    area = np.s_[max(0, y) : max(0, y + layer.height), max(0, x) : max(0, x + layer.width)]
    into = image[area]
    height, width = into.shape[:2]
    if not height or not width:
        return
    part = np.s_[top : top + height, left : left + width]
    through = into if under is None else under[area]
    cv2.multiply(through, layer.keep[part], dst=into, scale=1 / 255)
    cv2.add(into, layer.add[part], dst=into)
