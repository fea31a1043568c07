"""Copies the float network of a run to tf_keras, which the quantization tools require."""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tf_keras

from edge.errors import EmotionEdgeError
from quantize.float_run import Source
from training.config import TrainingConfig
from training.networks import build_network

TOLERANCE = 1e-4


def twin_of(source: Source, config: TrainingConfig) -> Any:
    """Rebuild the selected float network of a run in tf_keras, with the same weights.

    config: settings of the run. Raises EmotionEdgeError if they build another network, or any output of the two differs
    by more than TOLERANCE.
    """
    heads = {head: source.heads[head] for head in config.heads if head in source.heads}
    return carry_weights(
        source.network, build_network(config.network, tf_keras, source.input_shape, heads, config.options, load=False)
    )


def carry_weights(network: Any, twin: Any) -> Any:
    """Copy the weights of a Keras 3 network to its tf_keras copy, and compare their outputs on random images."""
    weights = network.get_weights()
    if [w.shape for w in weights] != [tuple(w.shape) for w in twin.weights]:
        raise EmotionEdgeError("quantize: the float network's weights are not those its configuration builds")
    twin.set_weights(weights)
    images = np.random.default_rng(0).random((16, *network.input_shape[1:]), np.float32)
    difference = max_difference(network.predict(images, verbose=0), twin.predict(images, verbose=0))
    if difference > TOLERANCE:
        raise EmotionEdgeError(
            f"quantize: keras {keras.__version__} and tf_keras {tf_keras.__version__} differ by {difference:.2g} in a "
            f"logit (allowed {TOLERANCE:g})"
        )
    return twin


def max_difference(a: dict[str, npt.NDArray[np.float32]], b: dict[str, npt.NDArray[np.float32]]) -> float:
    """The largest absolute difference over the outputs of two networks."""
    return max(float(np.abs(np.asarray(a[head]) - np.asarray(b[head])).max()) for head in a)
