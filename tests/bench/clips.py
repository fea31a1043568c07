"""Makes the benchmark's clips from the bundled one: with none to four faces, at two sizes."""

from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
import skimage.data

from edge.media import CLIP

Frames = npt.NDArray[np.uint8]
SIZES: Final = ((640, 480), (1280, 720))
FACES: Final = {"no face": 0, "one face": 1, "two faces": 2, "four faces": 4}
LENGTH: Final = 60
_ONE, _TWO, _TWO_LATER = 10, 105, 160
"""First frames of parts of the bundled clip that show one face, two faces, and two faces later."""
_HEADS: Final = slice(95, 335)
"""Pixel rows that contain both heads."""


def write_clips(folder: Path) -> dict[tuple[str, int, int], Path]:
    """Write each clip as LENGTH raw BGR frames; returns the files by name, width and height."""
    paths = {
        (name, *size): folder / f"{name.replace(' ', '-')}-{size[0]}x{size[1]}.bgr" for name in FACES for size in SIZES
    }
    if all(path.exists() for path in paths.values()):
        return paths
    folder.mkdir(parents=True, exist_ok=True)
    whole = _bundled()
    clips = {
        "no face": _panned(skimage.data.rocket()[..., ::-1]),
        "one face": whole[_ONE : _ONE + LENGTH],
        "two faces": whole[_TWO : _TWO + LENGTH],
        "four faces": np.concatenate(
            [whole[start : start + LENGTH, _HEADS] for start in (_TWO, _TWO_LATER)], axis=1
        ),
    }  # fmt: skip
    for (name, width, height), path in paths.items():
        with path.open("wb") as file:
            for frame in clips[name]:
                file.write(_fitted(frame, width, height).tobytes())
    return paths


def _bundled() -> Frames:
    capture = cv2.VideoCapture(str(CLIP))
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1])
    return np.stack(frames).astype(np.uint8, copy=False)


def _panned(picture: npt.NDArray[np.uint8]) -> Frames:
    """Yield frames of 640x480 that pan over a picture without faces, and back."""
    large = cv2.resize(picture, (800, 600))
    steps = [abs((number % 120) - 60) for number in range(LENGTH)]
    return np.asarray([large[step : step + 480, 2 * step : 2 * step + 640] for step in steps], np.uint8)


def _fitted(frame: Frames, width: int, height: int) -> Frames:
    """Resize a frame to the clip's height, and extend its edges to the clip's width."""
    if frame.shape[:2] == (height, width):
        return np.asarray(frame, np.uint8)
    scaled = cv2.resize(frame, (round(frame.shape[1] * height / frame.shape[0]), height))
    side = width - scaled.shape[1]
    return np.asarray(cv2.copyMakeBorder(scaled, 0, 0, side // 2, side - side // 2, cv2.BORDER_REPLICATE), np.uint8)
