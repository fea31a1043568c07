"""The images whose activations set the ranges of post-training quantization: from the training split alone."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError
from training.datasets.dataset import Dataset, clean_training

SAMPLES = 500


def calibration_images(data: Dataset, samples: int = SAMPLES, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Images uint8 [n, 48, 48], at most `samples`, drawn from Training.

    The first uses the whole range of 0 to 255, so that the input's scale comes out as exactly 1/255. Raises
    EmotionEdgeError where no image does.
    """
    images = clean_training(data).part("Training").images
    low, high = images.min(axis=(1, 2)), images.max(axis=(1, 2))
    whole = np.flatnonzero((low == 0) & (high == 255))
    if not whole.size:
        raise EmotionEdgeError("calibration: no training image has both a black and a white pixel")
    drawn = np.random.default_rng(seed).permutation(len(images))[: samples - 1]
    return np.asarray(images[np.concatenate([whole[:1], drawn])], np.uint8)


def representative(images: npt.NDArray[np.uint8]) -> Callable[[], Iterator[dict[str, npt.NDArray[np.float32]]]]:
    """The images as the converter wants them: one at a time, float32 [1, 48, 48, 1] in 0 to 1, by input name."""

    def samples() -> Iterator[dict[str, npt.NDArray[np.float32]]]:
        for image in images:
            yield {"image": (image / np.float32(255))[None, ..., None]}

    return samples
