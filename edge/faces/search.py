"""Detection within the region of interest, and the limits on size and number of faces."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import numpy as np

from edge.config import DetectorSettings
from edge.faces.detector import Detector
from edge.faces.exposure import Exposure, brightened
from edge.reading import Box, Detection, Frame, Image

_TRACKED_BONUS: Final = 1.5
"""Factor on the area of a tracked face when the largest are kept, so that two of one size do not alternate."""

_SAME_FACE_IOU: Final = 0.3
"""Intersection over union from which a detection counts as a tracked face there."""


class FaceSearch:
    """A detector with the settings' region of interest, smallest face and largest number of faces.

    ignored: boxes of the last frame that were left out, in pixels of `frame.image`.
    """

    def __init__(self, detector: Detector, settings: DetectorSettings) -> None:
        self.ignored: tuple[Box, ...] = ()
        self._detector = detector
        self._exposure = Exposure()
        self._settings = settings

    def area(self, image: Image) -> Box:
        """The region of interest in pixels; the whole image where none is set."""
        left, top, right, bottom = self._bounds(image)
        return Box(left, top, right - left, bottom - top)

    def __call__(self, frame: Frame, tracked: Iterable[Box]) -> list[Detection]:
        """Detect the faces of a frame, in its analysis image where that has as many pixels as the network takes.

        Args:
            frame: the frame.
            tracked: boxes of the faces that are tracked already.

        Returns:
            The faces, in pixels of `frame.image`.
        """
        image = frame.image if frame.analysis is None or not self._fills(frame.analysis) else frame.analysis
        ratio = frame.image.shape[1] / image.shape[1]
        left, top, right, bottom = self._bounds(image)
        part, shrunk = image[top:bottom, left:right], 1.0
        if (gain := self._exposure.gain(part, frame.captured_at)) > 1:
            part, shrunk = brightened(part, gain, self._detector.size)
        found = self._detector.detect(part)
        if left or top or shrunk * ratio != 1:
            found = [_to_frame(face, left / shrunk, top / shrunk, shrunk * ratio) for face in found]
        kept = self._limited(found, list(tracked))
        self.ignored = tuple(face.box for face in found if not any(face is other for other in kept))
        return kept

    def _limited(self, found: list[Detection], tracked: list[Box]) -> list[Detection]:
        found = [face for face in found if face.box.width >= self._settings.min_face]
        if len(found) <= self._settings.max_faces:
            return found

        def size(face: Detection) -> float:
            return face.box.area * (
                _TRACKED_BONUS if any(face.box.iou(box) >= _SAME_FACE_IOU for box in tracked) else 1
            )

        return sorted(found, key=size, reverse=True)[: self._settings.max_faces]

    def _fills(self, image: Image) -> bool:
        """Whether the region has at least the network's input width or height in this image."""
        left, top, right, bottom = self._bounds(image)
        width, height = self._detector.size
        return right - left >= width or bottom - top >= height

    def _bounds(self, image: Image) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the region, pixels."""
        height, width = image.shape[:2]
        if self._settings.region is None:
            return 0, 0, width, height
        x, y, across, down = self._settings.region
        left, top = min(int(x * width), width - 1), min(int(y * height), height - 1)
        right, bottom = round((x + across) * width), round((y + down) * height)
        return left, top, max(right, left + 1), max(bottom, top + 1)


def _to_frame(face: Detection, left: float, top: float, ratio: float) -> Detection:
    """A detection of a part of an image in frame pixels. ratio: frame pixels an image pixel."""
    box = face.box
    corner = np.array((left, top), np.float32)
    return replace(
        face,
        box=Box((box.x + left) * ratio, (box.y + top) * ratio, box.width * ratio, box.height * ratio),
        landmarks=None if face.landmarks is None else (face.landmarks + corner) * np.float32(ratio),
    )
