"""MobileNetV2: Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks" (2018).

Built by keras.applications.
"""

from collections.abc import Mapping
from typing import Any, Final

from training.networks.about import SIGNED, About, Scaling
from training.networks.common import adapted, prepared, stride_of_stem, with_heads


def imagenet(keras: Any, options: Mapping[str, Any]) -> Any:
    """The network of keras.applications with ImageNet weights."""
    alpha = options.get("alpha", 1.0)
    return keras.applications.MobileNetV2(input_shape=(224, 224, 3), alpha=alpha, include_top=False, weights="imagenet")


ABOUT: Final = About(
    source="Sandler et al., MobileNetV2: inverted residuals and linear bottlenecks (2018)",
    parameters=2_279_185,
    multiply_adds=53_703_808,
    int8="yes, Edge TPU too",
    imagenet=imagenet,
)


def build(
    keras: Any,
    input_shape: tuple[int, int, int],
    heads: Mapping[str, int],
    *,
    alpha: float = 1.0,
    stem_stride: int | None = None,
    dropout: float = 0.2,
    scaling: Scaling = SIGNED,
) -> Any:
    """Build the network with the given keras module.

    Args:
        keras: `keras` or `tf_keras`.
        input_shape: Height, width and channels.
        heads: Number of outputs by head.
        alpha: Factor of the channels; ImageNet weights exist for 0.35, 0.5, 0.75, 1, 1.3 and 1.4.
        stem_stride: 1 or 2; None: 1 for images under 96 pixels.
        dropout: Dropout rate of the pooled features, 0 to 1.
        scaling: Scaling of the pixels, set together with the weights.
    """
    _, x = prepared(keras, input_shape, scaling)
    body = keras.applications.MobileNetV2(alpha=alpha, include_top=False, weights=None, input_tensor=x)
    stride = stride_of_stem(input_shape, stem_stride)
    image, features = adapted(keras, body, {"Conv1": {"strides": (stride, stride)}})
    return with_heads(keras, image, features, heads, dropout, "mobilenet_v2")
