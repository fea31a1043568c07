"""A small network of inverted residual blocks: wide depthwise convolutions between narrow 1x1 ones.

After Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks" (2018), laid out for a face of 48x48:
one halving in the stem, two in the body, and the last map 6x6. About the cost of `plain_residual` with more layers and
channels; it pays where depthwise kernels are fast (XNNPACK's, the Edge TPU's). It uses only operations that full int8
and the Edge TPU run, and ReLU6, whose range of 0 to 6 suits int8.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from training.networks.about import About

ABOUT: Final = About(
    source="own; blocks of Sandler et al., MobileNetV2 (2018)",
    parameters=273_449,
    multiply_adds=16_201_536,
    int8="yes, Edge TPU too",
)


def build(
    keras: Any,
    input_shape: tuple[int, int, int],
    heads: Mapping[str, int],
    *,
    stem: int = 24,
    widths: Sequence[int] = (24, 40, 64, 96),
    blocks: Sequence[int] = (1, 2, 3, 2),
    strides: Sequence[int] = (1, 2, 2, 1),
    expansion: int = 4,
    last: int = 192,
    dropout: float = 0.2,
) -> Any:
    """Build the network with the given keras module.

    Args:
        keras: `keras` or `tf_keras`.
        input_shape: Height, width and channels.
        heads: Number of outputs by head.
        stem: Channels of the first convolution, stride 2.
        widths: Channels by stage.
        blocks: Number of blocks by stage.
        strides: Stride of the first block by stage.
        expansion: Ratio of the inner width of a block to its input width.
        last: Channels of the 1x1 convolution before the average pooling.
        dropout: Dropout rate of the pooled features, 0 to 1.
    """
    layers = keras.layers

    def normalized(x: Any) -> Any:
        return layers.BatchNormalization(momentum=0.99, epsilon=1e-3)(x)

    def convolution(x: Any, channels: int, size: int = 1, stride: int = 1) -> Any:
        x = layers.Conv2D(channels, size, stride, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
        return normalized(x)

    def depthwise(x: Any, stride: int) -> Any:
        x = layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False, depthwise_initializer="he_normal")(x)
        return layers.ReLU(6.0)(normalized(x))

    image = keras.Input(input_shape, name="image")
    x = layers.ReLU(6.0)(convolution(image, stem, size=3, stride=2))
    for channels, count, first in zip(widths, blocks, strides, strict=True):
        for block in range(count):
            stride = first if block == 0 else 1
            y = layers.ReLU(6.0)(convolution(x, expansion * x.shape[-1]))
            y = convolution(depthwise(y, stride), channels)
            x = layers.Add()([x, y]) if stride == 1 and x.shape[-1] == channels else y
    x = layers.ReLU(6.0)(convolution(x, last))
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(dropout)(x)
    outputs = {head: layers.Dense(size, name=head)(x) for head, size in heads.items()}
    return keras.Model(image, outputs, name="separable_residual")
