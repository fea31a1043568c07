"""Initialises the activation ranges of a quantization-aware network by measurement, before it is trained.

tensorflow-model-optimization starts every range at -6 to 6 and updates it by a moving average of momentum 0.999. After
1,000 steps more than a third of the initial range remains, so the scale of pooled features of 0 to 4 is too coarse, and
sums of 0 to 16 are clipped. Measured ranges avoid both.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from tensorflow_model_optimization.quantization.keras import quantizers

from quantize.calibration import as_input

BATCH = 100


def set_ranges(student: Any, images: npt.NDArray[np.uint8]) -> None:
    """Set the range of each activation to its extreme values on the images and 0, and those of weights to theirs.

    student: a network of `quantize_model`, changed in place. images: uint8 [n, h, w] or [n, h, w, 3].
    """
    found: dict[str, tuple[Any, Any, float, float]] = {}
    with _recording({}):
        student(as_input(images[:1]), training=True)  # sets the ranges of the weights, which only a training step does
    with _recording(found):
        for start in range(0, len(images), BATCH):
            student(as_input(images[start : start + BATCH]), training=False)
    for low, high, least, largest in found.values():
        low.assign(least)
        high.assign(largest)


@contextmanager
def _recording(found: dict[str, tuple[Any, Any, float, float]]) -> Iterator[None]:
    """Context manager: activation quantizers record the range of their input and pass it on in float."""
    original = quantizers.MovingAverageQuantizer.__call__

    def note(_: Any, inputs: Any, training: Any, weights: Mapping[str, Any], **__: Any) -> Any:  # noqa: ARG001
        low, high = weights["min_var"], weights["max_var"]
        values = np.asarray(inputs)
        *_, least, largest = found.get(low.name, (None, None, 0.0, 0.0))
        found[low.name] = (low, high, min(least, float(values.min())), max(largest, float(values.max())))
        return inputs

    quantizers.MovingAverageQuantizer.__call__ = note
    try:
        yield
    finally:
        quantizers.MovingAverageQuantizer.__call__ = original
