"""The interface that every kind of camera implements, and the functions that several kinds share."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from edge.reading import Image


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a camera, of which `Capture` makes a Frame.

    Attributes:
        image: BGR uint8 [H, W, 3].
        captured_at: when it was taken, in seconds of `time.monotonic()`.
        analysis: a smaller picture of the same scene, as in `Frame.analysis`.
        position: seconds from the beginning of the video file; unused for other sources.
        unrelated: this picture does not continue the scene of the previous one, as in `Frame.unrelated`.
        bad: number of frames skipped just before this one because they could not be decoded.
    """

    image: Image
    captured_at: float
    analysis: Image | None = None
    position: float | None = None
    unrelated: bool = False
    bad: int = 0


class Camera(Protocol):
    """An open source of pictures.

    Attributes:
        name: name for messages, such as `camera /dev/video0`.
        lossless: no picture may be dropped; the source waits for its reader.
    """

    name: str
    lossless: bool

    def read(self) -> Picture | None:
        """Wait for the next picture and return it; None at the end of a file or after `close`.

        Raises:
            EmotionEdgeError: the camera delivers no more pictures: unplugged, or its server is gone.
        """

    def skip(self) -> bool:
        """Wait for the next picture and discard it, which is cheaper than `read`. Return False if there is none."""

    def close(self) -> None:
        """Release the device. May be called twice, and from another thread: a `read` that is waiting then ends soon."""


def as_bgr(image: npt.NDArray[np.uint8]) -> Image:
    """Convert uint8 [H, W] or [H, W, 1, 3 or 4] to BGR uint8 [H, W, 3]."""
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR).astype(np.uint8, copy=False)
    if channels == 4:
        return cv2.cvtColor(image, cv2.COLOR_BGRA2BGR).astype(np.uint8, copy=False)
    return image


def printable(path: Path) -> str:
    """Return the path as text for messages: bytes that are not UTF-8 become the replacement character."""
    return os.fsencode(path).decode(errors="replace")


def plausible_time(taken: float) -> float:
    """Return the driver's time stamp if it lies within the last 5 s of `time.monotonic()`, else the time now, in s."""
    now = time.monotonic()
    return taken if now - 5 <= taken <= now else now


class Pace:
    """Schedule for the pictures of a file: the first is due at once, the others by their positions, without drift."""

    def __init__(self) -> None:
        self._began: float | None = None

    def delay(self, position: float) -> float:
        """Return the seconds, 0 or more, until the picture at `position` seconds from the file's beginning is due."""
        now = time.monotonic()
        if self._began is None:
            self._began = now - position
        due = self._began + position
        if now - due > 1:
            # The machine slept or is too slow: continue from this picture instead of hurrying after the schedule.
            self._began, due = now - position, now
        return max(0.0, due - now)

    def restart(self, length: float) -> None:
        """Shift the schedule for another pass over the file, whose last pass was `length` seconds long."""
        if self._began is not None:
            self._began += length
