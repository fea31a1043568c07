"""Registry of architectures: one file each, all built by `build_network`.

A builder takes a Keras module (`keras`, or `tf_keras` for quantization-aware training), the input's shape (height,
width, channels) and the number of outputs of each head. It returns a model with the input `image`, float32 [n, height,
width, channels], pixel / 255, and a dictionary of outputs in the order of the heads, logits [n, classes]. The head
`affect` is [n, 2]: valence and arousal. A network to be quantized uses only layers that both modules have, in the same
order, so that weights can be copied from one to the other by position.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from edge.errors import EmotionEdgeError
from training.networks import (
    bit_m_r50x1,
    efficientnet_b1,
    efficientnet_lite,
    mini_xception,
    mobilenet_face,
    mobilenet_v2,
    mobilenet_v3,
    plain_residual,
    pretrained,
    resnet50,
    separable_residual,
    vgg11,
    vgg_face,
    xception,
)
from training.networks.about import About
from training.networks.pretrained import NO_WEIGHTS


@dataclass(frozen=True, slots=True)
class Architecture:
    """The builder of a network, and its description."""

    build: Callable[..., Any]
    about: About

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the builder's options, which a run may set, and `weights`."""
        parameters = inspect.signature(self.build).parameters.values()
        named = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
        return (*(name for name in named if name != "scaling"), "weights")


NETWORKS: Final[Mapping[str, Architecture]] = {
    module.__name__.rpartition(".")[2]: Architecture(module.build, module.ABOUT)
    for module in (
        plain_residual,
        separable_residual,
        mini_xception,
        efficientnet_lite,
        mobilenet_v3,
        mobilenet_v2,
        mobilenet_face,
        efficientnet_b1,
        vgg11,
        vgg_face,
        xception,
        resnet50,
        bit_m_r50x1,
    )
}


def build_network(
    name: str,
    keras: Any,
    input_shape: tuple[int, int, int],
    heads: Mapping[str, int],
    options: Mapping[str, Any],
    *,
    load: bool = True,
) -> Any:
    """Build a network by name.

    Args:
        name: Name in the registry.
        keras: `keras` or `tf_keras`.
        input_shape: Height, width and channels.
        heads: Number of outputs by head.
        options: Options of the architecture; `weights` (for all): `none`, `imagenet` or a file
            (`training.networks.pretrained`).
        load: False skips loading these weights, for a network whose weights are replaced anyway.

    Raises:
        EmotionEdgeError: A name or option is unknown, the settings are invalid, or the weights are unavailable or do
            not fit.
    """
    if name not in NETWORKS:
        raise EmotionEdgeError(f"network {name!r}: not known (known: {', '.join(NETWORKS)})")
    architecture = NETWORKS[name]
    unknown = [option for option in options if option not in architecture.options]
    if unknown:
        raise EmotionEdgeError(
            f"network {name}: wrong options {', '.join(unknown)} (known: {', '.join(architecture.options)})"
        )
    weights = options.get("weights", NO_WEIGHTS)
    used = {option: value for option, value in options.items() if option != "weights"}
    if weights != NO_WEIGHTS and "scaling" in inspect.signature(architecture.build).parameters:
        used["scaling"] = pretrained.scaling_of(weights, architecture.about)
    try:
        network = architecture.build(keras, input_shape, heads, **used)
    except (TypeError, ValueError) as error:
        raise EmotionEdgeError(
            f"network {name}: cannot be built for images {input_shape} with the options {dict(options)}: {error}"
        ) from None
    if load and weights != NO_WEIGHTS:
        pretrained.load(network, tuple(heads), weights, keras, architecture.about, options)
    return network
