"""Detection interval: decides in which frames faces are detected; in the others, optical flow follows them."""

import math
from typing import Final, Literal

import cv2
import numpy as np

from edge.reading import Image

SHARE: Final = 0.15
"""With `detector.every: auto`, largest average share of the time between two frames that detection takes."""

MAX_EVERY: Final = 10
"""With `detector.every: auto`, largest number of frames from one detection to the next."""

MAX_GAP: Final = 0.4
"""With `detector.every: auto`, largest time in seconds between detections while a face is tracked."""

MAX_GAP_NO_FACE: Final = 0.25
"""With `detector.every: auto`, largest time in seconds between detections while no face is tracked."""

_CUT_LEVELS: Final = 28.0
"""Mean absolute difference between two frames, of 255 levels, above which the scene has changed."""

_MEAN_WEIGHT: Final = 0.1
"""Weight of a new measurement in the running means of durations."""


class Cadence:
    """Decides for each frame whether faces are detected in it. Not thread-safe."""

    def __init__(self, every: int | Literal["auto"] = "auto") -> None:
        """Start without measurements. every: detect in every n-th frame; `auto`: as often as measured times allow."""
        self._fixed = 0 if every == "auto" else every
        self.period = 0.0
        """Mean time between frames in seconds; 0 until two frames have come."""
        self._costs: dict[bool, float] = {}
        self._large = False
        self._cost_a_face = 0.0
        self._faces = 0
        self._frame_at = -math.inf
        self._detected_at = -math.inf
        # Detection is due on the first frame.
        self._since = self._fixed

    @property
    def every(self) -> int:
        """Current number of frames from one detection to the next."""
        if self._fixed or not self.period:
            return self._fixed or 1
        cost = self._costs.get(self._large, 0.0)
        if self._faces * self._cost_a_face > cost:
            # Detection is cheaper than following this many faces.
            return 1
        wanted = math.ceil(cost / (SHARE * self.period))
        return max(1, min(wanted, MAX_EVERY, int(MAX_GAP / self.period + 0.05)))

    def due(self, now: float, followed: int, at_border: bool) -> bool:
        """Whether to detect faces in this frame. Call it once for each frame, in order.

        Args:
            now: time of capture, seconds, monotonic.
            followed: number of faces that optical flow follows.
            at_border: whether a followed face crosses the border of the picture, where optical flow is least reliable:
                faces are then detected twice as often.
        """
        passed = now - self._frame_at
        if 0 < passed < 1:
            # A longer gap is a pause of the camera, not a frame period.
            self.period += (passed - self.period) * (_MEAN_WEIGHT if self.period else 1)
        self._frame_at, self._faces = now, followed
        self._since += 1
        every = math.ceil(self.every / 2) if at_border else self.every
        waited = math.inf if self._detected_at > now else now - self._detected_at + self.period / 2
        longest = MAX_GAP if followed else MAX_GAP_NO_FACE
        return self._since >= every or (not self._fixed and waited >= longest)

    def detected(self, now: float, seconds: float, large: bool = False, as_rule: bool = True) -> None:
        """Record that faces were detected in a frame.

        Args:
            now: time of capture, seconds, monotonic.
            seconds: duration of the detection.
            large: `detector.size: auto` used its large network.
            as_rule: this network is the one for the next detections, too.
        """
        cost = self._costs.get(large, seconds)
        self._costs[large] = cost + (seconds - cost) * _MEAN_WEIGHT
        if as_rule:
            self._large = large
        self._since, self._detected_at = 0, now

    def followed(self, faces: int, seconds: float) -> None:
        """Record that `faces` faces, 1 or more, were followed into a frame by optical flow, in `seconds`."""
        self._cost_a_face += (seconds / faces - self._cost_a_face) * (_MEAN_WEIGHT if self._cost_a_face else 1)


class SceneCut:
    """Detects a change of scene between two frames. Not thread-safe."""

    def __init__(self) -> None:
        self._before: Image | None = None

    def __call__(self, image: Image) -> bool:
        """Whether this frame shows another scene than the previous one; False for the first. image: BGR or grey."""
        height, width = image.shape[:2]
        part = image[height // 32 :: max(1, height // 16), width // 48 :: max(1, width // 24)]
        now = np.ascontiguousarray(part[..., 1] if part.ndim == 3 else part)
        before, self._before = self._before, now
        if before is None or before.shape != now.shape:
            return before is not None
        return cv2.norm(before, now, cv2.NORM_L1) > _CUT_LEVELS * now.size
