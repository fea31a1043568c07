"""ResNet-50: He et al., "Deep residual learning for image recognition" (2016), as built by keras.applications."""

from collections.abc import Mapping
from typing import Any, Final

from training.networks.about import SIGNED, About, Scaling
from training.networks.common import adapted, prepared, stride_of_stem, with_heads

MEANS: Final = (-103.939, -116.779, -123.68)
"""Offsets that subtract ImageNet's means from pixels of 0 to 255: blue, green, red."""


def imagenet(keras: Any, options: Mapping[str, Any]) -> Any:  # noqa: ARG001
    """The network of keras.applications with ImageNet weights."""
    return keras.applications.ResNet50(include_top=False, weights="imagenet")


ABOUT: Final = About(
    source="He et al., Deep residual learning for image recognition (2016)",
    parameters=23_616_273,
    multiply_adds=693_815_296,
    int8="yes; larger than the Edge TPU's 8 MB of memory",
    imagenet=imagenet,
    scaling=(255.0, MEANS),
    rgb=False,
)


def build(
    keras: Any,
    input_shape: tuple[int, int, int],
    heads: Mapping[str, int],
    *,
    width: float = 1.0,
    stem_stride: int | None = None,
    dropout: float = 0.3,
    scaling: Scaling = SIGNED,
) -> Any:
    """Build the network with the given keras module.

    Args:
        keras: `keras` or `tf_keras`.
        input_shape: Height, width and channels.
        heads: Number of outputs by head.
        width: Factor of all channels.
        stem_stride: 1 or 2; None: 1 for images under 96 pixels.
        dropout: Dropout rate of the pooled features, 0 to 1.
        scaling: Scaling of the pixels, set together with the weights.
    """
    _, x = prepared(keras, input_shape, scaling)
    body = keras.applications.ResNet50(include_top=False, weights=None, input_tensor=x)
    stride = stride_of_stem(input_shape, stem_stride)
    image, features = adapted(keras, body, {"conv1_conv": {"strides": (stride, stride)}}, width=width)
    return with_heads(keras, image, features, heads, dropout, "resnet50")
