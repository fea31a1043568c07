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
    rows = np.unique(np.linspace(0, len(images) - 1, FACES).astype(int))
    faces = np.stack([np.asarray(images[int(row)]) for row in rows]).reshape(len(rows), *config.input.shape)
    layer = augmentation(config.augment, config.seed)
    columns = [faces]
    for _ in range(VIEWS):
        drawn = np.asarray(layer(faces, training=True))
        columns.append(np.rint(drawn * 255).astype(np.uint8))
    sheet = np.concatenate([np.concatenate(list(column), axis=0) for column in columns], axis=1)
    factor = -(-SIDE // max(config.input.height, config.input.width))
    if not cv2.imwrite(str(path), _enlarged(sheet, factor)):
        raise EmotionEdgeError(f"{path}: cannot be written")


def _enlarged(sheet: npt.NDArray[np.uint8], factor: int) -> npt.NDArray[np.uint8]:
    return np.asarray(np.repeat(np.repeat(sheet, factor, axis=0), factor, axis=1), np.uint8)
