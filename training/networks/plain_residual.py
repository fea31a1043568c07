"""A small residual network of regular 3x3 convolutions.

Regular convolutions do more multiply-adds for each byte read than depthwise ones, which suits int8 dot-product
instructions and trains fastest without a GPU. Residual blocks after He et al., "Deep residual learning for image
recognition" (2016). The stem has stride 2, since most of a network's cost is at full resolution; an optional narrow
branch (`fine`) processes the face at 48x48.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from training.networks.about import About
from training.networks.common import GROWN

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
    fine: int = 0,
    dropout: float = 0.2,
) -> Any:
    """Build the network with the given keras module.

    On a CPU with AVX-512, TensorFlow 2.21's oneDNN corrupts memory if layers are 8 channels wide and batches odd; 16
    channels are safe, and so is the environment variable TF_ENABLE_ONEDNN_OPTS=0, at 0.6 of the speed. The defaults
    have 258k parameters and 18 million multiply-adds.

    Args:
        keras: `keras` or `tf_keras`.
        input_shape: Height, width and channels.
        heads: Number of outputs by head.
        stem: Channels of the first convolution, stride 2.
        widths: Channels by stage.
        blocks: Number of residual blocks by stage; every stage but the first halves the resolution.
        fine: Channels of a branch parallel to the stem at full resolution; 0: none. Its contribution is initialised to
            zero, so it can be added to a trained network.
        dropout: Dropout rate of the pooled features, 0 to 1.
    """
    layers = keras.layers

    def convolution(x: Any, channels: int, size: int = 3, stride: int = 1, name: str = "", gamma: str = "ones") -> Any:
        names = (f"{name}_conv", f"{name}_norm") if name else (None, None)
        x = layers.Conv2D(
            channels, size, stride, padding="same", use_bias=False, kernel_initializer="he_normal", name=names[0]
        )(x)
        return layers.BatchNormalization(momentum=0.99, epsilon=1e-3, gamma_initializer=gamma, name=names[1])(x)

    image = keras.Input(input_shape, name="image")
    x = convolution(image, stem, stride=2)
    if fine:
        y = layers.ReLU()(convolution(image, fine, name=f"{GROWN}1"))
        y = layers.ReLU()(convolution(y, fine, name=f"{GROWN}2"))
        x = layers.Add()([convolution(y, stem, stride=2, name=f"{GROWN}3", gamma="zeros"), x])
    x = layers.ReLU()(x)
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
