"""Following faces from one frame to the next without a detector, by sparse optical flow.

Each face has a small grey picture of its own, cut about it at a fixed number of pixels a face, so that a step costs the
same for a large face, a small one, and a large frame. Points on a grid over the face go from the last such picture to
this one and back (Lucas and Kanade in pyramids, Bouguet 2001); those that do not come back to where they began are left
out (Kalal, Mikolajczyk and Matas, "Forward-Backward Error", 2010), and the others say how the face moved, turned and
grew.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from edge.reading import Box, Detection, Image

FACE: Final = 32
"""Pixels of a face's side in its small picture."""

ROOM: Final = 2.0
"""Side of the small picture, in faces."""

_GRID: Final = np.stack(np.meshgrid(*[np.linspace(-0.3, 0.3, 5)] * 2), -1).reshape(-1, 2).astype(np.float32)
"""Where the points are about a box's centre, in its width and height: inside the face, whose rim is background."""

_ASTRAY: Final = 1.0
"""Pixels of the small picture by which a point may miss its beginning on the way back."""

_LEAST: Final = 16
"""Points that must come back; with fewer something covers the face, or it turned away, and it is lost."""

_BEST: Final = 13
"""Points that the motion is taken from: the better half."""

_GROWTH: Final = 1.3
"""A face that grew or shrank more than this since it was detected is lost: it may be half covered."""

_DRIFT: Final = 0.25
"""By how much of its size a face may leave the middle of its small picture before a new one is cut."""

_WINDOW: Final = (9, 9)
_LEVELS: Final = 2
_UNTIL: Final = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 10, 0.03)

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Patch:
    """A face's small picture.

    corner: its upper left in the frame, x + iy; scale: its pixels a frame's pixel. bounds: left, top, right and bottom
    in the frame. face: where it is now; cut_for: where it was when this was cut; found: when it was detected.
    """

    pixels: Image
    corner: complex
    scale: float
    bounds: tuple[int, int, int, int]
    face: Detection
    cut_for: Box
    found: Box


class Follower:
    """Remembers what faces looked like in the last frame. Belongs to one thread."""

    def __init__(self) -> None:
        self._patches: dict[int, _Patch] = {}
        self._size: tuple[int, ...] = ()

    def anchor(self, image: Image, faces: Mapping[int, Detection]) -> int:
        """Follow these faces from here on, and no others. image: BGR or grey; faces: where they are in it, by id.

        Returns how many can be followed: all that are not mostly outside.
        """
        patches = {track: _cut(image, face, face.box) for track, face in faces.items()}
        self._patches = {track: patch for track, patch in patches.items() if patch is not None}
        self._size = image.shape[:2]
        return len(self._patches)

    def step(self, image: Image) -> dict[int, Detection]:
        """Where the faces are in the next frame, by id; those that are lost are left out, and followed no more.

        A detection keeps its score; its box keeps its aspect, and its landmarks turn with the face. In a frame of
        another size, as some streams send from one moment to the next, all are lost.
        """
        if image.shape[:2] != self._size:
            self._patches = {}
        kept: dict[int, _Patch] = {}
        for track, patch in self._patches.items():
            following = _step(image, patch)
            if following is not None:
                kept[track] = following
        self._patches = kept
        return {track: patch.face for track, patch in kept.items()}


def _cut(image: Image, face: Detection, found: Box) -> _Patch | None:
    """The small picture about a face; None where too little of it is inside the frame."""
    box = face.box
    height, width = image.shape[:2]
    half = ROOM * max(box.width, box.height) / 2
    x, y = box.x + box.width / 2, box.y + box.height / 2
    left, right = max(0, int(x - half)), min(width, int(x + half) + 1)
    top, bottom = max(0, int(y - half)), min(height, int(y + half) + 1)
    if half < ROOM or min(right - left, bottom - top) < half / 2:
        return None
    scale = ROOM * FACE / (2 * half)
    bounds = (left, top, right, bottom)
    pixels = _pixels(image, bounds, (round((right - left) * scale), round((bottom - top) * scale)))
    return _Patch(pixels, complex(left, top), scale, bounds, face, box, found)


