"""A small residual network of regular 3x3 convolutions.

Regular rather than depthwise: a byte of activation read serves many multiply-adds, which is what int8 dot-product
cores are fast at, and what a workstation without a GPU trains fastest. Residual blocks after He et al., "Deep
residual learning for image recognition" (2016), with a strided stem because a face of 48x48 is soft at full size
anyway.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from training.networks.about import About

ABOUT: Final = About(
    source="own; blocks of He et al., Deep residual learning for image recognition (2016)",
    parameters=257_881,
    multiply_adds=18_345_808,
    int8="yes, Edge TPU too",
)


def build(
    keras: Any,
    input_shape: tuple[int, int, int],
    heads: Mapping[str, int],
    *,
    stem: int = 24,
    widths: Sequence[int] = (24, 48, 80),
    blocks: Sequence[int] = (1, 1, 2),
    dropout: float = 0.2,
) -> Any:
    """The network, built with the given keras module.

    stem: channels of the first convolution, stride 2. widths, blocks: channels and residual blocks of each stage;
    every stage but the first halves the resolution. dropout: of the pooled features, 0 to 1. On a CPU with AVX-512,
    TensorFlow 2.21's oneDNN corrupts memory where layers are 8 wide and batches odd; 16 is safe, and so is the
    environment variable TF_ENABLE_ONEDNN_OPTS=0, at 0.6 of the speed. The defaults make 258k parameters and 18
    million multiply-adds.
    """
    layers = keras.layers

    def convolution(x: Any, channels: int, size: int = 3, stride: int = 1) -> Any:
        x = layers.Conv2D(channels, size, stride, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
        return layers.BatchNormalization(momentum=0.99, epsilon=1e-3)(x)

    image = keras.Input(input_shape, name="image")
    x = layers.ReLU()(convolution(image, stem, stride=2))
    for stage, (channels, count) in enumerate(zip(widths, blocks, strict=True)):
        for block in range(count):
            stride = 2 if stage > 0 and block == 0 else 1
            y = layers.ReLU()(convolution(x, channels, stride=stride))
            y = convolution(y, channels)
            if stride > 1 or x.shape[-1] != channels:
                x = convolution(x, channels, size=1, stride=stride)
            x = layers.ReLU()(layers.Add()([y, x]))
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(dropout)(x)
    outputs = {head: layers.Dense(size, name=head)(x) for head, size in heads.items()}
    return keras.Model(image, outputs, name="plain_residual")
