"""Box jitter: the faces of a test set cropped with the small framing errors of a real detector."""

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

SHIFT: Final = 0.10
"""Largest shift of a box in each direction, as a share of its side."""
SCALE: Final = (0.85, 1.15)
"""Smallest and largest factor of a box's side."""
ROTATE: Final = 10.0
"""Largest rotation of a box in either direction, degrees."""

Moves = npt.NDArray[np.float64]
STILL: Final = (0.0, 0.0, 1.0, 0.0)
"""The displacement that changes nothing: no shift, scale 1, no rotation."""


def moves(count: int, seed: int) -> Moves:
    """Draw a random box displacement for each of `count` faces.

    Returns:
        [count, 4]: shift right and down in box sides, scale factor, rotation in degrees; each uniformly distributed.
    """
    generator = np.random.default_rng(seed)
    low, high = (-SHIFT, -SHIFT, SCALE[0], -ROTATE), (SHIFT, SHIFT, SCALE[1], ROTATE)
    return generator.uniform(low, high, (count, 4))


def moved(images: npt.NDArray[np.uint8], boxes: Moves) -> npt.NDArray[np.uint8]:
    """Crop each image with its displaced box.

    Args:
        images: uint8 [n, h, w] or [n, h, w, 3]; each image fills its original box.
        boxes: Displacements from `moves`, [n, 4].

    Returns:
        Images of the same shape. Beyond the border the edge pixels are repeated, as in the crop on the board.
    """
    out = np.empty_like(images)
    height, width = images.shape[1:3]
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    for row, (image, (right, down, scale, degrees)) in enumerate(zip(images, boxes, strict=True)):
        cosine, sine = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
        turn = np.array([[cosine, -sine], [sine, cosine]])
        start = centre + np.array([right * width, down * height]) - turn @ centre
        out[row] = cv2.warpAffine(
            image,
            np.column_stack([turn, start]),
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
    return out
