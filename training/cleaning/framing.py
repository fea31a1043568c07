"""Chooses the board's crop for a network by how much the training images show around the face."""

import logging
from typing import Final

import numpy as np

from edge.errors import EmotionEdgeError
from edge.models.card import CropSpec
from training.cleaning.face_crops import FILLS, FaceCutter, image_at, open_cutter
from training.datasets.dataset import Dataset

SAMPLE: Final = 100
MOST_SPREAD: Final = 0.35
"""Largest interquartile range of the faces' sizes, over their median, at which one crop fits all images."""
NEARLY_SQUARE: Final = 1.25
WHOLE: Final = (
    "the whole picture, as the network learned from whole pictures: stretched to the input, averaging where it shrinks"
)

_log = logging.getLogger(__name__)


def crop_of(data: Dataset, channels: int, cutter: FaceCutter | None = None) -> CropSpec:
    """Choose the crop with which the board frames faces as the images of a data set do.

    The standard crop, if faces fill their images, the data set gives face boxes, or few faces are found. A larger
    square around the face, if images are square with faces of similar size. Else the whole picture.

    Args:
        data: The data set, before its images are resized; up to SAMPLE images are looked at.
        channels: 1 for grey, 3 for BGR.
        cutter: Face detector; None opens one.
    """
    spec = CropSpec(colour="grey" if channels == 1 else "bgr")
    if data.boxes is not None:
        return spec
    cutter = cutter or open_cutter()
    seen, found = 0, []
    for index in np.unique(np.linspace(0, len(data) - 1, SAMPLE).astype(int)).tolist():
        try:
            image = image_at(data, index)
        except EmotionEdgeError:
            continue
        seen += 1
        square = cutter.square(image, None)
        if square is not None:
            height, width = image.shape[:2]
            # The centre of the face box: the crop's square is shifted from it by `shift`.
            x = square.x + square.width * (0.5 - cutter.spec.shift[0])
            y = square.y + square.width * (0.5 - cutter.spec.shift[1])
            side = float(np.sqrt(width * height))
            found.append((square.width / side, (width / 2 - x) / side, (height / 2 - y) / side, width / height))
    if len(found) < max(3, seen / 4):
        return spec
    parts, right, down, aspects = np.array(found).T
    part, aspect = float(np.median(parts)), float(np.median(aspects))
    if part >= FILLS:
        return spec
    low, high = np.quantile(parts, (0.25, 0.75))
    scale = cutter.spec.scale / part
    if (high - low) / part <= MOST_SPREAD and 1 / NEARLY_SQUARE <= aspect <= NEARLY_SQUARE and scale <= 5:
        shift = round(float(np.median(right)), 3), round(float(np.median(down)), 3)
        _log.info("%s: faces fill %.0f%% of the images' side: the card's crop is as wide", data.name, 100 * part)
        return spec.model_copy(update={"scale": round(scale, 3), "shift": shift})
    _log.warning(
        "%s: shows more than faces (%.0f%% of the images' side): the network sees whole pictures, on the board too, "
        "where all faces of a picture then get one emotion; `emotion-train prepare` cuts the faces as the board does",
        data.name,
        100 * part,
    )
    return spec.model_copy(update={"area": "image", "how": WHOLE})
