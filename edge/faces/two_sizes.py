"""`detector.size: auto`: a small YuNet for near faces, and a large one that at intervals searches for far faces."""

import logging
import math
from collections.abc import Iterable
from typing import Final

from edge.faces.assignment import assign
from edge.faces.yunet import OVERLAP, YuNet
from edge.faces.zoom import ZoomingDetector
from edge.reading import Box, Detection, Image

FAR_WIDTH: Final = 20.0
"""A face narrower than this, in pixels of the small network's input, is followed in close-ups."""

CONFIRMED_WIDTH: Final = 2 * FAR_WIDTH
"""An unconfirmed face narrower than this is confirmed in a close-up: the small network may not find it again."""

EMPTY_INTERVAL: Final = 0.3
"""Seconds between two runs of the large network while nobody is near. Each searches another part of a large picture,
and a close-up of the next frame confirms a face, so that a person across the room is found within a second.
"""

NEAR_INTERVAL: Final = 8.0
"""Seconds between two runs of the large network while near faces are in view: longer, to save processor time."""

SLOW: Final = 0.2
"""Processor seconds of one run above which the large network is dropped: three runs a second would cost too much."""

_TRIALS: Final = 3
"""Number of runs of which the fastest decides whether the network is slow: the first ones load it."""

_log = logging.getLogger(__name__)


class TwoSizes:
    """A `Detector` of two networks: both run on single images; in streams a `SizeChoice` selects one for each frame.

    size: input size of the large one.
    """

    def __init__(self, small: YuNet, large: ZoomingDetector) -> None:
        self.small, self.large = small, large
        self.size = large.size

    def detect(self, image: Image) -> list[Detection]:
        """Return the faces that either network finds, best score first; of a face found by both, the large one's."""
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
    """Selects the network for each frame of a stream. Not thread-safe."""

    def __init__(self, small: tuple[int, int], min_face: float = 0.0) -> None:
        """Start with the small network. small: its input width and height. min_face: least width of a face, pixels."""
        self._min_face = min_face
        self._small = small
        self._looked_at = -math.inf
        self._quickest = math.inf
        self._looks = 0
        self._slow = False

    @property
    def quarter(self) -> int:
        """Number of the next part of a large picture to search with the large network."""
        return self._looks

    def far(self, faces: Iterable[Box], area: Box, width: float = FAR_WIDTH) -> list[Box]:
        """Return those of these faces that are narrower than `width` pixels of the small network's input.

        area: searched part of the frame, pixels.
        """
        shrunk = self._shrunk(area)
        return [] if self._slow else [box for box in faces if box.width * shrunk < width]

    def _shrunk(self, area: Box) -> float:
        """Return the scale of the small network: pixels of its input per pixel of the searched area."""
        return min(self._small[0] / area.width, self._small[1] / area.height)

    def due(self, now: float, near: int, area: Box) -> bool:
        """Whether the large network is to search this frame even if no detection is due.

        Args:
            now: time of capture, seconds, monotonic.
            near: number of faces in view that are not far.
            area: part of the frame that is searched, pixels; if the small network need not shrink it, the large one
                finds no more.
        """
        shrunk = self._shrunk(area)
        if self._slow or shrunk >= 1 or self._min_face * shrunk >= FAR_WIDTH:
            return False
        return not 0 <= now - self._looked_at < (NEAR_INTERVAL if near else EMPTY_INTERVAL)

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
