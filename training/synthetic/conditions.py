"""Frames with one face under a known condition: its size, roll, light, noise and blur."""

import functools
import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from edge.reading import Box, Image

FACE_SHARE: Final = 2 / 3
"""Width of a face from ear to ear as a share of its crop's, in FER-2013's and FairFace's images."""

_BOX: Final = (0.8, 1.0)
"""Width and height of YuNet's box as shares of the crop's side (medians of 79 FairFace images)."""

_FADE: Final = 0.03
"""Width of the rim, as a share of the crop's side, in which a crop fades into the background."""


_VIEW: Final = math.radians(62)
"""Horizontal angle of view of the Raspberry Pi's camera, and about that of a webcam."""

_FACE_METRES: Final = 0.15


def metres(width: float, frame_width: int) -> float:
    """Distance in metres of a face 15 cm and `width` pixels wide, for a pinhole camera of 62 degrees of view."""
    return _FACE_METRES * frame_width / (2 * math.tan(_VIEW / 2)) / width


@dataclass(frozen=True, slots=True)
class Condition:
    """How a face appears in its frame.

    name: name of the row. width: width of the face from ear to ear, pixels. size: size of the frame. roll: degrees,
    clockwise. gain: factor of all pixels. noise: standard deviation of the read noise, 0 to 255. blur: length of the
    motion blur, pixels. light: `side`, `back` or empty. stream: True if the detector gets one second of frames to find
    the face in.
    """

    name: str
    width: int = 120
    size: tuple[int, int] = (640, 480)
    roll: float = 0.0
    gain: float = 1.0
    noise: float = 0.0
    blur: int = 0
    light: str = ""
    stream: bool = False


def _at_distance(width: int) -> Condition:
    return Condition(f"{width} px ({metres(width, 640):.1f} m)", width=width)


def _stream(width: int) -> Condition:
    size = (1280, 720)
    name = f"1280x720, {width} px ({metres(width, size[0]):.1f} m), 1 s"
    return Condition(name, width=width, size=size, noise=2, stream=True)


CONDITIONS: Final = (
    Condition("120 px, clean"),
    Condition("dimmed to 1/4, noise 6", gain=1 / 4, noise=6),
    Condition("dimmed to 1/10, noise 6", gain=1 / 10, noise=6),
    Condition("dimmed to 1/10, noise 2", gain=1 / 10, noise=2),
    Condition("side light", light="side"),
    Condition("back light", light="back"),
    Condition("rolled by 15 degrees", roll=15),
    Condition("rolled by 30 degrees", roll=30),
    Condition("rolled by 45 degrees", roll=45),
    Condition("motion blur, 15 px", blur=15),
    _at_distance(48),
    _at_distance(32),
    _at_distance(24),
    _stream(60),
    _stream(48),
    _stream(40),
    _stream(32),
)
"""The conditions measured; the first is the reference for the others."""


def compose(face: Image, condition: Condition, rng: np.random.Generator, at: complex = 0) -> tuple[Image, Box]:
    """Compose a frame with one face.

    Args:
        face: Face crop, BGR or grey uint8.
        condition: Condition of the frame.
        rng: Random generator of background, blur direction and noise.
        at: Offset of the face from the centre of the frame, x + iy, pixels.

    Returns:
        The frame, BGR uint8, and the box of the face before rotation.
    """
    width, height = condition.size
    if face.ndim == 2:
        face = np.asarray(cv2.cvtColor(face, cv2.COLOR_GRAY2BGR), np.uint8)
    side = condition.width / FACE_SHARE
    if side < face.shape[1] / 2:
        face = np.asarray(cv2.resize(face, (round(2 * side),) * 2, interpolation=cv2.INTER_AREA), np.uint8)
    frame = _background(condition, rng)
    centre = complex(width / 2, height / 2) + at
    _paste(frame, face, condition, centre, side / face.shape[1])
    if condition.blur:
        frame = np.asarray(cv2.filter2D(frame, -1, _line(condition.blur, float(rng.uniform(0, math.pi)))), np.uint8)
    box_width, box_height = (share * side for share in _BOX)
    box = Box(centre.real - box_width / 2, centre.imag - box_height / 2, box_width, box_height)
    return _exposed(frame, condition, rng), box


