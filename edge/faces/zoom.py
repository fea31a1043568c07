"""Far faces: unsure detections of the large network are enlarged and checked by the small network."""

import math
from typing import Final, Protocol

from edge.faces.yunet import OVERLAP
from edge.reading import Box, Detection, Image

CANDIDATE: Final = 0.05
"""Detection score of the large network from which a face is checked by the small one."""

MARGIN: Final = 0.15
"""By how much more than `detector.score` a face must score to count without a close-up, or in one of a place where the
large network scored less: without it, textures were taken for faces in close-ups."""

MOST: Final = 4
"""Maximum number of checks for one picture: together they cost about one run of the large network."""

WIDTH: Final = 64.0
"""Width in pixels to which a face is enlarged in the small network's input."""


class _Network(Protocol):
    size: tuple[int, int]

    def detect(self, image: Image) -> list[Detection]: ...


class ZoomingDetector:
    """A `Detector` that accepts unsure detections of a large network if a small one confirms them in a close-up."""

    def __init__(self, large: _Network, small: _Network, score: float) -> None:
        """Combine two networks.

        Args:
            large: with a least score of at most CANDIDATE.
            small: with the least score `score`.
            score: the setting `detector.score`, 0 to 1.
        """
        self._large, self._small, self._score = large, small, score
        self._sure = min(score + MARGIN, (1 + score) / 2)
        self.size = large.size

    def detect(self, image: Image) -> list[Detection]:
        """Detect the faces of an image of any size, best score first, in its pixels, each with five landmarks."""
        candidates = self._large.detect(image)
        found = [face for face in candidates if face.score >= self._sure]
        unsure = candidates[len(found) :]
        looks = 0
        for candidate in unsure:
            if _overlaps(candidate.box, found):
                continue
            seen = candidate.score >= self._score
            if looks < MOST:
                looks += 1
                least = self._score if seen else self._sure
                found += [
                    face
                    for face in self._close_up(image, candidate.box)
                    if face.score >= least and _overlaps(face.box, unsure) and not _overlaps(face.box, found)
                ]
            elif seen:  # no close-ups left: trust the large network
                found.append(candidate)
        return sorted(found, key=lambda face: face.score, reverse=True)

    def _close_up(self, image: Image, box: Box) -> list[Detection]:
        """Detect the faces near a box, enlarged, with the small network; return them in pixels of the image."""
        left, width = _span(box.x + box.width / 2, box.width * self._small.size[0] / WIDTH, image.shape[1])
        top, height = _span(box.y + box.height / 2, box.width * self._small.size[1] / WIDTH, image.shape[0])
        part = image[top : top + height, left : left + width]
        return [face.in_whole(left, top) for face in self._small.detect(part)]


def _span(centre: float, length: float, limit: int) -> tuple[int, int]:
    """Return begin and length, in whole pixels, of a span about a centre, moved to lie within 0 and `limit`."""
    whole = min(math.ceil(length), limit)
    return round(min(max(centre - whole / 2, 0), limit - whole)), whole


def _overlaps(box: Box, faces: list[Detection]) -> bool:
    return any(box.iou(face.box) > OVERLAP for face in faces)
