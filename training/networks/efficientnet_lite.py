"""EfficientNet-Lite0: Liu, "Higher accuracy on vision models with EfficientNet-Lite" (TensorFlow blog, 2020), after Tan
and Le (2019).

EfficientNet made for int8: ReLU6 instead of swish and no squeeze-and-excite. Keras has no build of it, so this is our
own, without stochastic depth.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from training.networks.about import About
from training.networks.common import divisible, prepared, stride_of_stem, with_heads

ABOUT: Final = About(
    source="Liu, Higher accuracy on vision models with EfficientNet-Lite (2020), Lite0",
    parameters=3_434_225,
    multiply_adds=69_208_288,
    int8="yes, Edge TPU too",
)


class Stage(NamedTuple):
    """kernel: its side. expansion: how much wider than its input a block is inside. stride: of the first block."""

    kernel: int
    expansion: int
    channels: int
    stride: int
    blocks: int


STAGES: Final = (
    Stage(3, 1, 16, 1, 1),
    Stage(3, 6, 24, 2, 2),
    Stage(5, 6, 40, 2, 2),
    Stage(3, 6, 80, 2, 3),
    Stage(5, 6, 112, 1, 3),
    Stage(5, 6, 192, 2, 4),
    Stage(3, 6, 320, 1, 1),
)
STEM: Final = 32
LAST: Final = 1280


def build(
    keras: Any,
    input_shape: tuple[int, int, int],
    heads: Mapping[str, int],
    *,
    width: float = 1.0,
    stem_stride: int | None = None,
    dropout: float = 0.2,
) -> Any:
    """The network, built with the given keras module.

    width: factor of all channels. stem_stride: 1 or 2; None for 1 under 96 pixels. dropout: of the pooled features, 0
    to 1.
    """
    layers = keras.layers

    def normalized(x: Any) -> Any:
        return layers.BatchNormalization(momentum=0.99, epsilon=1e-3)(x)

    def convolution(x: Any, channels: float, size: int = 1, stride: int = 1) -> Any:
        filters = divisible(channels * width)
        x = layers.Conv2D(filters, size, stride, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
        return normalized(x)

    image, x = prepared(keras, input_shape)
    x = layers.ReLU(6.0)(convolution(x, STEM, 3, stride_of_stem(input_shape, stem_stride)))
    before = float(STEM)
    for kernel, expansion, channels, first, count in STAGES:
        for block in range(count):
            stride, y = first if block == 0 else 1, x
            if expansion > 1:
                y = layers.ReLU(6.0)(convolution(x, before * expansion))
            y = layers.DepthwiseConv2D(
                kernel, stride, padding="same", use_bias=False, depthwise_initializer="he_normal"
            )(y)
            y = convolution(layers.ReLU(6.0)(normalized(y)), channels)
            x = layers.Add()([x, y]) if stride == 1 and x.shape[-1] == y.shape[-1] and block else y
            before = channels
    x = layers.ReLU(6.0)(convolution(x, LAST))
    return with_heads(keras, image, x, heads, dropout, "efficientnet_lite")
