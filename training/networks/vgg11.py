"""VGG11 with batch normalization: Simonyan and Zisserman, "Very deep convolutional networks for large-scale image
recognition" (2014), configuration A; normalization after Ioffe and Szegedy (2015).

Average pooling replaces the two dense layers of 4096, which would be nine tenths of the parameters; at 48x48 the last
feature map is one pixel. Plain 3x3 convolutions, the easiest network to quantize.
"""

from collections.abc import Mapping
from typing import Any, Final

from training.networks.about import About
from training.networks.common import divisible, prepared, with_heads

ABOUT: Final = About(
    source="Simonyan and Zisserman, Very deep convolutional networks (2014), configuration A, with batch normalization",
    parameters=9_236_305,
    multiply_adds=341_074_432,
    int8="yes; larger than the Edge TPU's 8 MB of memory",
)

STAGES: Final = ((64,), (128,), (256, 256), (512, 512), (512, 512))


def build(
    keras: Any, input_shape: tuple[int, int, int], heads: Mapping[str, int], *, width: float = 1.0, dropout: float = 0.3
) -> Any:
    """Build the network with the given keras module.

    Images must be 32x32 or larger.

    Args:
        keras: `keras` or `tf_keras`.
        input_shape: Height, width and channels.
        heads: Number of outputs by head.
        width: Factor of all channels.
        dropout: Dropout rate of the pooled features, 0 to 1.
    """
    layers = keras.layers
    image, x = prepared(keras, input_shape)
    for stage in STAGES:
        for channels in stage:
            x = layers.Conv2D(
                divisible(channels * width), 3, padding="same", use_bias=False, kernel_initializer="he_normal"
            )(x)
            x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.MaxPooling2D()(x)
    return with_heads(keras, image, x, heads, dropout, "vgg11")
