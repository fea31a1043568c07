"""Faces without labels: from FairFace, or detected in a folder of photographs."""

import logging
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError
from training.cleaning.face_crops import crop, open_cutter
from training.datasets.assemble import image_files
from training.datasets.dataset import Dataset
from training.datasets.fairface import framed, open_fairface
from training.datasets.pixels import read_image

SIDE: Final = 96
"""Largest side of a face image, in pixels: twice the input of the released networks."""

_log = logging.getLogger(__name__)


def read_unlabelled(path: Path) -> Dataset:
    """Read faces without labels, all in Training, grey uint8 [n, side, side].

    path: FairFace (its training split; see `fairface.open_fairface`), or a folder of photographs; of each photograph
    the largest face found by the board's detector is cropped as on the board. Raises EmotionEdgeError if no face is
    found.
    """
    if not path.exists():
        raise EmotionEdgeError(f"{path}: not there; give FairFace's zip or folder, or a folder of photographs")
    known = open_fairface(path, "train")
    if known is not None:
        name, faces = "FairFace", [framed(chip, min(SIDE, *chip.shape[:2])) for chip in known.images()]
    else:
        name, faces = path.name, _cut_faces(path)
    side = max((len(face) for face in faces), default=0)
    if not side:
        raise EmotionEdgeError(f"{path}: no face found, neither FairFace's nor on photographs in the folder")
    resized = [face if len(face) == side else cv2.resize(face, (side, side)) for face in faces]
    images = np.stack(resized).astype(np.uint8, copy=False)
    _log.info("%s: %d faces without labels", path, len(images))
    count = len(images)
    return Dataset(name, images, {}, None, False, np.zeros(count, np.int64), np.arange(count))


def _cut_faces(folder: Path) -> list[npt.NDArray[np.uint8]]:
    cutter, faces, without = open_cutter(), [], 0
    for file in image_files(folder):
        try:
            image = read_image(file, 3)
        except EmotionEdgeError as error:
            _log.warning("%s", error)
            continue
        square = cutter.square(image, None)
        if square is None:
            without += 1
            continue
        face = crop(image, square, SIDE)
        faces.append(np.asarray(face if face.ndim == 2 else cv2.cvtColor(face, cv2.COLOR_BGR2GRAY), np.uint8))
    if without:
        _log.info("%s: %d photographs without a face are left out", folder, without)
    return faces
