"""Where in a frame faces are looked for, and which of those found count."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import numpy as np

from edge.config import DetectorSettings
from edge.faces.detector import Detector
from edge.reading import Box, Detection, Frame, Image

_HELD: Final = 1.5
"""How much larger a face counts that is followed already, so that two of one size do not take turns."""

_SAME: Final = 0.3
"""Intersection over union from which a face is taken for one that is followed, to that end."""


class Search:
    """A detector, held to the region, the least size and the number of faces that the settings ask for.

    ignored: what it found in the last frame besides, pixels of `frame.image`.
    """

    def __init__(self, detector: Detector, settings: DetectorSettings) -> None:
        self.ignored: tuple[Box, ...] = ()
        self._detector = detector
        self._settings = settings

    def area(self, image: Image) -> Box:
        """The region in a picture's pixels: all of it, where none is set."""
        left, top, right, bottom = self._bounds(image)
        return Box(left, top, right - left, bottom - top)

    def __call__(self, frame: Frame, held: Iterable[Box]) -> list[Detection]:
        """The faces in pixels of `frame.image`, found in the camera's small picture where that shows as much of them.

        held: where the faces are that are followed already.
        """
        image = frame.image if frame.analysis is None or not self._fills(frame.analysis) else frame.analysis
        ratio = frame.image.shape[1] / image.shape[1]
        left, top, right, bottom = self._bounds(image)
        found = self._detector.detect(image[top:bottom, left:right])
        if left or top or ratio != 1:
            found = [_placed(face, left, top, ratio) for face in found]
        counted = self._counted(found, list(held))
        self.ignored = tuple(face.box for face in found if not any(face is other for other in counted))
        return counted

    def _counted(self, found: list[Detection], known: list[Box]) -> list[Detection]:
        found = [face for face in found if face.box.width >= self._settings.min_face]
        if len(found) <= self._settings.max_faces:
            return found

        def size(face: Detection) -> float:
            return face.box.area * (_HELD if any(face.box.iou(box) >= _SAME for box in known) else 1)

        return sorted(found, key=size, reverse=True)[: self._settings.max_faces]

    def _fills(self, image: Image) -> bool:
        """Whether the region of this picture is as large as the detector sees it, one way at least."""
        left, top, right, bottom = self._bounds(image)
        width, height = self._detector.size
        return right - left >= width or bottom - top >= height

    def _bounds(self, image: Image) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the region."""
        height, width = image.shape[:2]
        if self._settings.region is None:
            return 0, 0, width, height
        x, y, across, down = self._settings.region
        left, top = min(int(x * width), width - 1), min(int(y * height), height - 1)
        right, bottom = round((x + across) * width), round((y + down) * height)
        return left, top, max(right, left + 1), max(bottom, top + 1)


def _placed(face: Detection, left: int, top: int, ratio: float) -> Detection:
    """A face found in a part of a picture, in the pixels of the frame, of which the picture's are `ratio` each."""
    box = face.box
    corner = np.array((left, top), np.float32)
    return replace(
        face,
        box=Box((box.x + left) * ratio, (box.y + top) * ratio, box.width * ratio, box.height * ratio),
        landmarks=None if face.landmarks is None else (face.landmarks + corner) * np.float32(ratio),
    )
