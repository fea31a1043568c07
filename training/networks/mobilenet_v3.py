"""MobileNetV3-Small: Howard et al., "Searching for MobileNetV3" (2019), as built by keras.applications.

Minimalistic by default: 3x3 kernels, ReLU and no squeeze-and-excite, which int8 and the Edge TPU run well.
"""

from collections.abc import Mapping
from typing import Any, Final

from training.networks.about import SIGNED, About, Scaling
from training.networks.common import adapted, prepared, stride_of_stem, with_heads


def imagenet(keras: Any, options: Mapping[str, Any]) -> Any:
    """The network of keras.applications with ImageNet weights."""
    return keras.applications.MobileNetV3Small(
        input_shape=(224, 224, 3),
        alpha=options.get("alpha", 1.0),
        minimalistic=options.get("minimalistic", True),
        include_top=False,
        weights="imagenet",
    )


ABOUT: Final = About(
    source="Howard et al., Searching for MobileNetV3 (2019): Small, minimalistic",
    parameters=450_521,
    multiply_adds=8_653_824,
    int8="yes, Edge TPU too (minimalistic)",
    imagenet=imagenet,
)


def build(
    keras: Any,
    input_shape: tuple[int, int, int],
    heads: Mapping[str, int],
    *,
    alpha: float = 1.0,
    minimalistic: bool = True,
    stem_stride: int | None = None,
    dropout: float = 0.2,
    scaling: Scaling = SIGNED,
) -> Any:
    """Build the network with the given keras module.

    Args:
        keras: `keras` or `tf_keras`.
        input_shape: Height, width and channels.
        heads: Number of outputs by head.
        alpha: Factor of the channels; ImageNet weights exist for 1, and also for 0.75 if not minimalistic.
        minimalistic: False for the published hard-swish, 5x5 kernels and squeeze-and-excite.
        stem_stride: 1 or 2; None: 1 for images under 96 pixels.
        dropout: Dropout rate of the pooled features, 0 to 1.
        scaling: Scaling of the pixels, set together with the weights.
    """
    _, x = prepared(keras, input_shape, scaling)
    body = keras.applications.MobileNetV3Small(
        alpha=alpha,
        minimalistic=minimalistic,
        include_top=False,
        weights=None,
        input_tensor=x,
        include_preprocessing=False,
    )
    stride = stride_of_stem(input_shape, stem_stride)
    image, features = adapted(keras, body, {"conv": {"strides": (stride, stride)}})
    return with_heads(keras, image, features, heads, dropout, "mobilenet_v3")
