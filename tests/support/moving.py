"""Composes clips of faces on known paths, from heads cut out of the bundled clip."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edge.config import DetectorSettings
from edge.faces.detector import open_detector
from edge.media import CLIP
from edge.models.runtime import choose
from edge.reading import Box, Frame, Image
from tests.support.samples import picture

FPS = 20


@dataclass(frozen=True)
class Head:
    """A face with its surroundings: BGR image, mask float32 [H, W, 1], 0 to 1, and the box that a detector finds."""

    image: Image
    mask: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
    box: Box


@dataclass(frozen=True)
class At:
    """Place of a head in a frame: centre of the face and its width in pixels, and its roll in degrees."""

    head: Head
    x: float
    y: float
    width: float = 90.0
    roll: float = 0.0

    @property
    def box(self) -> Box:
        height = self.width * self.head.box.height / self.head.box.width
        return Box(self.x - self.width / 2, self.y - height / 2, self.width, height)


def heads() -> list[Head]:
    """Cut out the heads of the two women of the clip, Eileen Collins and Grace Hopper."""
    clip = cv2.VideoCapture(str(CLIP))
    clip.set(cv2.CAP_PROP_POS_FRAMES, 150)
    image = np.asarray(clip.read()[1], np.uint8)
    clip.release()
    found = open_detector(DetectorSettings(), choose(), 1).detect(image)
    return [_cut_out(image, face.box) for face in sorted(found, key=lambda face: face.box.x)]


def _cut_out(image: Image, box: Box) -> Head:
    side = round(1.5 * box.height)
    left, top = round(box.x + box.width / 2 - side / 2), round(box.y + box.height / 2 - side / 2)
    part = image[top : top + side, left : left + side]
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    mask = np.clip(6 * (1 - np.hypot(x / 0.8, y / 0.95)), 0, 1)[..., None].astype(np.float32)
    return Head(part, mask, Box(box.x - left, box.y - top, box.width, box.height))


def backdrop(width: int = 640, height: int = 480, seed: int = 3) -> Image:
    """Make a textured picture without a face."""
    rough = np.random.default_rng(seed).normal(0, 12, (height // 4, width // 4, 1)).astype(np.float32)
    texture = cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    return np.asarray(np.clip(picture(width, height, seed) + texture, 0, 255), np.uint8)


def compose(background: Image, placed: Sequence[At], cover: Box | None = None) -> Image:
    """Draw heads over a background, later ones in front of earlier ones, and over all a grey rectangle at `cover`."""
    frame = background.copy()
    for at in placed:
        scale, box = at.width / at.head.box.width, at.head.box
        x, y = at.x - scale * (box.x + box.width / 2), at.y - scale * (box.y + box.height / 2)
        side = int(scale * len(at.head.image)) + 2
        left, top = max(0, int(x)), max(0, int(y))
        part = frame[top : max(0, int(y) + side), left : max(0, int(x) + side)].astype(np.float32)
        if part.size:
            matrix = np.array([[scale, 0, x - left], [0, scale, y - top]])
            if at.roll:
                about = cv2.getRotationMatrix2D((at.x - left, at.y - top), at.roll, 1.0)
                matrix = about @ np.vstack([matrix, [0, 0, 1]])
            size = (part.shape[1], part.shape[0])
            mask = cv2.warpAffine(at.head.mask, matrix, size)[..., None]
            part += mask * (cv2.warpAffine(at.head.image, matrix, size) - part)
            frame[top : top + size[1], left : left + size[0]] = part
    if cover is not None:
        frame[int(cover.y) : int(cover.y + cover.height), int(cover.x) : int(cover.x + cover.width)] = 110
    return frame


def frames(
    seconds: float, scene: Callable[[float], tuple[Sequence[At], Box | None]], fps: int = FPS, seed: int = 3
) -> Iterator[tuple[Frame, list[Box]]]:
    """Yield the frames of a clip with the boxes of the faces. scene: gives heads and cover at a time in seconds."""
    background = backdrop(seed=seed)
    for number in range(round(seconds * fps)):
        placed, cover = scene(number / fps)
        image = compose(background, placed, cover)
        yield Frame(image, number / fps, number / fps, number), [at.box for at in placed]
