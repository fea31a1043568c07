"""Turns pictures upright if the camera is mounted on its side, upside down or behind a mirror."""

from dataclasses import replace
from typing import Final

import cv2
import numpy as np

from edge.cameras.camera import Camera, Picture
from edge.config import CameraSettings
from edge.reading import Image

_ROTATIONS: Final = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_LEFT_TO_RIGHT: Final = 1
"""Flip code of cv2.flip that swaps left and right."""


def turn(image: Image, degrees: int, flip: bool = False) -> Image:
    """Rotate an image clockwise, then mirror it.

    Args:
        image: uint8 [H, W, 3] or [H, W].
        degrees: 0, 90, 180 or 270.
        flip: mirror left to right.

    Returns:
        uint8 [H, W, ...], or [W, H, ...] after 90 or 270 degrees; the given array itself where nothing is to be done.
    """
    if degrees:
        image = np.asarray(cv2.rotate(image, _ROTATIONS[degrees]), np.uint8)
    return np.asarray(cv2.flip(image, _LEFT_TO_RIGHT), np.uint8) if flip else image


def upright(camera: Camera, settings: CameraSettings) -> Camera:
    """Wrap a camera so that `camera.rotate` and `camera.flip` apply to every picture; unchanged if neither is set."""
    return (
        _TurnedCamera(camera, int(settings.rotate), settings.flip) if int(settings.rotate) or settings.flip else camera
    )


class _TurnedCamera:
    def __init__(self, camera: Camera, degrees: int, flip: bool) -> None:
        self.name = camera.name
        self.lossless = camera.lossless
        self._camera = camera
        self._degrees = degrees
        self._flip = flip

    def read(self) -> Picture | None:
        picture = self._camera.read()
        if picture is None:
            return None
        analysis = picture.analysis if picture.analysis is None else turn(picture.analysis, self._degrees, self._flip)
        return replace(picture, image=turn(picture.image, self._degrees, self._flip), analysis=analysis)

    def skip(self) -> bool:
        return self._camera.skip()

    def close(self) -> None:
        self._camera.close()
