"""Draws a sheet of training faces, each unaltered and then augmented several times."""

from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError
from training.augment import augmentation
from training.config import TrainingConfig

PREVIEW_FILE: Final = "augmented.png"
FACES: Final = 8
VIEWS: Final = 9
SIDE: Final = 96
"""Smallest side, in pixels, at which a face is shown; smaller ones are enlarged."""


def write_preview(images: Any, config: TrainingConfig, path: Path) -> None:
    """Write the sheet, a row for each of FACES faces spread over the images: first as it is, then VIEWS draws.

    Args:
        images: Faces of the run's input size, uint8 [n, h, w] or [n, h, w, channels].
        config: Settings of the run. Its `augment` is drawn with a generator of its own, so that training is unchanged.
        path: The PNG file to write.

    Raises:
        EmotionEdgeError: The file cannot be written.
    """
    if not cv2.imwrite(str(path), preview(images, config)):
        raise EmotionEdgeError(f"{path}: cannot be written")


def preview(images: Any, config: TrainingConfig) -> npt.NDArray[np.uint8]:
    """The sheet of `write_preview` as an image, uint8 [h, w, channels]."""
    tiles = preview_tiles(images, config)
    lines = [np.concatenate(tiles[at : at + 1 + VIEWS], axis=1) for at in range(0, len(tiles), 1 + VIEWS)]
    factor = -(-SIDE // max(config.input.height, config.input.width))
    return np.asarray(np.repeat(np.repeat(np.concatenate(lines), factor, axis=0), factor, axis=1), np.uint8)


def preview_tiles(images: Any, config: TrainingConfig) -> list[npt.NDArray[np.uint8]]:
    """The pictures of the sheet, row by row, each uint8 [h, w] or [h, w, 3]."""
    rows = np.unique(np.linspace(0, len(images) - 1, FACES).astype(int))
    faces = np.stack([np.asarray(images[int(row)]) for row in rows]).reshape(len(rows), *config.input.shape)
    layer = augmentation(config.augment, config.seed)
    columns = [faces]
    for _ in range(VIEWS):
        drawn = np.asarray(layer(faces, training=True))
        columns.append(np.rint(drawn * 255).astype(np.uint8))
    shape = config.input.shape if config.input.channels == 3 else config.input.shape[:2]
    return [column[row].reshape(shape) for row in range(len(rows)) for column in columns]
