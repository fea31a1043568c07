"""The face crop, from frame and detection to the network's input pixels; the board and training share it."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge.faces.exposure import brighten_crop
from edge.models.card import CropSpec, InputSpec
from edge.reading import Box, Image

Pixels = npt.NDArray[np.uint8]
"""Face crops: uint8 [n, height, width, channels], 0 to 255."""


def crop_square(box: Box, spec: CropSpec) -> Box:
    """The square to crop for a detection's box; it may extend past the frame."""
    side = spec.scale * math.sqrt(box.width * box.height)
    centre_x = box.x + box.width / 2 + spec.shift[0] * side
    centre_y = box.y + box.height / 2 + spec.shift[1] * side
    return Box(centre_x - side / 2, centre_y - side / 2, side, side)


def cut(image: Image, square: Box, width: int, height: int, colour: str) -> Image:
    """Crop a square from a frame and resize it.

    Past the frame's edge the edge pixels are repeated; shrinking averages areas, so that fine detail does not alias.

    Args:
        image: BGR uint8 [H, W, 3] or grey [H, W].
        square: what to crop, in pixels of the image.
        width: of the result, pixels.
        height: of the result, pixels.
        colour: `grey` or `bgr`.

    Returns:
        uint8 [height, width, 1] for `grey`, [height, width, 3] for `bgr`.
    """
    frame_height, frame_width = image.shape[:2]
    x0, y0 = round(square.x), round(square.y)
    side = max(1, round(square.width))
    left, top = min(max(x0, 0), frame_width - 1), min(max(y0, 0), frame_height - 1)
    right, bottom = max(min(x0 + side, frame_width), left + 1), max(min(y0 + side, frame_height), top + 1)
    patch: npt.NDArray[Any] = image[top:bottom, left:right]
    if colour == "grey" and patch.ndim == 3:
        patch = cv2.cvtColor(patch, cv2.COLOR_BGR2GRAY)
    elif colour == "bgr" and patch.ndim == 2:
        patch = cv2.cvtColor(patch, cv2.COLOR_GRAY2BGR)
    borders = (max(top - y0, 0), max(y0 + side - bottom, 0), max(left - x0, 0), max(x0 + side - right, 0))
    if any(borders):
        patch = cv2.copyMakeBorder(patch, *borders, cv2.BORDER_REPLICATE)
    # Bilinear to a power of two times the size, then 2x2 averages: a third of the time of OpenCV's INTER_AREA, which is
    # slow for factors that are no whole number.
    halvings = max(0, math.floor(math.log2(min(patch.shape[0] / height, patch.shape[1] / width))))
    for step in range(halvings, -1, -1):
        patch = cv2.resize(patch, (width << step, height << step), interpolation=cv2.INTER_LINEAR)
    return np.asarray(patch, np.uint8).reshape(height, width, 1 if colour == "grey" else 3)


@functools.lru_cache(maxsize=4)
def _table(spec: InputSpec) -> npt.NDArray[Any]:
    return spec.lookup()


def face_crops(image: Image, boxes: Sequence[Box], crop: CropSpec, spec: InputSpec) -> Pixels:
    """The face crops of one frame, dark ones brightened: uint8 [len(boxes), height, width, channels]."""
    pixels = np.empty((len(boxes), spec.height, spec.width, spec.channels), np.uint8)
    for row, box in enumerate(boxes):
        pixels[row] = brighten_crop(cut(image, crop_square(box, crop), spec.width, spec.height, crop.colour))
    return pixels


def input_tensor(crops: Pixels, spec: InputSpec) -> npt.NDArray[np.generic]:
    """The network's input, of the same shape in its own dtype, from pixels uint8 [n, height, width, channels]."""
    return np.asarray(_table(spec)[crops])
