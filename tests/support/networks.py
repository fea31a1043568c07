"""Small networks of every architecture, for tests; needs the training extra."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from training.networks import build_network

HEADS = {"ferplus8": 8, "fer7": 7, "affect": 2}
# Narrow enough to train in seconds, with the published stride of the stem; narrower layers make oneDNN fail.
NARROW: Mapping[str, Mapping[str, Any]] = {
    "plain_residual": {"stem": 16, "widths": [16, 24], "blocks": [1, 1]},
    "separable_residual": {
        "stem": 16, "widths": [16, 24], "blocks": [1, 1], "strides": [1, 2], "expansion": 2, "last": 32
    },
    "mini_xception": {"widths": [16, 32]},
    "efficientnet_lite": {"width": 0.25, "stem_stride": 2},
    "mobilenet_v3": {"stem_stride": 2},
    "mobilenet_v2": {"alpha": 0.5, "stem_stride": 2},
    "mobilenet_face": {"blocks": 3},
    "efficientnet_b1": {"width": 0.25, "stem_stride": 2},
    "vgg11": {"width": 0.25},
    "vgg_face": {"width": 0.25},
    "xception": {"width": 0.125, "stem_stride": 2},
    "resnet50": {"width": 0.25, "stem_stride": 2},
    "bit_m_r50x1": {"width": 0.25, "stem_stride": 2},
}  # fmt: skip

Arrays = dict[str, npt.NDArray[np.float32]]


def images(count: int, height: int = 48, width: int = 48, channels: int = 1) -> npt.NDArray[np.float32]:
    """Random images in a network's input format, 0 to 1."""
    return np.random.default_rng(1).random((count, height, width, channels), np.float32)


def outputs_of(network: Any, inputs: npt.NDArray[np.float32]) -> Arrays:
    return {head: np.asarray(values) for head, values in network(inputs, training=False).items()}


def narrow(name: str, shape: tuple[int, int, int] = (32, 32, 1), **options: Any) -> Any:
    return build_network(name, keras, shape, HEADS, {**NARROW[name], "dropout": 0.0, **options})


def features(network: Any) -> Any:
    """Return the part of a network before its heads."""
    return keras.Model(network.inputs[0], network.get_layer("average").output)
