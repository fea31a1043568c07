"""The registry of architectures: one file each, all built by `build_network`.

A builder takes the keras module to build with (`keras`, or `tf_keras` for quantization-aware training) and gives a
model with the input `image`, float32 [n, 48, 48, 1], pixel / 255, and the outputs `fer7` [n, 7] and `ferplus8` [n,
8], logits. It uses only layers that both modules have, in an order that does not depend on the module, so that
weights go from one to the other by position.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from edge.errors import EmotionEdgeError
from training.networks import plain_residual

Builder = Callable[..., Any]

NETWORKS: Final[Mapping[str, Builder]] = {"plain_residual": plain_residual.build}


def build_network(name: str, keras: Any, options: Mapping[str, Any]) -> Any:
    """A network by name. Raises EmotionEdgeError for a name or an option that is not known."""
    if name not in NETWORKS:
        raise EmotionEdgeError(f"network {name!r}: not known (known: {', '.join(NETWORKS)})")
    try:
        return NETWORKS[name](keras, **options)
    except TypeError as error:
        raise EmotionEdgeError(f"network {name}: wrong options {dict(options)}: {error}") from None
