"""Runs the detector within the region of interest, on rotated pictures too, and limits size and number of faces."""

import functools
import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from edge.config import DetectorSettings
from edge.faces.detector import Detector
from edge.faces.exposure import Exposure
from edge.faces.roll import LOOK, TURNED, TurnedImage, roll_of
from edge.faces.two_sizes import CONFIRMED_WIDTH, SizeChoice, TwoSizes
from edge.faces.yunet import OVERLAP
from edge.faces.zoom import MOST
from edge.reading import Box, Detection, Frame, Image

_TRACKED_BONUS: Final = 1.5
"""Factor on a tracked face's area when the largest faces are kept, so that two of equal size do not alternate."""

_SAME_FACE_IOU: Final = 0.3
"""Intersection over union from which a detection counts as a tracked face."""


TURN_INTERVAL: Final = 0.5
"""Seconds between two searches of a rotated picture while no face is found; left and right rotations alternate."""

_TURNED_MARGIN: Final = 0.15
"""Addition to `detector.score` for a face that is found in a rotated picture only."""

MAX_ROLL: Final = 75.0
"""Degrees of roll up to which a tracked face is searched for in a rotated picture."""


class FaceSearch:
    """A detector with the settings' region of interest, smallest face and largest number of faces.

    ignored: boxes of the last frame that these limits left out, in pixels of `frame.image`.
    """

    def __init__(self, detector: Detector, settings: DetectorSettings, still: bool = False) -> None:
        """Prepare. still: each frame is an unrelated image, searched by every network and at several rotations."""
        self.ignored: tuple[Box, ...] = ()
        self.large = False
        """Whether the last search used the large network of `detector.size: auto`."""
        self._detector = detector
        self._sizes = (
            SizeChoice(detector.small.size, settings.min_face) if isinstance(detector, TwoSizes) and not still else None
        )
        self._exposure = Exposure()
        self._settings = settings
        self._still = still
        self._turned_at, self._side = -math.inf, LOOK

    def area(self, image: Image) -> Box:
        """Return the region of interest in pixels; the whole image if none is set."""
        left, top, right, bottom = self._bounds(image)
        return Box(left, top, right - left, bottom - top)

    def large_due(self, frame: Frame, visible: Sequence[Box]) -> bool:
        """Whether the large network of `detector.size: auto` is to search this frame even if no detection is due."""
        near = len(visible) - len(self.far(frame.image, visible))
        return self._sizes is not None and self._sizes.due(frame.captured_at, near, self.area(frame.image))

    def far(self, image: Image, faces: Iterable[Box], tentative: Iterable[Box] = ()) -> list[Box]:
        """Return the boxes, of tracked and of unconfirmed faces, that `detector.size: auto` looks at in close-ups."""
        if self._sizes is None:
            return []
        area = self.area(image)
        return self._sizes.far(faces, area) + self._sizes.far(tentative, area, CONFIRMED_WIDTH)

    def __call__(
        self, frame: Frame, tracked: Sequence[Detection], large: bool = False, far: Sequence[Box] = ()
    ) -> list[Detection]:
        """Detect the faces of a frame, in its analysis image if that has as many pixels as the network's input.

        Args:
            frame: the frame.
            tracked: detections of the faces that are tracked already.
            large: search with the large network of `detector.size: auto`, too.
            far: places to look at in close-ups with `detector.size: auto`, in pixels of `frame.image`.

        Returns:
            The faces, in pixels of `frame.image`.
        """
        self.large = large
        detector = self._detector
        if self._sizes is None or not isinstance(detector, TwoSizes) or frame.unrelated:
            return self._search(frame, tracked, detector.detect, detector.size)
        if not large and not far:
            return self._search(frame, tracked, detector.small.detect, detector.small.size)
        detect = functools.partial(self._far, detector, self._sizes, frame, tracked, large, far)
        return self._search(frame, tracked, detect, detector.size)

    def _far(
        self,
        detector: TwoSizes,
        sizes: SizeChoice,
        frame: Frame,
        tracked: Sequence[Detection],
        large: bool,
        far: Sequence[Box],
        image: Image,
    ) -> list[Detection]:
        """Detect faces by the large network and in close-ups. image: the searched part of the frame, made bright."""
        area, found = self.area(frame.image), []
        # Near faces would be cut at a quarter's edge; more far faces than there are close-ups need the whole picture.
        near = len(tracked) > len(self.far(frame.image, [face.box for face in tracked]))
        whole = near or len(far) > MOST or not detector.large.divides(image)
        if large:
            # Thread time excludes other processes and threads.
            began = time.thread_time()
            found = detector.large.detect(image) if whole else detector.large.quarter(image, sizes.quarter)
            sizes.looked(frame.captured_at, time.thread_time() - began)
        if not large or not whole:
            found = _joined(found, detector.small.detect(image))
        ratio = image.shape[1] / area.width
        places = [
            Box((box.x - area.x) * ratio, (box.y - area.y) * ratio, box.width * ratio, box.height * ratio)
            for box in far
        ]
        unseen = [box for box in places if not any(box.iou(face.box) > OVERLAP for face in found)]
        return _joined(found, detector.large.check(image, unseen[:MOST]))

    def _search(
        self,
        frame: Frame,
        tracked: Sequence[Detection],
        detect: Callable[[Image], list[Detection]],
        size: tuple[int, int],
    ) -> list[Detection]:
        fills = frame.analysis is not None and self._fills(frame.analysis, size)
        image = frame.analysis if frame.analysis is not None and fills else frame.image
        ratio = frame.image.shape[1] / image.shape[1]
        left, top, right, bottom = self._bounds(image)
        part, shrunk = self._exposure(image[top:bottom, left:right], frame.captured_at, size)
        found = detect(part)
        turning = self._detector.small if isinstance(self._detector, TwoSizes) else self._detector
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
            found = [face.in_whole(left / shrunk, top / shrunk, shrunk * ratio) for face in found]
        kept = self._limited(found, [face.box for face in tracked])
        self.ignored = tuple(face.box for face in found if not any(face is other for other in kept))
        return kept

    def _rolls(self, now: float, tracked: Sequence[Detection], found: Sequence[Detection]) -> list[float]:
        """List the rotations, in degrees, in which the picture is also searched.

        If rolled faces are tracked, the roll of the most rolled one; if no face is found, LOOK and -LOOK by turns, once
        per TURN_INTERVAL.
        """
        if self._still:
            # In the upright picture, eyes are found too level: a roll of 40 degrees is measured as 15.
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

    def _fills(self, image: Image, size: tuple[int, int]) -> bool:
        """Whether the region in this image is at least as wide or as high as the network's input."""
        left, top, right, bottom = self._bounds(image)
        width, height = size
        return right - left >= width or bottom - top >= height

    def _bounds(self, image: Image) -> tuple[int, int, int, int]:
        """Return left, top, right and bottom of the region of interest, pixels."""
        height, width = image.shape[:2]
        if self._settings.region is None:
            return 0, 0, width, height
        x, y, across, down = self._settings.region
        left, top = min(int(x * width), width - 1), min(int(y * height), height - 1)
        right, bottom = round((x + across) * width), round((y + down) * height)
        return left, top, max(right, left + 1), max(bottom, top + 1)


def _joined(found: list[Detection], more: Sequence[Detection]) -> list[Detection]:
    """Merge two lists of detections, best score first; of two of the same face, keep the better one."""
    joined: list[Detection] = []
    for face in sorted([*found, *more], key=lambda face: face.score, reverse=True):
        if all(face.box.iou(other.box) <= OVERLAP for other in joined):
            joined.append(face)
    return joined
