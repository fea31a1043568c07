"""Mini-Xception: Arriaga, Valdenegro-Toro, Plöger, "Real-time convolutional neural networks for emotion and gender
classification" (2017), long the usual small network of FER-2013.

Two things differ from the paper. The stem is 16 channels wide instead of 8, with which TensorFlow 2.21's oneDNN
corrupts memory. The paper's last 3x3 convolution to the classes and average pooling are replaced by average pooling and
a dense layer, as in the other networks, so that several heads share everything before it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from training.networks.about import About
from training.networks.common import prepared, with_heads

ABOUT: Final = About(
    source="Arriaga et al., Real-time convolutional neural networks for emotion and gender classification (2017)",
    parameters=54_737,
    multiply_adds=9_396_960,
    int8="yes, Edge TPU too",
)


def build(
    keras: Any,
    input_shape: tuple[int, int, int],
    heads: Mapping[str, int],
    *,
    stem: int = 16,
    widths: Sequence[int] = (16, 32, 64, 128),
    dropout: float = 0.2,
) -> Any:
    """Build the network with the given keras module.

    Args:
        keras: `keras` or `tf_keras`.
        input_shape: Height, width and channels.
        heads: Number of outputs by head.
        stem: Channels of the two convolutions at full resolution.
        widths: Channels of the modules, each of which halves the resolution.
        dropout: Dropout rate of the pooled features, 0 to 1.
    """
    layers = keras.layers

    def normalized(x: Any) -> Any:
        return layers.BatchNormalization()(x)

    image, x = prepared(keras, input_shape)
    for _ in range(2):
        x = layers.ReLU()(normalized(layers.Conv2D(stem, 3, use_bias=False)(x)))
    for channels in widths:
        shortcut = normalized(layers.Conv2D(channels, 1, strides=2, padding="same", use_bias=False)(x))
        x = layers.ReLU()(normalized(layers.SeparableConv2D(channels, 3, padding="same", use_bias=False)(x)))
        x = normalized(layers.SeparableConv2D(channels, 3, padding="same", use_bias=False)(x))
        x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
        x = layers.Add()([x, shortcut])
    return with_heads(keras, image, x, heads, dropout, "mini_xception")
