"""The float network of a run, and the same network in tf_keras, which is what the quantization tools take."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tf_keras

from edge.errors import EmotionEdgeError
from training.config import read_config
from training.evaluate import load_network
from training.fit import CONFIG_FILE
from training.networks import build_network

TOLERANCE = 1e-4


def twin_of_run(run: Path) -> Any:
    """The chosen float network of a run, built again in tf_keras with the same weights.

    Raises EmotionEdgeError where the run is not finished, or where the two differ in any logit by more than TOLERANCE.
    """
    network = load_network(run)
    config = read_config(run / CONFIG_FILE)
    twin = build_network(config.network, tf_keras, config.options)
    return carry_weights(network, twin)


def carry_weights(network: Any, twin: Any) -> Any:
    """The tf_keras twin with the weights of the Keras 3 network, checked on random images."""
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
