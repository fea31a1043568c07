"""First pass of `prepare`: reads each image once and keeps what the later decisions need."""

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
from rich.progress import track

from edge.errors import EmotionEdgeError
from edge.reading import Box, Image
from training.cleaning.face_crops import FaceCutter, crop, image_at, named_face, whole
from training.datasets.dataset import Dataset
from training.datasets.manifest import BLANK, NO_FACE, UNREADABLE
from training.progress import terminal_console

SIDE: Final = 48
"""Side in pixels of the thumbnails with which images are compared."""
BLANK_BELOW: Final = 2.0
"""Standard deviation of an image's grey values below which the image is blank."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Scan:
    """Results of one pass over n images.

    reason: why an image is left out: UNREADABLE, BLANK, NO_FACE, or "" if it is not. detail: explanation. squares:
    square of the face crop; None where whole images are kept. thumbnails: grey uint8 [n, SIDE, SIDE] of the kept part,
    undefined if there is a reason. sides: shorter side of the kept part in pixels, int64 [n]. digests: digest of the
    kept part's pixels, b"" if there is a reason.
    """

    reason: list[str]
    detail: list[str]
    squares: list[Box | None]
    thumbnails: npt.NDArray[np.uint8]
    sides: npt.NDArray[np.int64]
    digests: list[bytes]


def scan(data: Dataset, cutter: FaceCutter | None, largest: int) -> Scan:
    """Read every image of a data set, and collect what `prepare` needs to decide which to keep.

    Args:
        data: The data set; unreadable files are logged by name.
        cutter: Detector that finds the face to crop; None keeps whole images.
        largest: Longest side of the kept part, pixels.
    """
    count = len(data)
    found = Scan(
        [""] * count,
        [""] * count,
        [None] * count,
        np.zeros((count, SIDE, SIDE), np.uint8),
        np.zeros(count, np.int64),
        [b""] * count,
    )
    for i in progress(count, "looking at the images"):
        try:
            image = image_at(data, i)
        except EmotionEdgeError as error:
            _log.warning("left out: %s", error)
            found.reason[i], found.detail[i] = UNREADABLE, str(error)
            continue
        if float(_grey(image).std()) < BLANK_BELOW:
            found.reason[i] = BLANK
            continue
        if cutter is None:
            view = whole(image, named_face(data, i), largest)
            found.sides[i] = min(view.shape[:2])
        else:
            square = cutter.square(image, named_face(data, i))
            if square is None:
                found.reason[i] = NO_FACE
                continue
            view = crop(image, square, largest)
            found.squares[i], found.sides[i] = square, max(1, round(square.width))
        found.thumbnails[i] = cv2.resize(_grey(view), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        if float(found.thumbnails[i].std()) < BLANK_BELOW:
            found.reason[i] = BLANK
            continue
        found.digests[i] = hashlib.sha256(repr(view.shape).encode() + view.tobytes()).digest()
    return found


def progress(count: int, what: str) -> Iterable[int]:
    """Iterate over range(count) with a progress bar on standard error if that is a terminal."""
    console = terminal_console(stderr=True)
    return track(range(count), what, console=console, transient=True, disable=not console.is_terminal)


def _grey(image: Image) -> Image:
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