def _background(condition: Condition, rng: np.random.Generator) -> Image:
    """Draw a soft grey gradient; with back light it is far brighter than the face."""
    corners = rng.uniform(70, 160, (2, 2, 1)) + rng.uniform(-8, 8, 3) + (90 if condition.light == "back" else 0)
    small = np.clip(corners, 0, 255).astype(np.uint8)
    return np.asarray(cv2.resize(small, condition.size, interpolation=cv2.INTER_LINEAR), np.uint8)


def _paste(frame: Image, face: Image, condition: Condition, centre: complex, scale: float) -> None:
    """Draw the crop into the frame, rolled; its rim fades into the background."""
    side = scale * face.shape[1]
    turn = cv2.getRotationMatrix2D((face.shape[1] / 2, face.shape[0] / 2), -condition.roll, scale)
    reach = round(side) + 2
    left, top = max(0, round(centre.real) - reach), max(0, round(centre.imag) - reach)
    part = frame[top : top + 2 * reach, left : left + 2 * reach]
    to = (centre.real - face.shape[1] / 2 - left, centre.imag - face.shape[0] / 2 - top)
    turn = np.hstack([turn[:, :2], turn[:, 2:] + np.reshape(to, (2, 1))])
    area = (part.shape[1], part.shape[0])
    drawn = cv2.warpAffine(face, turn, area, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    if condition.light:
        drawn = np.clip(drawn * _light(condition, area[0]), 0, 255)
    y, x = np.mgrid[: area[1], : area[0]].astype(np.float32)
    along = np.exp(-1j * math.radians(condition.roll)) * (x + 1j * y - centre + complex(left, top)) / side
    inside = 0.5 - np.maximum(np.abs(along.real), np.abs(along.imag))
    mask = np.clip(inside / _FADE, 0, 1)[..., None]
    before = part.astype(np.float32)
    part[:] = np.rint(before + mask * (drawn - before)).astype(np.uint8)


def _light(condition: Condition, width: int) -> npt.NDArray[np.float32]:
    """Factors on the pixels of the face, float32 [1, width, 1]."""
    if condition.light == "back":
        return np.full((1, width, 1), 1 / 5, np.float32)
    ramp = np.clip((np.arange(width) / width - 0.4) / 0.2, 0, 1)
    return np.asarray(0.15 + 0.85 * ramp, np.float32)[None, :, None]


def _line(length: int, angle: float) -> npt.NDArray[np.float32]:
    """Kernel of a movement along a straight line."""
    kernel = np.zeros((length, length), np.float32)
    half = (length - 1) / 2
    reach = half * complex(math.cos(angle), math.sin(angle))
    begin, end = ((round(half + to.real), round(half + to.imag)) for to in (-reach, reach))
    cv2.line(kernel, begin, end, (1.0,))
    return np.asarray(kernel / kernel.sum(), np.float32)


_FRACTION: Final = 16
"""Steps per grey level in which exposure and noise are computed, so that noise dithers as on a sensor."""


def _exposed(frame: Image, condition: Condition, rng: np.random.Generator) -> Image:
    """Apply a condition's gain and read noise to a frame."""
    if condition.gain == 1 and not condition.noise:
        return frame
    levels = np.rint(np.arange(256) * condition.gain * _FRACTION).astype(np.int16)[frame]
    if condition.noise:
        bank = _noise()
        start = int(rng.integers(len(bank) - levels.size))
        noise = np.rint(bank[start : start + levels.size] * np.float32(condition.noise * _FRACTION)).astype(np.int16)
        levels += noise.reshape(levels.shape)
    return np.asarray(np.clip((levels + _FRACTION // 2) // _FRACTION, 0, 255), np.uint8)


@functools.lru_cache(maxsize=1)
def _noise() -> npt.NDArray[np.float32]:
    """A fixed array of normally distributed values; each frame takes its noise from it at a random offset."""
    return np.random.default_rng(0).standard_normal((1 << 20) + 1280 * 720 * 3, np.float32)
