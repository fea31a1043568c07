"""Detects a camera that is not mounted upright: faces are found in a rotated picture only."""

import logging
import math
from typing import Final

from edge.cameras.mounting import turn
from edge.config import CameraSettings
from edge.faces.detector import Detector
from edge.reading import Detection, Frame, Image

_log = logging.getLogger(__name__)

_ROTATIONS: Final = (90, 180, 270)
"""Clockwise rotations to try, degrees."""

_SCORE_MIN: Final = 0.8
"""Minimum detection score of a face that counts in the check."""

_MARGIN: Final = 0.04
"""Margin by which the best score of a rotated picture must exceed that of the unrotated one: detectors find some faces
that lie on their side, and many that are upside down.
"""

_CHECK_S: Final = 10.0
"""Seconds between two checks, each of which costs four detections."""

_AGREEING: Final = 3
"""Number of consecutive checks with the same result that decide."""


def rotation_needed(detector: Detector, image: Image) -> int | None:
    """Return the degrees by which to rotate a picture clockwise so that its faces are upright.

    Args:
        detector: finds the faces.
        image: BGR uint8 [H, W, 3].

    Returns:
        0, 90, 180 or 270; None if no face is found with certainty.
    """
    scores = {degrees: _best_score(detector.detect(turn(image, degrees))) for degrees in (0, *_ROTATIONS)}
    best = max(_ROTATIONS, key=lambda degrees: scores[degrees])
    if scores[best] >= max(_SCORE_MIN, scores[0] + _MARGIN):
        return best
    return 0 if scores[0] >= _SCORE_MIN else None


def _best_score(faces: list[Detection]) -> float:
    """Return the highest detection score among faces whose eyes are above their mouth, or that have no landmarks."""
    return max((face.score for face in faces if _is_upright(face)), default=0.0)


def _is_upright(face: Detection) -> bool:
    if face.landmarks is None:
        return True
    right, down = face.landmarks[3:].mean(0) - face.landmarks[:2].mean(0)
    return bool(down > 2 * abs(right))


def advice(degrees: int, settings: CameraSettings) -> str:
    """Say how to set `camera.rotate` if the picture must be rotated clockwise by `degrees` more."""
    # The flip follows the rotation and reverses its direction.
    rotate = (int(settings.rotate) + (-degrees if settings.flip else degrees)) % 360
    mounted = "hangs upside down" if degrees == 180 else "lies on its side"
    found = f"faces are found in the picture rotated by {degrees} degrees"
    return f"the camera {mounted}: {found}: set camera.rotate: {rotate}"


class OrientationCheck:
    """Checks from time to time whether faces are upright, until that is certain; logs once if they are not."""

    def __init__(self, detector: Detector, settings: CameraSettings) -> None:
        self.detector = detector
        self._settings = settings
        self._checked_at = -math.inf
        self._results: list[int] = []

    def __call__(self, frame: Frame) -> None:
        """Check a frame, unless less than _CHECK_S seconds have passed since the last check. Not thread-safe."""
        if len(self._results) >= _AGREEING or frame.captured_at - self._checked_at < _CHECK_S:
            return
        self._checked_at = frame.captured_at
        degrees = rotation_needed(self.detector, frame.image if frame.analysis is None else frame.analysis)
        if degrees is None:
            return
        if degrees not in self._results:
            self._results = []
        self._results.append(degrees)
        if degrees and len(self._results) == _AGREEING:
            _log.warning("%s", advice(degrees, self._settings))
