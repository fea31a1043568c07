"""EfficientNet-B1: Tan and Le, "EfficientNet: rethinking model scaling for convolutional neural networks" (2019);
built by keras.applications.

Swish and squeeze-and-excite lose accuracy in int8, for which reason EfficientNet-Lite omits them (Liu 2020). For a
board use `efficientnet_lite`.
"""

from collections.abc import Mapping
from typing import Any, Final

from training.networks.about import SIGNED, About, Scaling
from training.networks.common import SCALING_LAYER, adapted, prepared, stride_of_stem, with_heads

PUBLISHED: Final[Scaling] = ((1 / 0.225, 1 / 0.224, 1 / 0.229), (-0.406 / 0.225, -0.456 / 0.224, -0.485 / 0.229))
"""Pixels minus ImageNet's mean, divided by its standard deviation; blue, green, red."""


def imagenet(keras: Any, options: Mapping[str, Any]) -> Any:  # noqa: ARG001
    """The network of keras.applications with ImageNet weights."""
    return keras.applications.EfficientNetB1(include_top=False, weights="imagenet")


ABOUT: Final = About(
    source="Tan and Le, EfficientNet: rethinking model scaling for convolutional neural networks (2019)",
    parameters=6_596_433,
    multiply_adds=103_994_336,
    int8="runs, but swish and sigmoid cost accuracy",
    imagenet=imagenet,
    scaling=PUBLISHED,
)


def build(
    keras: Any,
    input_shape: tuple[int, int, int],
    heads: Mapping[str, int],
    *,
    width: float = 1.0,
    stem_stride: int | None = None,
    dropout: float = 0.2,
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
    body = keras.applications.EfficientNetB1(include_top=False, weights=None, input_tensor=x)
    changes: dict[str, dict[str, Any]] = {}
    if stride_of_stem(input_shape, stem_stride) == 1:
        changes = {"stem_conv_pad": {"padding": ((1, 1), (1, 1))}, "stem_conv": {"strides": (1, 1)}}

    def own_scaling(layer: Any) -> bool:
        inside = isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization)
        return inside and layer.name != SCALING_LAYER

    image, features = adapted(keras, body, changes, width=width, dropped=own_scaling)
    return with_heads(keras, image, features, heads, dropout, "efficientnet_b1")
