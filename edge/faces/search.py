"""Detection within the region of interest, and the limits on size and number of faces."""

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from edge.config import DetectorSettings
from edge.faces.detector import Detector
from edge.faces.exposure import Exposure, brightened
from edge.faces.roll import LOOK, TURNED, TurnedImage, roll_of
from edge.faces.two_sizes import SizeChoice, TwoSizes
from edge.faces.yunet import OVERLAP
from edge.reading import Box, Detection, Frame, Image

_TRACKED_BONUS: Final = 1.5
"""Factor on the area of a tracked face when the largest are kept, so that two of one size do not alternate."""

_SAME_FACE_IOU: Final = 0.3
"""Intersection over union from which a detection counts as a tracked face there."""


TURN_INTERVAL: Final = 0.5
"""Seconds between two looks at a turned picture while no face is found, to one side and the other in turn."""

_TURNED_MARGIN: Final = 0.15
"""By how much more than `detector.score` a face must score that is found in a turned picture only."""

MAX_ROLL: Final = 75.0
"""Degrees of roll up to which a tracked face is searched for in a turned picture."""


class FaceSearch:
    """A detector with the settings' region of interest, smallest face and largest number of faces.

    ignored: boxes of the last frame that were left out, in pixels of `frame.image`.
    """

    def __init__(self, detector: Detector, settings: DetectorSettings, still: bool = False) -> None:
        """still: frames are images of their own, each searched with all there is."""
        self.ignored: tuple[Box, ...] = ()
        self.large = False
        """Whether the last search was with the large network of two."""
        self._detector = detector
        self._sizes = (
            SizeChoice(detector.small.size, settings.min_face) if isinstance(detector, TwoSizes) and not still else None
        )
        self._exposure = Exposure()
        self._settings = settings
        self._still = still
        self._turned_at, self._side = -math.inf, LOOK

    def area(self, image: Image) -> Box:
        """The region of interest in pixels; the whole image where none is set."""
        left, top, right, bottom = self._bounds(image)
        return Box(left, top, right - left, bottom - top)

    def large_due(self, frame: Frame, visible: int) -> bool:
        """Whether the large network of two is to search this frame, even if no detection is due."""
        return self._sizes is not None and self._sizes.due(frame.captured_at, visible, self.area(frame.image))

    def far(self, image: Image, tracked: Iterable[Box]) -> bool:
        """Whether one of these faces can be followed with the large network of two only."""
        return self._sizes is not None and self._sizes.far(tracked, self.area(image))

    def __call__(self, frame: Frame, tracked: Sequence[Detection], large: bool = False) -> list[Detection]:
        """Detect the faces of a frame, in its analysis image where that has as many pixels as the network takes.

        Args:
            frame: the frame.
            tracked: the faces that are tracked already.
            large: search with the large network, where there are two.

        Returns:
            The faces, in pixels of `frame.image`.
        """
        if self._sizes is None or not isinstance(self._detector, TwoSizes) or frame.unrelated:
            return self._search(frame, tracked, self._detector)
        self.large = large
        if not large:
            return self._search(frame, tracked, self._detector.small)
        began = time.thread_time()  # other work of the machine does not count
        found = self._search(frame, tracked, self._detector.large)
        self._sizes.looked(frame.captured_at, time.thread_time() - began)
        return found

    def _search(self, frame: Frame, tracked: Sequence[Detection], detector: Detector) -> list[Detection]:
        fills = frame.analysis is not None and self._fills(frame.analysis, detector)
        image = frame.analysis if frame.analysis is not None and fills else frame.image
        ratio = frame.image.shape[1] / image.shape[1]
        left, top, right, bottom = self._bounds(image)
        part, shrunk = image[top:bottom, left:right], 1.0
        if (gain := self._exposure.gain(part, frame.captured_at)) > 1:
            part, shrunk = brightened(part, gain, detector.size)
        found = detector.detect(part)
        turning = detector.small if isinstance(detector, TwoSizes) else detector
        for roll in self._rolls(frame.captured_at, tracked, found):
            turned = TurnedImage(part, roll, turning.size)
            more = [turned.back(face) for face in turning.detect(turned.image)]
            known = [face.box for face in (*found, *tracked)]
            sure = self._settings.score + _TURNED_MARGIN
            found = _joined(
                found,
                [face for face in more if face.score >= sure or any(face.box.iou(box) > OVERLAP for box in known)],
            )
        if left or top or shrunk * ratio != 1:
            found = [_to_frame(face, left / shrunk, top / shrunk, shrunk * ratio) for face in found]
        kept = self._limited(found, [face.box for face in tracked])
        self.ignored = tuple(face.box for face in found if not any(face is other for other in kept))
        return kept

    def _rolls(self, now: float, tracked: Sequence[Detection], found: Sequence[Detection]) -> list[float]:
        """Degrees by which the picture is searched turned, too: for rolled faces that are tracked, and at low duty for
        those that nobody has found.
        """
        if self._still:  # upright, a detector finds faces rolled by 40 degrees with the eyes of one rolled by 15
            return [LOOK, -LOOK]
        rolls = [roll for face in tracked if TURNED <= abs(roll := roll_of(face)) <= MAX_ROLL]
        if rolls:
            return [max(rolls, key=abs)]
        if found:
            return []
        if 0 <= now - self._turned_at < TURN_INTERVAL:
            return []
        self._turned_at, self._side = now, -self._side
        return [self._side]

    def _limited(self, found: list[Detection], tracked: list[Box]) -> list[Detection]:
        found = [face for face in found if face.box.width >= self._settings.min_face]
        if len(found) <= self._settings.max_faces:
            return found

        def size(face: Detection) -> float:
            return face.box.area * (
                _TRACKED_BONUS if any(face.box.iou(box) >= _SAME_FACE_IOU for box in tracked) else 1
            )

        return sorted(found, key=size, reverse=True)[: self._settings.max_faces]

    def _fills(self, image: Image, detector: Detector) -> bool:
        """Whether the region has at least the network's input width or height in this image."""
        left, top, right, bottom = self._bounds(image)
        width, height = detector.size
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


def _joined(found: list[Detection], more: Sequence[Detection]) -> list[Detection]:
    """Both, best score first; of a face that is in both, the better one."""
    joined: list[Detection] = []
    for face in sorted([*found, *more], key=lambda face: face.score, reverse=True):
        if all(face.box.iou(other.box) <= OVERLAP for other in joined):
            joined.append(face)
    return joined
