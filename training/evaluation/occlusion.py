"""Occlusion maps: how much covering each part of a face changes a network's prediction (Zeiler and Fergus, "Visualizing
and understanding convolutional networks", 2014).

Only outputs are needed, no gradients, so it works for float networks on any backend and for int8 files.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from training.evaluation.metrics import Floats, Labels, Logits, softmax

PATCH: Final = 0.25
"""Side of the covering square, as a share of the image's side."""
STEPS: Final = 7
"""Number of positions of the covering square along each side of the image."""

Images = npt.NDArray[np.uint8]


def occlusion(
    run: Callable[[Images], Mapping[str, Logits]], images: Images, head: str, classes: Labels, temperature: float = 1.0
) -> Floats:
    """Measure by how much the probability of a class drops if a part is covered with the image's mean.

    Args:
        run: The network, from images to the logits of its heads.
        images: uint8 [n, h, w] or [n, h, w, 3].
        head: Name of the head.
        classes: The class of each image, int64 [n].
        temperature: Temperature of the logits.

    Returns:
        Drops [n, h, w], -1 to 1: at each pixel the mean over the squares that cover it.
    """
    count, height, width = images.shape[:3]
    sides = max(1, round(PATCH * height)), max(1, round(PATCH * width))
    fill = np.rint(images.mean(axis=(1, 2), keepdims=True)).astype(np.uint8)
    rows = np.arange(count)

    def probability(pixels: Images) -> Floats:
        return np.asarray(softmax(run(pixels)[head], temperature)[rows, classes])

    before = probability(images)
    sums, times = np.zeros((count, height, width)), np.zeros((height, width))
    for top in np.linspace(0, height - sides[0], STEPS).round().astype(int):
        for left in np.linspace(0, width - sides[1], STEPS).round().astype(int):
            place = slice(top, top + sides[0]), slice(left, left + sides[1])
            covered = images.copy()
            covered[:, *place] = fill
            sums[:, *place] += (before - probability(covered))[:, None, None]
            times[place] += 1
    return sums / times
