"""Follows faces between detections by sparse optical flow.

Each face has a grey patch, cut about it and resized to a fixed number of pixels a face, so that a step costs the same
for faces and frames of any size. Points on a grid are tracked from the previous patch to the new one and back
(pyramidal Lucas and Kanade, Bouguet 2001). Those with a large forward-backward error (Kalal, Mikolajczyk and Matas,
"Forward-Backward Error", 2010) are discarded; a similarity transform is fitted to the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from edge.reading import Box, Detection, Image

FACE_SIDE: Final = 32
"""Side of a face in its patch, pixels."""

PATCH_SIDE: Final = 2.0
"""Side of a patch, as a multiple of the face's side."""

_GRID: Final = np.stack(np.meshgrid(*[np.linspace(-0.3, 0.3, 5)] * 2), -1).reshape(-1, 2).astype(np.float32)
"""Grid points relative to a box's centre, in box widths and heights; they avoid the box's rim, which is background."""

_MAX_RETURN_ERROR: Final = 1.0
"""Largest forward-backward error of a point, pixels of the patch."""

_MIN_POINTS: Final = 16
"""Minimum number of points, tracked within _MAX_RETURN_ERROR, without which a face is lost: occluded or turned away."""

_FIT_POINTS: Final = 13
"""Number of points, those with the least error, to which the transform is fitted."""

_MAX_GROWTH: Final = 1.3
"""A face that grew or shrank by more than this factor since its detection is lost."""

_MAX_DRIFT: Final = 0.25
"""Largest offset of a face from the centre of its patch, in face sizes, before a new patch is cut."""

_WINDOW: Final = (9, 9)
_LEVELS: Final = 2
_UNTIL: Final = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 10, 0.03)

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Patch:
    """The patch of one followed face.

    pixels: grey, resized. corner: its upper left corner in the frame, x + iy. scale: patch pixels per frame pixel.
    bounds: left, top, right and bottom in the frame. face: current detection. cut_for: box when the patch was cut.
    detected: box when the face was last detected.
    """

    pixels: Image
    corner: complex
    scale: float
    bounds: tuple[int, int, int, int]
    face: Detection
    cut_for: Box
    detected: Box


class OpticalFlow:
    """Follows faces from frame to frame by their patches. Not thread-safe."""

    def __init__(self) -> None:
        self._patches: dict[int, _Patch] = {}
        self._size: tuple[int, ...] = ()

    def anchor(self, image: Image, faces: Mapping[int, Detection]) -> int:
        """Begin to follow newly detected faces, and forget all others.

        Args:
            image: the frame, BGR or grey uint8.
            faces: their detections in the frame, by track id.

        Returns:
            The number of faces that can be followed: all that are not mostly outside the frame.
        """
        patches = {track: _cut(image, face, face.box) for track, face in faces.items()}
        self._patches = {track: patch for track, patch in patches.items() if patch is not None}
        self._size = image.shape[:2]
        return len(self._patches)

    def step(self, image: Image) -> dict[int, Detection]:
        """Return the faces' positions in the next frame, by track id; lost faces are left out and no longer followed.

        A box keeps its score and aspect ratio; landmarks rotate with the face. If the size of the frames changes, as in
        some streams, all faces are lost.
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


def _cut(image: Image, face: Detection, detected: Box) -> _Patch | None:
    """Cut the patch of a face; return None if too little of it is inside the frame."""
    box = face.box
    height, width = image.shape[:2]
    half = PATCH_SIDE * max(box.width, box.height) / 2
    x, y = box.x + box.width / 2, box.y + box.height / 2
    left, right = max(0, int(x - half)), min(width, int(x + half) + 1)
    top, bottom = max(0, int(y - half)), min(height, int(y + half) + 1)
    if half < PATCH_SIDE or min(right - left, bottom - top) < half / 2:
        return None
    scale = PATCH_SIDE * FACE_SIDE / (2 * half)
    bounds = (left, top, right, bottom)
    pixels = _pixels(image, bounds, (round((right - left) * scale), round((bottom - top) * scale)))
    return _Patch(pixels, complex(left, top), scale, bounds, face, box, detected)


def _pixels(image: Image, bounds: tuple[int, int, int, int], size: tuple[int, int]) -> Image:
    """Cut a part of the frame, convert it to grey and resize it to a width and height."""
    left, top, right, bottom = bounds
    step = max(1, (right - left) // size[0])
    part: npt.NDArray[Any] = image[top:bottom:step, left:right:step]
    # The green channel of every n-th pixel stands for grey: no conversion, and n * n times fewer pixels.
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
    if missed[order[_MIN_POINTS - 1]] > _MAX_RETURN_ERROR:
        return None
    best = order[:_FIT_POINTS]
    turn, shift = _similarity(_complex(begun)[best] - middle, _complex(there)[best] - middle)
    # The transform moves a point z of the frame to turn * (z - centre) + to.
    to = centre + shift / scale
    width, height = box.width * abs(turn), box.height * abs(turn)
    if not 1 / _MAX_GROWTH < width / patch.detected.width < _MAX_GROWTH:
        return None
    marks = patch.face.landmarks
    if marks is not None:
        places = turn * (_complex(marks) - centre) + to
        marks = places.astype(np.complex64).view(np.float32).reshape(-1, 2)
    new = Box(to.real - width / 2, to.imag - height / 2, width, height)
    face = Detection(new, patch.face.score, marks)
    if _drifted(patch.cut_for, new):
        return _cut(image, face, patch.detected)
    return replace(patch, pixels=pixels, face=face)


def _flow(before: Image, after: Image, points: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Track points [n, 2] from one patch to another; return their new positions, and a mask [n] of those found."""
    there, found, _ = cv2.calcOpticalFlowPyrLK(
        before, after, points, np.empty_like(points), winSize=_WINDOW, maxLevel=_LEVELS, criteria=_UNTIL
    )
    return np.asarray(there, np.float32), np.asarray(found).reshape(-1).view(np.bool_)


def _complex(points: Floats) -> npt.NDArray[np.complex64]:
    """Convert points [n, 2] to complex numbers [n]."""
    return np.ascontiguousarray(points, np.float32).view(np.complex64)[:, 0]


def _similarity(old: npt.NDArray[np.complex64], new: npt.NDArray[np.complex64]) -> tuple[complex, complex]:
    """Return (a, b) of the similarity transform z -> a z + b with the least squared error."""
    middle = complex(old.sum()) / len(old)
    arms = old - middle
    turn = complex(np.vdot(arms, new)) / max(complex(np.vdot(arms, arms)).real, 1e-9)
    return turn, complex(new.sum()) / len(new) - turn * middle


def _drifted(cut_for: Box, now: Box) -> bool:
    size = max(cut_for.width, cut_for.height)
    x = now.x + now.width / 2 - cut_for.x - cut_for.width / 2
    y = now.y + now.height / 2 - cut_for.y - cut_for.height / 2
    return max(abs(x), abs(y)) > _MAX_DRIFT * size
