"""The face crop, from frame and detection to the network's input pixels; used on the board and in training."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge.faces.exposure import brighten_crop
from edge.faces.roll import UPRIGHT, roll_of
from edge.models.card import CropSpec, InputSpec
from edge.reading import Box, Detection, Image

Pixels = npt.NDArray[np.uint8]
"""Face crops: uint8 [n, height, width, channels], 0 to 255."""


def crop_square(box: Box, spec: CropSpec) -> Box:
    """Return the square to crop for a detection's box; it may extend past the frame."""
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
    # slow for factors that are not whole numbers.
    halvings = max(0, math.floor(math.log2(min(patch.shape[0] / height, patch.shape[1] / width))))
    for step in range(halvings, -1, -1):
        patch = cv2.resize(patch, (width << step, height << step), interpolation=cv2.INTER_LINEAR)
    return np.asarray(patch, np.uint8).reshape(height, width, 1 if colour == "grey" else 3)


def stretched(image: Image, shape: tuple[int, ...]) -> Image:
    """Stretch a whole image to a shape, (height, width) for grey or (height, width, 3) for BGR.

    Shrinking averages areas.
    """
    height, width, *channels = shape
    if not channels and image.ndim == 3:
        image = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
    elif channels and image.ndim == 2:
        image = np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
    if image.shape[:2] == (height, width):
        return image
    how = cv2.INTER_AREA if image.shape[0] > height else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=how), np.uint8)


def _whole(image: Image, spec: InputSpec) -> Image:
    """Resize a whole picture to the input's height, width and channels, as training does."""
    shape = spec.height, spec.width, spec.channels
    return stretched(image, shape[:2] if spec.channels == 1 else shape).reshape(shape)


def _upright(image: Image, square: Box, roll: float) -> tuple[Image, Box]:
    """Rotate a picture by `roll` about a square's centre; return the part in the square, and the square in it."""
    side = max(1, round(square.width))
    turn = cv2.getRotationMatrix2D((square.x + square.width / 2, square.y + square.height / 2), roll, 1.0)
    corner = np.array((square.x + square.width / 2 - side / 2, square.y + square.height / 2 - side / 2))
    turn = np.hstack([turn[:, :2], turn[:, 2:] - corner[:, None]])
    part = cv2.warpAffine(image, turn, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(part, np.uint8), Box(0, 0, side, side)


@functools.lru_cache(maxsize=4)
def _table(spec: InputSpec) -> npt.NDArray[Any]:
    return spec.lookup()


def face_crops(image: Image, faces: Sequence[Detection | Box], crop: CropSpec, spec: InputSpec) -> Pixels:
    """Crop the faces of one frame: rolled ones are turned upright by the eyes, dark ones brightened.

    If the card's crop area is `image`, each face gets the whole frame instead.

    Args:
        image: BGR uint8 [H, W, 3] or grey [H, W].
        faces: as detected in the image; a plain Box is cropped without rotation.
        crop: of the model's card.
        spec: of the model's card.

    Returns:
        uint8 [len(faces), height, width, channels].
    """
    pixels = np.empty((len(faces), spec.height, spec.width, spec.channels), np.uint8)
    if crop.area == "image":
        pixels[:] = brighten_crop(_whole(image, spec)) if len(faces) else 0
        return pixels
    for row, face in enumerate(faces):
        box, roll = (face, 0.0) if isinstance(face, Box) else (face.box, roll_of(face))
        square = crop_square(box, crop)
        if abs(roll) < UPRIGHT:
            cropped = cut(image, square, spec.width, spec.height, crop.colour)
        else:
            cropped = cut(*_upright(image, square, roll), spec.width, spec.height, crop.colour)
        pixels[row] = brighten_crop(cropped)
    return pixels


def fitted_crops(crops: Pixels, spec: InputSpec) -> Pixels:
    """Convert face crops, uint8 [n, h, w, 1 or 3], to the size and colour of another network's input."""
    wanted = (spec.height, spec.width, spec.channels)
    if crops.shape[1:] == wanted:
        return crops
    pixels = np.empty((len(crops), *wanted), np.uint8)
    for row, crop in enumerate(crops):
        pixels[row] = _whole(crop[:, :, 0] if crop.shape[2] == 1 else crop, spec)
    return pixels


def input_tensor(crops: Pixels, spec: InputSpec) -> npt.NDArray[np.generic]:
    """Convert pixels, uint8 [n, height, width, channels], to the network's input, same shape, in its own dtype."""
    return np.asarray(_table(spec)[crops])
