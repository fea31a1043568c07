"""Keras networks of others: Keras 3 or 2, as a .keras, .h5 or SavedModel, in half precision or not."""

import zipfile
from pathlib import Path
from typing import Any, Final

import keras
import tf_keras

from edge.errors import EmotionEdgeError

_HALF: Final = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16")


def read_keras(path: Path) -> Any:
    """A network with one image as its input, float32 in all its layers, not compiled.

    What Keras 3 cannot read is read as Keras 2 by tf_keras. A network in half precision is built again in float32 with
    the same weights.

    Args:
        path: a .keras, .h5 or .hdf5 file, or a SavedModel folder that Keras 2 wrote.

    Raises:
        EmotionEdgeError: neither reads it; the message says what to do.
    """
    module, network = _read_folder(path) if path.is_dir() else _read_file(path)
    try:
        if any(layer.dtype_policy.name in _HALF for layer in _layers(network)):
            network = _in_float32(network)
        if isinstance(network, module.Sequential) or (isinstance(network.output, list) and len(network.output) == 1):
            network = module.Model(network.inputs, network.outputs[0])
    except (AttributeError, ValueError, TypeError, KeyError) as error:  # a subclassed model describes no layers
        raise EmotionEdgeError(
            f"{path}: its layers cannot be built again ({_first_line(error)}): save it as a functional or sequential "
            "model"
        ) from error
    return network


def _read_folder(folder: Path) -> tuple[Any, Any]:
    if not (folder / "saved_model.pb").is_file():
        raise EmotionEdgeError(f"{folder}: a folder, but no SavedModel; give the .keras or .h5 file")
    if not (folder / "keras_metadata.pb").is_file():
        raise EmotionEdgeError(
            f"{folder}: a SavedModel without Keras's description of the layers, as `model.export` writes it: where the "
            "network was made, save it with `model.save('own.keras')` and give that file"
        )
    try:
        return tf_keras, tf_keras.models.load_model(folder, compile=False)
    except Exception as error:
        raise EmotionEdgeError(
            f"{folder}: tf_keras {tf_keras.__version__} cannot read it ({_first_line(error)}): with the TensorFlow "
            "that wrote it, load it and save it with `model.save('own.h5')`"
        ) from error


def _read_file(path: Path) -> tuple[Any, Any]:
    if path.suffix == ".keras" and not zipfile.is_zipfile(path):  # of which Keras says that it is not there
        raise EmotionEdgeError(f"{path}: Keras cannot read it: it is no .keras file, or not a whole one")
    try:
        return keras, keras.models.load_model(path, compile=False)
    except Exception as first:
        try:
            return tf_keras, tf_keras.models.load_model(path, compile=False)
        except Exception as second:
            raise EmotionEdgeError(
                f"{path}: neither Keras {keras.__version__} ({_first_line(first)}) nor tf_keras {tf_keras.__version__} "
                f"({_first_line(second)}) reads it. Layers of your own have to be replaced by Keras's"
            ) from first


def _layers(network: Any) -> list[Any]:
    """The layers of a network and of the networks in it."""
    return [inner for layer in network.layers for inner in (_layers(layer) if hasattr(layer, "layers") else [layer])]


def _in_float32(network: Any) -> Any:
    weights = network.get_weights()
    network = type(network).from_config(_with_policy(network.get_config()))
    network.set_weights(weights)
    return network


def _with_policy(config: Any) -> Any:
    """The configuration with float32 wherever it has a policy of half precision."""
    if isinstance(config, dict):
        return {key: _with_policy(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_with_policy(value) for value in config)
    return "float32" if isinstance(config, str) and config in _HALF else config


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]
