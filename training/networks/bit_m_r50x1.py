"""BiT-M R50x1: Kolesnikov et al., "Big Transfer (BiT): General Visual Representation Learning" (2020).

ResNet-50 with pre-activation (He et al. 2016, "Identity mappings"), group normalization (Wu and He 2018) instead of
batch normalization, and weight standardization (Qiao et al. 2019): every kernel is used with mean 0 and variance 1 by
output channel. Layers are named as in the published `BiT-M-R50x1.npz` (Apache 2.0, ImageNet-21k), with `_` for `/`.
"""

import functools
from collections.abc import Mapping
from typing import Any, Final

from training.networks.about import About
from training.networks.common import divisible, prepared, stride_of_stem, with_heads

BLOCKS: Final = (3, 4, 6, 3)
"""Units of each block."""
GROUPS: Final = 32
SCALING: Final = (2.0, (-1.0, -1.0, -1.0))
"""As published, by channel. Grey is repeated: a standardized kernel, summed over its inputs, is not standardized."""
STANDARDIZED: Final = "StandardizedConv2D"

ABOUT: Final = About(
    source="Kolesnikov et al., Big Transfer (BiT): General Visual Representation Learning (2020)",
    parameters=23_535_185,
    multiply_adds=750_733_312,
    int8="no: group normalization",
    scaling=SCALING,
)


def build(
    keras: Any,
    input_shape: tuple[int, int, int],
    heads: Mapping[str, int],
    *,
    width: float = 1.0,
    stem_stride: int | None = None,
    dropout: float = 0.3,
) -> Any:
    """Build the network; with `tf_keras` its convolutions are plain ones, for kernels from `with_plain_kernels`.

    Args:
        keras: `keras` or `tf_keras`.
        input_shape: Height, width and channels.
        heads: Number of outputs by head.
        width: Factor of all channels.
        stem_stride: 1 or 2; None: 1 for images under 96 pixels.
        dropout: Dropout rate of the pooled features, 0 to 1.
    """
    layers = keras.layers
    convolution = standardized_conv2d() if hasattr(keras, "ops") else layers.Conv2D

    def conv(x: Any, channels: int, size: int, stride: int, name: str) -> Any:
        # Padded equally on both sides, as published: with a stride, "same" pads an even image on one side only.
        if size > 1:
            x = layers.ZeroPadding2D(size // 2, name=f"{name}_padding")(x)
        kind = f"{name}_standardized_conv2d"
        return convolution(channels, size, strides=stride, use_bias=False, name=kind)(x)

    def normalized(x: Any, name: str) -> Any:
        channels = x.shape[-1]
        groups = next(number for number in range(min(GROUPS, channels), 0, -1) if channels % number == 0)
        x = layers.GroupNormalization(groups, epsilon=1e-5, name=f"{name}group_norm")(x)
        return layers.ReLU(name=f"{name}relu")(x)

    def channels_of(published: int) -> int:
        return published if width == 1 else divisible(published * width)

    image, x = prepared(keras, input_shape, SCALING)
    x = conv(x, channels_of(64), 7, stride_of_stem(input_shape, stem_stride), "root_block")
    x = layers.ZeroPadding2D(1, name="root_block_pool_padding")(x)
    x = layers.MaxPooling2D(3, 2, name="root_block_pool")(x)
    for block, units in enumerate(BLOCKS, 1):
        inner, outer = channels_of(32 << block), 4 * channels_of(32 << block)
        for unit in range(1, units + 1):
            name = f"block{block}_unit{unit:02d}"
            stride = 2 if block > 1 and unit == 1 else 1
            shortcut, x = x, normalized(x, f"{name}_a_")
            if unit == 1:
                shortcut = conv(x, outer, 1, stride, f"{name}_a_proj")
            x = conv(x, inner, 1, 1, f"{name}_a")
            x = conv(normalized(x, f"{name}_b_"), inner, 3, stride, f"{name}_b")
            x = conv(normalized(x, f"{name}_c_"), outer, 1, 1, f"{name}_c")
            x = layers.Add(name=f"{name}_add")([x, shortcut])
    return with_heads(keras, image, normalized(x, ""), heads, dropout, "bit_m_r50x1")


@functools.cache
def standardized_conv2d() -> Any:
    """Keras's Conv2D with weight standardization, a class registered for loading."""
    import keras

    @keras.saving.register_keras_serializable(package="emotion_edge", name=STANDARDIZED)
    class StandardizedConv2D(keras.layers.Conv2D):  # type: ignore[misc]
        def convolution_op(self, inputs: Any, kernel: Any) -> Any:
            return super().convolution_op(inputs, standardized(kernel))

    return StandardizedConv2D


def standardized(kernel: Any) -> Any:
    """A kernel [h, w, inputs, outputs] with mean 0 and variance 1 by output channel. keras: Keras 3."""
    import keras

    mean, variance = keras.ops.moments(kernel, axes=(0, 1, 2), keepdims=True)
    return (kernel - mean) * keras.ops.rsqrt(variance + 1e-10)


def with_plain_kernels(network: Any) -> Any:
    """Replace convolutions with weight standardization by plain ones that hold the standardized kernels.

    Any Keras loads these, and TFLite converts them. A network without such convolutions is returned unchanged.
    """
    import keras

    if not any(type(layer).__name__ == STANDARDIZED for layer in network.layers):
        return network

    def plain(layer: Any) -> Any:
        kind = keras.layers.Conv2D if type(layer).__name__ == STANDARDIZED else type(layer)
        return kind.from_config(layer.get_config())

    copy = keras.models.clone_model(network, clone_function=plain)
    for layer, twin in zip(network.layers, copy.layers, strict=True):
        weights = layer.get_weights()
        if type(layer).__name__ == STANDARDIZED:
            weights = [keras.ops.convert_to_numpy(standardized(kernel)) for kernel in weights]
        twin.set_weights(weights)
    return copy
