"""Faces made unrecognisable, before a picture goes to anybody who shows or sends it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import cv2
import numpy as np

from edge.reading import Box, Frame, Image, Reading

CELLS: Final = 4
"""Cells of a face's mosaic each way. A portrait of 14 by 18 cells is still recognised (Harmon, "The Recognition of
Faces", 1973), and networks get further than people; 16 colours hold no face."""

PICTURE_CELLS: Final = 8
"""Cells each way of a picture in which nobody looked for faces, so that all of it is hidden."""

REMEMBER: Final = 1.0
"""Seconds for which the place of a face that is not found any more stays hidden."""

_MARGIN: Final = 0.25
"""What is hidden around a box, as a share of its size: detectors' boxes end at forehead and chin."""

_STRAY: Final = 0.5
"""By what share of its size more each second a lost face may have moved."""


class Veil:
    """Hides the faces of one picture after another; belongs to one thread. region: may change between two frames."""

    def __init__(self, region: Sequence[float] | None = None) -> None:
        """region: where faces are looked for: x, y, width, height as fractions of the picture; None: everywhere."""
        self.region = region
        self._last: dict[int, tuple[float, Box]] = {}

    def __call__(self, frame: Frame, reading: Reading) -> Frame:
        """The frame with a mosaic in place of each face of its Reading, and where one was until a moment ago.

        A face that the detector does not find is not hidden. Where it does not look, everything is.
        """
        if not reading.analysed:
            self._last.clear()
            return replace(frame, image=_mosaic(frame.image, PICTURE_CELLS, PICTURE_CELLS), analysis=None)
        image = frame.image.copy()
        now = reading.captured_at
        self._last = {track: seen for track, seen in self._last.items() if 0 <= now - seen[0] <= REMEMBER}
        self._last |= {face.track: (now, face.detection.box) for face in reading.faces}
        hide(image, (_grown(box, _MARGIN + _STRAY * (now - at)) for at, box in self._last.values()))
        hide(image, (_grown(box, _MARGIN) for box in reading.others))
        if self.region:
            hidden = _mosaic(frame.image, PICTURE_CELLS, PICTURE_CELLS)
            looked = _inside(image, self.region)
            hidden[looked] = image[looked]
            image = hidden
        return replace(frame, image=image, analysis=None)


def hide(image: Image, boxes: Iterable[Box]) -> None:
    """Put a mosaic in place of each box, as far as it is in the picture."""
    height, width = image.shape[:2]
    for box in boxes:
        left, top = max(0, int(box.x)), max(0, int(box.y))
        right, bottom = min(width, int(np.ceil(box.x + box.width))), min(height, int(np.ceil(box.y + box.height)))
        if left < right and top < bottom:
            image[top:bottom, left:right] = _mosaic(image[top:bottom, left:right], CELLS, CELLS)


def _mosaic(image: Image, across: int, down: int) -> Image:
    """The picture in so many cells, each its mean."""
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
