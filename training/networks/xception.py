"""Xception: Chollet, "Xception: deep learning with depthwise separable convolutions" (2017).

Built by keras.applications.
"""

from collections.abc import Mapping
from typing import Any, Final

from training.networks.about import SIGNED, About, Scaling
from training.networks.common import adapted, prepared, stride_of_stem, with_heads


def imagenet(keras: Any, options: Mapping[str, Any]) -> Any:  # noqa: ARG001
    """The network of keras.applications with ImageNet weights."""
    return keras.applications.Xception(include_top=False, weights="imagenet")


ABOUT: Final = About(
    source="Chollet, Xception: deep learning with depthwise separable convolutions (2017)",
    parameters=20_895_737,
    multiply_adds=798_233_432,
    int8="yes; larger than the Edge TPU's 8 MB of memory",
    imagenet=imagenet,
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

    Images must be 32x32 or larger.

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
    body = keras.applications.Xception(include_top=False, weights=None, input_tensor=x)
    stride = stride_of_stem(input_shape, stem_stride)
    image, features = adapted(keras, body, {"block1_conv1": {"strides": (stride, stride)}}, width=width)
    return with_heads(keras, image, features, heads, dropout, "xception")
