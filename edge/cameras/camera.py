"""The interface of every camera, and what they share."""

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
        position: in a video file, seconds from its beginning.
        unrelated: it does not show the scene of the picture before, as in `Frame.unrelated`.
        bad: frames before it that could not be decoded and were passed over.
    """

    image: Image
    captured_at: float
    analysis: Image | None = None
    position: float | None = None
    unrelated: bool = False
    bad: int = 0


class Camera(Protocol):
    """A source of pictures that is open.

    Attributes:
        name: as in messages: `camera /dev/video0`.
        lossless: no picture may be dropped: the source waits for its reader.
    """

    name: str
    lossless: bool

    def read(self) -> Picture | None:
        """The next picture, waiting for it; None when there are no more (the end of a file, or `close`).

        Raises:
            EmotionEdgeError: the camera gives none any more: unplugged, the server gone.
        """

    def skip(self) -> bool:
        """Pass over the next picture, waiting for it, at less than `read` costs; False where there is none."""

    def close(self) -> None:
        """Release the device. May be called twice, and from another thread: a read that waits then ends soon."""


def as_bgr(image: npt.NDArray[np.uint8]) -> Image:
    """A picture with one, three or four channels as BGR [H, W, 3]."""
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR).astype(np.uint8, copy=False)
    if channels == 4:
        return cv2.cvtColor(image, cv2.COLOR_BGRA2BGR).astype(np.uint8, copy=False)
    return image


def printable(path: Path) -> str:
    """The path for messages: bytes of a name that are not UTF-8 become question marks, which every output can carry."""
    return os.fsencode(path).decode(errors="replace")


def plausible_time(taken: float) -> float:
    """The driver's time of a picture where it lies in the last 5 s of `time.monotonic()`, else now, in seconds."""
    now = time.monotonic()
    return taken if now - 5 <= taken <= now else now


class Pace:
    """When each picture of a file is due: the first now, the others by their positions, with no drift."""

    def __init__(self) -> None:
        self._began: float | None = None

    def delay(self, position: float) -> float:
        """Seconds to wait, 0 or more, before the picture at this position, in seconds from the beginning, is shown."""
        now = time.monotonic()
        if self._began is None:
            self._began = now - position
        due = self._began + position
        if now - due > 1:  # the machine slept, or cannot keep up: go on from here rather than race
            self._began, due = now - position, now
        return max(0.0, due - now)

    def restart(self, length: float) -> None:
        """The file begins again. length: of the time it was shown for, in seconds."""
        if self._began is not None:
            self._began += length
