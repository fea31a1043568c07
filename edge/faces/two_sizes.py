"""`detector.size: auto`: a small network for near faces, and a large one that now and then looks across the room."""

import logging
import math
from collections.abc import Iterable
from typing import Final

from edge.faces.assignment import assign
from edge.faces.yunet import OVERLAP, YuNet
from edge.reading import Box, Detection, Image

FAR_WIDTH: Final = 20.0
"""A face narrower than this in the small network's input is followed with the large one, which finds it again."""

EMPTY_INTERVAL: Final = 0.3
"""Seconds from one look of the large network to the next while nobody is in view. It takes two looks to confirm a face,
the second in the next frame, so that one across the room is found within a second."""

NEAR_INTERVAL: Final = 2.0
"""The same while near faces are in view, whose cost is to stay that of the small network."""

SLOW: Final = 0.2
"""Processor seconds of a look from which the large network is given up: three looks a second would take too much."""

_TRIALS: Final = 3
"""Looks of which the quickest counts: the first ones load the network."""

_log = logging.getLogger(__name__)


class TwoSizes:
    """A `Detector` of two YuNets: both run on single images; in streams a `SizeChoice` selects one for each frame.

    size: of the large one, as single images are searched by both.
    """

    def __init__(self, small: YuNet, large: YuNet) -> None:
        self.small, self.large = small, large
        self.size = large.size

    def detect(self, image: Image) -> list[Detection]:
        """The faces that either network finds, best score first; of one that both find, the large one's."""
        found = self.large.detect(image)
        near = self.small.detect(image)
        pairs = assign(
            {
                (n, f): iou
                for n, face in enumerate(near)
                for f, other in enumerate(found)
                if (iou := face.box.iou(other.box)) > OVERLAP
            }
        )
        known = {n for n, _ in pairs}
        found += [face for n, face in enumerate(near) if n not in known]
        return sorted(found, key=lambda face: face.score, reverse=True)


class SizeChoice:
    """Selects the network for each frame of a stream. Belongs to one thread."""

    def __init__(self, small: tuple[int, int], min_face: float = 0.0) -> None:
        """small: input width and height of the small network. min_face: width of the smallest face that counts."""
        self._min_face = min_face
        self._small = small
        self._looked_at = -math.inf
        self._quickest = math.inf
        self._looks = 0
        self._slow = False

    def far(self, faces: Iterable[Box], area: Box) -> bool:
        """Whether one of these faces is too small for the small network. area: what is searched, pixels."""
        shrunk = self._shrunk(area)
        return not self._slow and any(box.width * shrunk < FAR_WIDTH for box in faces)

    def _shrunk(self, area: Box) -> float:
        """Pixels of the small network's input to one of the area."""
        return min(self._small[0] / area.width, self._small[1] / area.height)

    def due(self, now: float, visible: int, area: Box) -> bool:
        """Whether the large network is to look at this frame even if no detection is due.

        Args:
            now: time of capture, seconds, monotonic.
            visible: number of faces in view.
            area: what is searched, pixels; where the small network sees it in full, the large one has no more to see.
        """
        shrunk = self._shrunk(area)
        if self._slow or shrunk >= 1 or self._min_face * shrunk >= FAR_WIDTH:
            return False
        return not 0 <= now - self._looked_at < (NEAR_INTERVAL if visible else EMPTY_INTERVAL)

    def looked(self, now: float, seconds: float) -> None:
        """Record that the large network ran on the frame captured at `now`, and its processor seconds."""
        self._looked_at = now
        self._looks += 1
        self._quickest = min(self._quickest, seconds)
        if self._looks == _TRIALS and self._quickest > SLOW:
            self._slow = True
            _log.warning(
                "detector.size auto: the larger network takes %.1f s here, so only the smaller one is used: people "
                "across a room are not found (detector.size 640 uses the larger one all the same)",
                self._quickest,
            )
