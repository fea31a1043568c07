"""Pixelates faces before a frame is shown or sent."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import cv2
import numpy as np

from edge.reading import Box, Frame, Image, Reading

CELLS: Final = 4
"""Cells per side of a pixelated face. People still recognise a portrait of 14 x 18 cells (Harmon, "The Recognition of
Faces", 1973), and networks need fewer."""

PICTURE_CELLS: Final = 8
"""Cells per side of a frame on which no detection ran: all of it is pixelated."""

REMEMBER: Final = 1.0
"""Seconds for which the last box of a lost face stays pixelated."""

_MARGIN: Final = 0.25
"""Margin around a box as a share of its size: detectors' boxes end at forehead and chin."""

_STRAY: Final = 0.5
"""Growth of that margin per second since the face was lost, as a share of the box's size."""


class FaceBlur:
    """Pixelates the faces of successive frames. Not thread-safe."""

    def __init__(self, region: Sequence[float] | None = None) -> None:
        """Start. region: where faces are detected: x, y, width, height as fractions of the frame; None: everywhere."""
        self._region = region
        self._last: dict[int, tuple[float, Box]] = {}

    def change(self, region: Sequence[float] | None) -> None:
        """Continue with another region, as in the constructor."""
        self._region = region

    def __call__(self, frame: Frame, reading: Reading) -> Frame:
        """Return the frame with each face of its Reading pixelated, and faces lost within the last second too.

        A face that the detector misses stays visible; what lies outside `region` is pixelated entirely.
        """
        if not reading.analysed:
            self._last.clear()
            return replace(frame, image=_pixelated(frame.image, PICTURE_CELLS, PICTURE_CELLS), analysis=None)
        image = frame.image.copy()
        now = reading.captured_at
        self._last = {track: seen for track, seen in self._last.items() if 0 <= now - seen[0] <= REMEMBER}
        self._last |= {face.track: (now, face.detection.box) for face in reading.faces}
        pixelate(image, (_grown(box, _MARGIN + _STRAY * (now - at)) for at, box in self._last.values()))
        pixelate(image, (_grown(box, _MARGIN) for box in reading.others))
        if self._region:
            hidden = _pixelated(frame.image, PICTURE_CELLS, PICTURE_CELLS)
            detected = _inside(image, self._region)
            hidden[detected] = image[detected]
            image = hidden
        return replace(frame, image=image, analysis=None)


def pixelate(image: Image, boxes: Iterable[Box]) -> None:
    """Pixelate each box in place, clipped to the image."""
    height, width = image.shape[:2]
    for box in boxes:
        left, top = max(0, int(box.x)), max(0, int(box.y))
        right, bottom = min(width, int(np.ceil(box.x + box.width))), min(height, int(np.ceil(box.y + box.height)))
        if left < right and top < bottom:
            image[top:bottom, left:right] = _pixelated(image[top:bottom, left:right], CELLS, CELLS)


def _pixelated(image: Image, across: int, down: int) -> Image:
    """Reduce the image to `across` x `down` cells, each of its mean colour, and enlarge it again."""
    height, width = image.shape[:2]
    few = cv2.resize(image, (min(width, across), min(height, down)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(few, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)


def _inside(image: Image, region: Sequence[float]) -> tuple[slice, slice]:
    height, width = image.shape[:2]
    x, y, across, down = region
    return slice(int(y * height), int((y + down) * height)), slice(int(x * width), int((x + across) * width))


def _grown(box: Box, share: float) -> Box:
    across, down = box.width * share, box.height * share
    return Box(box.x - across, box.y - down, box.width + 2 * across, box.height + 2 * down)
