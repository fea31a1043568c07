"""Cuts out the part of an image that `prepare` keeps: the face, cropped as on the board, or the whole image."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from edge.config import DetectorSettings
from edge.errors import EmotionEdgeError
from edge.faces.crop import crop_square, cut
from edge.faces.detector import Detector, open_detector
from edge.models.card import CropSpec
from edge.models.runtime import choose
from edge.reading import Box, Image
from training.datasets.dataset import Dataset
from training.datasets.pixels import read_image

SAME_FACE: Final = 0.3
"""Least intersection over union of a detection and the data set's box at which both are the same face: low, as every
data set draws its boxes in its own way.
"""
FILLS: Final = 0.8
"""Least ratio of the face crop's side to the image's shorter side at which the image is already a face crop."""
_SAMPLE: Final = 100
_THREADS: Final = 2


@dataclass(frozen=True, slots=True)
class FaceCutter:
    """Detects the face of an image as on the board, and computes the square that the board would crop."""

    detector: Detector
    spec: CropSpec

    def square(self, image: Image, named: Box | None) -> Box | None:
        """Compute the square to crop; None if no face was detected.

        named: face box given by the data set, if any; otherwise the largest face is used.
        """
        found = [detection.box for detection in self.detector.detect(image)]
        if named is not None:
            found = [box for box in found if box.iou(named) >= SAME_FACE]
        best = max(found, key=lambda box: box.area if named is None else box.iou(named), default=None)
        return None if best is None else crop_square(best, self.spec)


def open_cutter() -> FaceCutter:
    """Open a FaceCutter whose detector runs at size 320, to which the crop was fitted.

    Raises EmotionEdgeError if the model of the detector is missing.
    """
    return FaceCutter(open_detector(DetectorSettings(size="320"), choose(), _THREADS), CropSpec())


def image_at(data: Dataset, index: int) -> Image:
    """Read one image of a data set, upright: grey uint8 [h, w], or BGR uint8 [h, w, 3] if it has colours.

    Raises EmotionEdgeError, with the file name, if the file is missing, not an image, or truncated.
    """
    if not isinstance(data.images, tuple):
        return np.asarray(data.images[index])
    image = read_image(data.images[index], 3)
    blue, green, red = cv2.split(image)
    return np.asarray(green, np.uint8) if np.array_equal(blue, green) and np.array_equal(green, red) else image


def named_face(data: Dataset, index: int) -> Box | None:
    """The face box given by the data set, or None."""
    if data.boxes is None or not data.boxes[index].any():
        return None
    return Box(*map(float, data.boxes[index]))


def crop(image: Image, square: Box, largest: int) -> Image:
    """Crop a square, repeating edge pixels beyond the border; shrink it if its side exceeds `largest` pixels."""
    side = min(max(1, round(square.width)), largest)
    pixels = cut(image, square, side, side, "grey" if image.ndim == 2 else "bgr")
    return pixels[:, :, 0] if image.ndim == 2 else pixels


def whole(image: Image, named: Box | None, largest: int) -> Image:
    """Return the whole image, or the part in the face box if the data set gives one.

    It is shrunk if its longer side exceeds `largest` pixels.
    """
    if named is not None:
        left, top = max(0, round(named.x)), max(0, round(named.y))
        part = image[top : round(named.y + named.height), left : round(named.x + named.width)]
        image = part if part.size else image
    longer = max(image.shape[:2])
    if longer <= largest:
        return image
    size = [max(1, round(side * largest / longer)) for side in image.shape[1::-1]]
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def are_crops(data: Dataset, cutter: FaceCutter) -> bool:
    """Return True if the images of a data set are already face crops.

    Criterion: in a sample of up to 100 images, the median ratio of the crop's side to the shorter side of the image is
    at least FILLS. For FER-2013, whose framing the board's crop reproduces, it is 0.98.
    """
    shares = []
    for index in np.unique(np.linspace(0, len(data) - 1, _SAMPLE).astype(int)).tolist():
        try:
            image = image_at(data, index)
        except EmotionEdgeError:
            continue
        square = cutter.square(image, None)
        if square is not None:
            shares.append(square.width / min(image.shape[:2]))
    return bool(shares) and float(np.median(shares)) >= FILLS