def _pixels(image: Image, bounds: tuple[int, int, int, int], size: tuple[int, int]) -> Image:
    """A part of the frame in grey, resized to a width and height."""
    left, top, right, bottom = bounds
    step = max(1, (right - left) // size[0])
    part: npt.NDArray[Any] = image[top:bottom:step, left:right:step]
    # Green is most of what grey is, and needs no conversion; every n-th pixel of it is as good and n * n times less.
    grey = np.ascontiguousarray(part[..., 1] if part.ndim == 3 else part)
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def _step(image: Image, patch: _Patch) -> _Patch | None:
    pixels = _pixels(image, patch.bounds, (patch.pixels.shape[1], patch.pixels.shape[0]))
    box, scale = patch.face.box, patch.scale
    centre = complex(box.x + box.width / 2, box.y + box.height / 2)
    middle = (centre - patch.corner) * scale
    begun = _GRID * np.array((box.width * scale, box.height * scale), np.float32)
    begun += np.array((middle.real, middle.imag), np.float32)
    there, found = _flow(patch.pixels, pixels, begun)
    back, found_back = _flow(pixels, patch.pixels, there)
    missed = np.where(found & found_back, np.abs(_complex(back - begun)), np.inf)
    order = missed.argsort()
    if missed[order[_LEAST - 1]] > _ASTRAY:
        return None
    best = order[:_BEST]
    turn, shift = _similarity(_complex(begun)[best] - middle, _complex(there)[best] - middle)
    # Points of the frame move by z -> turn * (z - centre) + to.
    to = centre + shift / scale
    width, height = box.width * abs(turn), box.height * abs(turn)
    if not 1 / _GROWTH < width / patch.found.width < _GROWTH:
        return None
    marks = patch.face.landmarks
    if marks is not None:
        places = turn * (_complex(marks) - centre) + to
        marks = places.astype(np.complex64).view(np.float32).reshape(-1, 2)
    new = Box(to.real - width / 2, to.imag - height / 2, width, height)
    face = Detection(new, patch.face.score, marks)
    if _drifted(patch.cut_for, new):
        return _cut(image, face, patch.found)
    return replace(patch, pixels=pixels, face=face)


def _flow(before: Image, after: Image, points: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Where the points [n, 2] went, and which of them [n] can be told."""
    there, found, _ = cv2.calcOpticalFlowPyrLK(
        before, after, points, np.empty_like(points), winSize=_WINDOW, maxLevel=_LEVELS, criteria=_UNTIL
    )
    return np.asarray(there, np.float32), np.asarray(found).reshape(-1).view(np.bool_)


def _complex(points: Floats) -> npt.NDArray[np.complex64]:
    """Points [n, 2] as complex numbers [n]."""
    return np.ascontiguousarray(points, np.float32).view(np.complex64)[:, 0]


def _similarity(old: npt.NDArray[np.complex64], new: npt.NDArray[np.complex64]) -> tuple[complex, complex]:
    """(a, b) of the motion z -> a z + b that fits best by least squares: points turn and grow by a, and 0 goes to b."""
    middle = complex(old.sum()) / len(old)
    arms = old - middle
    turn = complex(np.vdot(arms, new)) / max(complex(np.vdot(arms, arms)).real, 1e-9)
    return turn, complex(new.sum()) / len(new) - turn * middle


def _drifted(cut_for: Box, now: Box) -> bool:
    size = max(cut_for.width, cut_for.height)
    x = now.x + now.width / 2 - cut_for.x - cut_for.width / 2
    y = now.y + now.height / 2 - cut_for.y - cut_for.height / 2
    return max(abs(x), abs(y)) > _DRIFT * size
