"""Cost of a network: parameters and multiply-adds."""

import math
from typing import Any

CONVOLUTIONS = ("Conv2D", "StandardizedConv2D", "DepthwiseConv2D", "SeparableConv2D")


def parameters(model: Any) -> int:
    """Number of parameters of a network, including the statistics of batch normalization."""
    return int(model.count_params())


def multiply_adds(model: Any) -> int:
    """Count the multiply-adds of one image in the convolutions and dense layers of a Keras model, also nested ones.

    Biases, normalization (which folds into the convolution before it), pooling and activations are not counted, as is
    usual. Raises NotImplementedError for a layer of another kind that has kernels.
    """
    return sum(_of_layer(layer) for layer in model.layers)


def _of_layer(layer: Any) -> int:
    if hasattr(layer, "layers"):
        return multiply_adds(layer)
    kind = type(layer).__name__
    kernels = [weight.shape for weight in layer.weights if len(weight.shape) > 1]
    if not kernels:
        return 0
    if kind in CONVOLUTIONS:
        # Each weight of a kernel is used once at every output pixel, for regular, grouped and depthwise convolutions.
        positions = math.prod(layer.output.shape[1:3])
    elif kind == "Dense":
        positions = math.prod(layer.output.shape[1:-1])
    else:
        raise NotImplementedError(f"layer {layer.name}: multiply-adds of {kind} cannot be counted")
    return int(positions * sum(math.prod(kernel) for kernel in kernels))
