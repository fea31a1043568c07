"""Shared by the architectures: input preprocessing, heads, and adaptation of keras.applications networks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from training.networks.about import SIGNED, Scaling

SMALL: Final = 96
MOMENTUM: Final = 0.99
SCALING_LAYER: Final = "scaling"
GROWN: Final = "grown_"
"""Name prefix of layers that start with zero output, so that adding them leaves a trained network's output
unchanged.
"""


def divisible(channels: float) -> int:
    """Round to a multiple of 8 (at least 16, at most 10% below the value), which suits vector units."""
    rounded = max(16, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


def stride_of_stem(input_shape: Sequence[int], stride: int | None) -> int:
    """Stride of the first convolution, for a network designed for 224x224: 2 as published, 1 under SMALL pixels.

    Five halvings reduce 48x48 to 2x2, too coarse to separate mouth and eyes; with stride 1 in the stem, 3x3 remain.
    Enlarging the image inside the network would cost the same multiply-adds and add no detail. For faces as large as
    the objects of ImageNet, which pretrained filters expect, use a larger input size: the data set is then resized
    once, not in every step.
    """
    if stride is not None:
        return stride
    return 1 if min(input_shape[:2]) < SMALL else 2


def prepared(keras: Any, input_shape: tuple[int, int, int], scaling: Scaling = SIGNED) -> tuple[Any, Any]:
    """Return the input `image`, and the scaled tensor for the first layer.

    If the scaling differs by channel, grey is repeated to three channels. Otherwise one channel suffices: the
    pretrained kernels are summed over their input channels, which is equivalent (`training.networks.pretrained`).
    """
    image = x = keras.Input(input_shape, name="image")
    scale, offset = scaling
    if isinstance(offset, Sequence) and input_shape[-1] == 1:
        x = keras.layers.Concatenate(name="repeated")([x] * len(offset))
    return image, keras.layers.Rescaling(scale, offset, name=SCALING_LAYER)(x)


def with_heads(keras: Any, image: Any, features: Any, heads: Mapping[str, int], dropout: float, name: str) -> Any:
    """Build the model from the image to logits by head, on the average-pooled features [n, h, w, c]."""
    layers = keras.layers
    x = layers.GlobalAveragePooling2D(name="average")(features)
    x = layers.Dropout(dropout, name="dropout")(x)
    outputs = {head: layers.Dense(size, name=head)(x) for head, size in heads.items()}
    return keras.Model(image, outputs, name=name)


def adapted(
    keras: Any,
    published: Any,
    changes: Mapping[str, Mapping[str, Any]],
    *,
    width: float = 1.0,
    everywhere: Mapping[str, Any] | None = None,
    dropped: Callable[[Any], bool] | None = None,
) -> tuple[Any, Any]:
    """Rebuild a network of keras.applications with other settings; returns its input and its features.

    The layers stay in one flat model, which the quantization tools need. All batch normalization has the momentum
    MOMENTUM: with the 0.999 of some networks its statistics would need thousands of steps.

    Args:
        keras: `keras` or `tf_keras`.
        published: The network to rebuild.
        changes: New settings by layer name.
        width: Factor of all channels.
        everywhere: New settings of every layer that has them.
        dropped: Function that returns True for a layer to leave out.
    """
    everywhere = {"momentum": MOMENTUM, **(everywhere or {})}

    def changed(layer: Any) -> Any:
        if dropped is not None and dropped(layer):
            return keras.layers.Identity(name=layer.name)
        settings = layer.get_config()
        settings.update({key: value for key, value in everywhere.items() if key in settings})
        if width != 1.0 and "filters" in settings:
            settings["filters"] = _narrowed(settings["filters"], width)
        if width != 1.0 and "target_shape" in settings:
            *place, channels = settings["target_shape"]
            settings["target_shape"] = (*place, _narrowed(channels, width))
        settings.update(changes.get(layer.name, {}))
        return type(layer).from_config(settings)

    model = keras.models.clone_model(published, clone_function=changed)
    return model.inputs[0], model.outputs[0]


def _narrowed(channels: int, width: float) -> int:
    return min(channels, divisible(channels * width)) if width < 1 else divisible(channels * width)
