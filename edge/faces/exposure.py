"""Brightens dark frames for the detector and dark face crops for the classifier; pictures for people stay unchanged.

A bright frame costs little: every 16th pixel of every 16th row is read.
"""

import math
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from edge.reading import Image

PERCENTILE: Final = 99
"""Percentile of the pixels that counts as white; the brightest percent may be a lamp in the picture."""

DARK: Final = 128
"""Level of white, 0 to 255, below which a frame or crop is brightened."""

_FRAME_WHITE: Final = 200
_FRAME_GAIN: Final = 6.0
"""For the detector: level to which white is brought, and the largest gain. More gain brings more noise, and fewer faces
are found (measured with read noise of 2 to 6 levels of 255).
"""

_CROP_WHITE: Final = 255
_CROP_GAIN: Final = 12.0
"""For a face crop: level to which white is brought, and the largest gain; shrinking has averaged its noise already."""

_NOISY_GAIN: Final = 4.0
"""Gain from which a frame is blurred with the wider kernel, against noise."""

_TIME: Final = 0.3
"""Time constant of the gain's smoothing, seconds."""

_SWITCHED: Final = 1.6
"""Relative change of the gain that is not smoothed: a lamp was switched on or off."""


class Exposure:
    """Computes the gain for the frames of a stream, smoothed over time. Not thread-safe."""

    def __init__(self) -> None:
        self._gain = 1.0
        self._at = -math.inf

    def gain(self, image: Image, now: float) -> float:
        """Return the factor by which to brighten a frame; 1: it is bright enough.

        Args:
            image: the frame or the part of it that is analysed, BGR or grey uint8.
            now: time of capture, seconds, monotonic.
        """
        wanted = _wanted(image)
        change = max(wanted / self._gain, self._gain / wanted)
        weight = 1.0 if change > _SWITCHED else 1 - math.exp(-max(now - self._at, 0.0) / _TIME)
        self._gain *= (wanted / self._gain) ** weight
        self._at = now
        return self._gain if self._gain > 1.05 else 1.0


def _wanted(image: Image) -> float:
    samples = image[8::16, 8::16]
    samples = samples[..., 1] if samples.ndim == 3 else samples
    if not samples.size or np.count_nonzero(samples >= DARK) * 100 > (100 - PERCENTILE) * samples.size:
        return 1.0
    # Noise raises the percentile of single pixels; means of about 8x8 pixels do not have it.
    height, width = image.shape[:2]
    means = cv2.resize(image, (max(1, width // 8), max(1, height // 8)), interpolation=cv2.INTER_AREA)
    white = float(np.percentile(means[..., 1] if means.ndim == 3 else means, PERCENTILE))
    return min(max(_FRAME_WHITE / max(white, 1.0), 1.0), _FRAME_GAIN)


def brightened(image: Image, gain: float, size: tuple[int, int]) -> tuple[Image, float]:
    """Brighten a frame for a detector, with less noise.

    Args:
        image: BGR or grey uint8.
        gain: factor on the pixels.
        size: the detector's input width and height; a larger image is shrunk to it first, which removes noise.

    Returns:
        The brighter image, and how many pixels of `image` one of its pixels stands for.
    """
    height, width = image.shape[:2]
    ratio = max(1.0, width / size[0], height / size[1])
    if ratio > 1:
        small = (max(1, round(width / ratio)), max(1, round(height / ratio)))
        image = np.asarray(cv2.resize(image, small, interpolation=cv2.INTER_AREA), np.uint8)
    kernel, sigma = (5, 1.0) if gain > _NOISY_GAIN else (3, 0.7)
    smooth = cv2.GaussianBlur(image, (kernel, kernel), sigma)
    return np.asarray(cv2.LUT(smooth, _levels(gain)), np.uint8), width / image.shape[1]


def brighten_crop(crop: Image) -> Image:
    """Brighten a dark face crop to the full range; return others unchanged. crop: uint8 [height, width, channels]."""
    if np.count_nonzero(crop >= DARK) * 100 > (100 - PERCENTILE) * crop.size:
        return crop
    white = float(np.percentile(crop, PERCENTILE))
    gain = min(_CROP_WHITE / max(white, 1.0), _CROP_GAIN)
    return np.asarray(_levels(gain)[crop], np.uint8)


def _levels(gain: float) -> npt.NDArray[np.uint8]:
    """Return the table of 256 output levels for a gain."""
    return np.asarray(np.clip(np.rint(np.arange(256) * gain), 0, 255), np.uint8)
