"""Far faces: the large network searches a quarter of a large picture at a time, and the small one checks close-ups."""

import math
from collections.abc import Iterable
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

QUARTERS: Final = 4
"""Number of parts of a large picture that are searched in turn; they overlap, so that one of them has a face whole."""

_QUARTER: Final = 2 / 3
"""Side of such a part, as a share of the picture's."""

_STEP: Final = 0.75
"""Largest distance of a face in a close-up from the place that is checked, in widths of that place."""


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

    def quarter(self, image: Image, number: int) -> list[Detection]:
        """Detect the faces in a part of an image, with more pixels for each face than in the whole image.

        Args:
            image: BGR uint8 [H, W, 3] or grey [H, W].
            number: counts the parts; after QUARTERS of them, all of the image has been searched.

        Returns:
            The faces, as from `detect`; those of the whole image if the network's input has as many pixels.
        """
        left, top, width, height = quarter(image.shape[1], image.shape[0], self.size, number)
        found = self.detect(image[top : top + height, left : left + width])
        return [face.in_whole(left, top) for face in found]

    def divides(self, image: Image) -> bool:
        """Whether `quarter` searches less than the whole of this image."""
        return quarter(image.shape[1], image.shape[0], self.size, 0)[2:] != (image.shape[1], image.shape[0])

    def check(self, image: Image, places: Iterable[Box]) -> list[Detection]:
        """Detect in close-ups those faces of an image that were found before. places: where, in its pixels."""
        found: list[Detection] = []
        for place in places:
            near = [
                face for face in self._close_up(image, place) if face.score >= self._sure and _is_at(face.box, place)
            ]
            found += [face for face in near[:1] if not _overlaps(face.box, found)]
        return found

    def _close_up(self, image: Image, box: Box) -> list[Detection]:
        """Detect the faces near a box, enlarged, with the small network; return them in pixels of the image."""
        left, width = _span(box.x + box.width / 2, box.width * self._small.size[0] / WIDTH, image.shape[1])
        top, height = _span(box.y + box.height / 2, box.width * self._small.size[1] / WIDTH, image.shape[0])
        part = image[top : top + height, left : left + width]
        return [face.in_whole(left, top) for face in self._small.detect(part)]


def quarter(width: int, height: int, size: tuple[int, int], number: int) -> tuple[int, int, int, int]:
    """Return left, top, width and height of a part of an image, in the shape of a network's input.

    Args:
        width: of the image, pixels.
        height: of the image, pixels.
        size: width and height of the network's input; no part is smaller.
        number: of the part: upper left, lower right, lower left, upper right, and again.
    """
    part_width, part_height = max(math.ceil(width * _QUARTER), size[0]), max(math.ceil(height * _QUARTER), size[1])
    # The network's input has room for more in one direction.
    part_width = min(width, max(part_width, part_height * size[0] // size[1]))
    part_height = min(height, max(part_height, part_width * size[1] // size[0]))
    right, lower = number % 2 == 1, number % QUARTERS in (1, 2)
    return right * (width - part_width), lower * (height - part_height), part_width, part_height


def _is_at(box: Box, place: Box) -> bool:
    """Whether a face may be the one that was at a place: near it, and neither half nor twice as wide."""
    right = box.x + box.width / 2 - place.x - place.width / 2
    down = box.y + box.height / 2 - place.y - place.height / 2
    return math.hypot(right, down) <= _STEP * place.width and 0.5 < box.width / place.width < 2


def _span(centre: float, length: float, limit: int) -> tuple[int, int]:
    """Return begin and length, in whole pixels, of a span about a centre, moved to lie within 0 and `limit`."""
    whole = min(math.ceil(length), limit)
    return round(min(max(centre - whole / 2, 0), limit - whole)), whole


def _overlaps(box: Box, faces: list[Detection]) -> bool:
    return any(box.iou(face.box) > OVERLAP for face in faces)
