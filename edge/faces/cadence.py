"""When to look for faces, and when to follow those that are known: as often as there is time for it, and on need."""

import math
from typing import Final, Literal

import cv2
import numpy as np

from edge.reading import Image

SHARE: Final = 0.15
"""Of the time between two frames, what detection may take on average where it chooses its own rate."""

MOST: Final = 10
"""Frames at most from one detection to the next, where it chooses its own rate."""

LONGEST: Final = 0.4
"""Seconds at most, so that a new face is found soon."""

LONGEST_ALONE: Final = 0.25
"""The same while nobody is followed."""

_CUT: Final = 28.0
"""Levels of 255 by which the picture changes on average when the scene is another."""

_STEADY: Final = 0.1
"""Weight of a new measurement in the means of time."""


class Cadence:
    """Decides, frame by frame. Belongs to one thread."""

    def __init__(self, every: int | Literal["auto"] = "auto") -> None:
        """every: frames from one detection to the next; 1: it runs in each. auto: as the time allows."""
        self._fixed = 0 if every == "auto" else every
        self.period = 0.0
        """Seconds from one frame to the next, as a mean; 0 while it is not known."""
        self._cost = 0.0
        self._cost_a_face = 0.0
        self._faces = 0
        self._frame_at = -math.inf
        self._found_at = -math.inf
        self._since = self._fixed  # the first frame is due

    @property
    def every(self) -> int:
        """Frames from one detection to the next as things stand, without those on need."""
        if self._fixed or not self.period:
            return self._fixed or 1
        if self._faces * self._cost_a_face > self._cost:
            return 1  # many faces are found sooner than they are followed
        wanted = math.ceil(self._cost / (SHARE * self.period))
        return max(1, min(wanted, MOST, int(LONGEST / self.period + 0.05)))

    def due(self, now: float, followed: int, at_border: bool) -> bool:
        """Whether to look for faces in the frame captured at `now`, seconds; called once for each frame, in order.

        followed: faces that can be followed into this frame. at_border: one of them is half outside, where following
        is least sure and the next face comes from: it is looked for twice as often.
        """
        passed = now - self._frame_at
        if 0 < passed < 1:  # what takes longer was a pause
            self.period += (passed - self.period) * (_STEADY if self.period else 1)
        self._frame_at, self._faces = now, followed
        self._since += 1
        every = math.ceil(self.every / 2) if at_border else self.every
        waited = math.inf if self._found_at > now else now - self._found_at + self.period / 2
        longest = LONGEST if followed else LONGEST_ALONE
        return self._since >= every or (not self._fixed and waited >= longest)

    def looked(self, now: float, seconds: float) -> None:
        """Faces were looked for in the frame captured at `now`, which took this long."""
        self._cost += (seconds - self._cost) * (_STEADY if self._cost else 1)
        self._since, self._found_at = 0, now

    def stepped(self, faces: int, seconds: float) -> None:
        """This many faces, at least one, were followed into a frame, which took this long."""
        self._cost_a_face += (seconds / faces - self._cost_a_face) * (_STEADY if self._cost_a_face else 1)


class SceneCut:
    """Notices that a frame shows another scene than the one before. Belongs to one thread."""

    def __init__(self) -> None:
        self._before: Image | None = None

    def __call__(self, image: Image) -> bool:
        """Whether it does. image: BGR or grey; the first one is no cut."""
        height, width = image.shape[:2]
        part = image[height // 32 :: max(1, height // 16), width // 48 :: max(1, width // 24)]
        now = np.ascontiguousarray(part[..., 1] if part.ndim == 3 else part)
        before, self._before = self._before, now
        if before is None or before.shape != now.shape:
            return before is not None
        return cv2.norm(before, now, cv2.NORM_L1) > _CUT * now.size
