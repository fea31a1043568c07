"""Brightens dark frames for the detector and dark face crops for the classifier; pictures for people stay unchanged.

A bright frame costs little: every 16th pixel of every 16th row is read.
"""

import math
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from edge.reading import Image
from edge.system.percentiles import percentiles

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

_LEAST_GAIN: Final = 1.05
"""Gain up to which a frame is not brightened."""

_TIME: Final = 0.3
"""Time constant of the gain's smoothing, seconds."""

_SWITCHED: Final = 1.6
"""Relative change of the gain that is not smoothed: a lamp was switched on or off."""


class Exposure:
    """Brightens the dark frames of a stream, with a gain that is smoothed over time. Not thread-safe."""

    def __init__(self) -> None:
        self.gain = 1.0
        """Factor by which the pixels of the last frame were multiplied."""
        self._at = -math.inf

    def __call__(self, image: Image, now: float, size: tuple[int, int]) -> tuple[Image, float]:
        """Brighten a frame, or the part of it that is analysed, for a detector if it is dark.

        Args:
            image: BGR or grey uint8.
            now: time of capture, seconds, monotonic.
            size: the detector's input width and height; a larger dark image is shrunk to it first, which removes noise.

        Returns:
            The image itself if it is bright enough, else a brighter one with less noise; and the number of
            pixels of `image`, along a side, for each of its pixels.
        """
        bright = _is_bright(image)
        shrunk = image if bright else _shrunk(image, size)
        self._follow(1.0 if bright else _wanted(shrunk, image.shape), now)
        if self.gain <= _LEAST_GAIN:
            return image, 1.0
        if bright:
            shrunk = _shrunk(image, size)
        kernel, sigma = (5, 1.0) if self.gain > _NOISY_GAIN else (3, 0.7)
        smooth = cv2.GaussianBlur(shrunk, (kernel, kernel), sigma)
        return np.asarray(cv2.LUT(smooth, _levels(self.gain)), np.uint8), image.shape[1] / shrunk.shape[1]

    def _follow(self, wanted: float, now: float) -> None:
        change = max(wanted / self.gain, self.gain / wanted)
        weight = 1.0 if change > _SWITCHED else 1 - math.exp(-max(now - self._at, 0.0) / _TIME)
        self.gain *= (wanted / self.gain) ** weight
        self._at = now


def _is_bright(image: Image) -> bool:
    samples = image[8::16, 8::16]
    samples = samples[..., 1] if samples.ndim == 3 else samples
    return not samples.size or np.count_nonzero(samples >= DARK) * 100 > (100 - PERCENTILE) * samples.size


def _shrunk(image: Image, size: tuple[int, int]) -> Image:
    """Shrink an image, in its own shape, to fit `size` (width, height); return it unchanged if it fits already."""
    height, width = image.shape[:2]
    ratio = max(width / size[0], height / size[1])
    if ratio <= 1:
        return image
    small = (max(1, round(width / ratio)), max(1, round(height / ratio)))
    return np.asarray(cv2.resize(image, small, interpolation=cv2.INTER_AREA), np.uint8)


def _wanted(image: Image, shape: tuple[int, ...]) -> float:
    """Return the gain, 1 to _FRAME_GAIN, that raises white to _FRAME_WHITE. shape: of the image before shrinking."""
    # Noise raises the percentile of single pixels, so the percentile of means over about 8x8 pixels is taken.
    height, width = (max(1, min(before // 8, now // 2)) for before, now in zip(shape[:2], image.shape[:2], strict=True))
    means = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    (white,) = percentiles(means[..., 1] if means.ndim == 3 else means, [PERCENTILE])
    return min(max(_FRAME_WHITE / max(white, 1.0), 1.0), _FRAME_GAIN)


def brighten_crop(crop: Image) -> Image:
    """Brighten a dark face crop to the full range; return others unchanged. crop: uint8 [height, width, channels]."""
    if np.count_nonzero(crop >= DARK) * 100 > (100 - PERCENTILE) * crop.size:
        return crop
    (white,) = percentiles(crop, [PERCENTILE])
    gain = min(_CROP_WHITE / max(white, 1.0), _CROP_GAIN)
    return np.asarray(_levels(gain)[crop], np.uint8)


def _levels(gain: float) -> npt.NDArray[np.uint8]:
    """Return the table of 256 output levels for a gain."""
    return np.asarray(np.clip(np.rint(np.arange(256) * gain), 0, 255), np.uint8)
