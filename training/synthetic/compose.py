"""Frames composed of FER-2013 faces at known boxes on varied backgrounds, to calibrate and evaluate detectors."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge.reading import Box, Image
from training.datasets.dataset import clean_training
from training.datasets.fer2013 import read_fer2013

# Pictures inside the scikit-image wheel that show no human face (its coins and its camera man do).
_BACKGROUNDS = (
    "coffee",
    "chelsea",
    "rocket",
    "hubble_deep_field",
    "immunohistochemistry",
    "retina",
    "brick",
    "grass",
    "gravel",
    "page",
    "text",
    "clock",
    "moon",
)


@dataclass(frozen=True)
class Scene:
    """A composed frame: image, BGR uint8 [H, W, 3]; the square of each face; its row in the faces given."""

    image: Image
    boxes: tuple[Box, ...]
    rows: tuple[int, ...]


def read_faces(path: Path, split: str) -> npt.NDArray[np.uint8]:
    """The faces of one split of FER-2013, uint8 [n, 48, 48] in file order; Training without those of another split.

    path: fer2013.csv or its folder. split: Training, PublicTest or PrivateTest. Raises EmotionEdgeError if the file is
    not FER-2013's.
    """
    return clean_training(read_fer2013(path)).part(split).pixels


def backgrounds() -> list[Image]:
    """Pictures without human faces, BGR uint8, of varied size: photographs, textures and print from scikit-image."""
    from skimage import data

    pictures = [np.asarray(getattr(data, name)()) for name in _BACKGROUNDS]
    codes = [cv2.COLOR_GRAY2BGR if picture.ndim == 2 else cv2.COLOR_RGB2BGR for picture in pictures]
    return [np.asarray(cv2.cvtColor(it, code), np.uint8) for it, code in zip(pictures, codes, strict=True)]


def _background(rng: np.random.Generator, pictures: list[Image], width: int, height: int) -> Image:
    """Draw a background with noise, BGR uint8 [height, width, 3]: part of a picture, or (one in five) a gradient."""
    if rng.random() < 0.2:
        corners = rng.uniform(0, 255, (2, 2, 3)).astype(np.float32)
        canvas = cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR)
    else:
        picture = pictures[rng.integers(len(pictures))]
        scale = rng.uniform(0.4, 1.0)
        part_height, part_width = int(picture.shape[0] * scale), int(picture.shape[1] * scale)
        y = rng.integers(picture.shape[0] - part_height + 1)
        x = rng.integers(picture.shape[1] - part_width + 1)
        part = picture[y : y + part_height, x : x + part_width]
        canvas = cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32)
        canvas = canvas * rng.uniform(0.4, 1.2) + rng.uniform(-20, 20)
    canvas = canvas + rng.normal(0, rng.uniform(0, 8), canvas.shape)
    return np.asarray(np.clip(canvas, 0, 255), np.uint8)


def _place(rng: np.random.Generator, side: int, width: int, height: int, taken: list[Box]) -> Box | None:
    for _ in range(20):
        box = Box(int(rng.integers(width - side + 1)), int(rng.integers(height - side + 1)), side, side)
        if all(box.iou(other) == 0 for other in taken):
            return box
    return None


def scenes(
    faces: npt.NDArray[np.uint8],
    count: int,
    sides: tuple[int, int],
    faces_a_scene: tuple[int, int] = (1, 3),
    size: tuple[int, int] = (640, 480),
    seed: int = 0,
) -> Iterator[Scene]:
    """Compose frames, the same for the same seed.

    faces: uint8 [n, 48, 48]; each is used at most once until all were. sides: smallest and largest width of a face in
    pixels, drawn log-uniformly. faces_a_scene: fewest and most; one that finds no free place is left out.
    size: width and height of a frame. A face keeps its own framing (a 48x48 square) and gets a slight tint.
    """
    rng = np.random.default_rng(seed)
    pictures = backgrounds()
    order = rng.permutation(len(faces))
    used = 0
    width, height = size
    for _ in range(count):
        image = _background(rng, pictures, width, height)
        boxes: list[Box] = []
        rows: list[int] = []
        for _ in range(rng.integers(faces_a_scene[0], faces_a_scene[1] + 1)):
            side = round(float(np.exp(rng.uniform(*np.log(sides)))))
            box = _place(rng, side, width, height, boxes)
            if box is None:
                continue
            row = int(order[used % len(order)])
            used += 1
            face = cv2.resize(faces[row], (side, side), interpolation=cv2.INTER_CUBIC).astype(np.float32)
            tint = rng.uniform((0.6, 0.8, 0.9), (1.0, 1.0, 1.1)).astype(np.float32)
            x, y = int(box.x), int(box.y)
            image[y : y + side, x : x + side] = np.clip(face[..., None] * tint, 0, 255)
            boxes.append(box)
            rows.append(row)
        yield Scene(image, tuple(boxes), tuple(rows))
