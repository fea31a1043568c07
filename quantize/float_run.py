"""Opens a finished float run to be quantized."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from edge.errors import EmotionEdgeError
from training.config import AFFECT, CONFIG_FILE, read_config
from training.evaluation.figures import load_network
from training.networks import build_network
from training.networks.bit_m_r50x1 import with_plain_kernels


@dataclass(frozen=True, slots=True)
class Source:
    """A finished float run.

    folder: folder of the run. network: the Keras 3 network, computing in float32. heads: number of outputs by head, in
    the network's order. input_shape: height, width, channels.
    """

    folder: Path
    network: Any
    heads: Mapping[str, int]
    input_shape: tuple[int, int, int]


def read_source(run: Path) -> Source:
    """Open a run. Raises EmotionEdgeError if it has no selected network, or one not made by `emotion-train`."""
    network = load_network(run)
    if not isinstance(network.output, Mapping):
        raise EmotionEdgeError(f"{run}: its network has no outputs by name; `emotion-quantize keras` takes any other")
    heads = {name: int(output.shape[-1]) for name, output in network.output.items()}
    if set(heads) == {AFFECT}:
        raise EmotionEdgeError(f"{run}: predicts valence and arousal alone; a board's model needs a label set, too")
    height, width, channels = (int(size) for size in network.input_shape[1:])
    if any(layer.compute_dtype not in (None, "float32") for layer in network.layers):
        network = _in_float32(run, network, (height, width, channels), heads)
    return Source(run, with_plain_kernels(network), heads, (height, width, channels))


def _in_float32(run: Path, network: Any, input_shape: tuple[int, int, int], heads: Mapping[str, int]) -> Any:
    """Rebuild a network that computes in half precision as one in float32, with the same (float32) weights."""
    config = read_config(run / CONFIG_FILE)
    sizes = {head: heads[head] for head in config.heads}
    keras.config.set_dtype_policy("float32")
    rebuilt = build_network(config.network, keras, input_shape, sizes, config.options, load=False)
    rebuilt.set_weights(network.get_weights())
    return rebuilt
