"""Reads Keras networks of any origin: Keras 3 or 2, from a .keras or .h5 file or a SavedModel, in any precision."""

import importlib
import importlib.util
import inspect
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import keras
import tf_keras

from edge.errors import EmotionEdgeError

_HALF: Final = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16")


def read_keras(path: Path, own: Mapping[str, Any] | None = None) -> Any:
    """Read a network with one image as its input; the result is float32 in all layers, and not compiled.

    A file that Keras 3 cannot read is read as Keras 2 by tf_keras. A network in half precision is rebuilt in float32
    with the same weights.

    Args:
        path: a .keras, .h5 or .hdf5 file, or a SavedModel folder that Keras 2 wrote.
        own: custom layers and functions of the network, by name.

    Raises:
        EmotionEdgeError: neither reads it; the message says what to do.
    """
    module, network = _read_folder(path, own) if path.is_dir() else _read_file(path, own)
    try:
        if any(layer.dtype_policy.name in _HALF for layer in _layers(network)):
            network = _in_float32(network, own)
        if isinstance(network, module.Sequential) or (isinstance(network.output, list) and len(network.output) == 1):
            network = module.Model(network.inputs, network.outputs[0])
    except (AttributeError, ValueError, TypeError, KeyError) as error:  # a subclassed model describes no layers
        raise EmotionEdgeError(
            f"{path}: its layers cannot be built again ({_first_line(error)}): save it as a functional or sequential "
            "model"
        ) from error
    return network


def objects_of(modules: Sequence[str]) -> dict[str, Any]:
    """Import modules, by name or as .py files, and return their classes and functions by name.

    Raises EmotionEdgeError for one that cannot be imported.
    """
    found: dict[str, Any] = {}
    for name in modules:
        try:
            module = _module(name)
        except Exception as error:  # a user's module may raise anything
            raise EmotionEdgeError(f"--import {name}: {type(error).__name__}: {_first_line(error)}") from error
        found |= {key: it for key, it in vars(module).items() if isinstance(it, type) or inspect.isfunction(it)}
    return found


def _module(name: str) -> Any:
    """Import a module from Python's path or the working directory, or a .py file."""
    path = Path(name)
    if path.suffix != ".py":
        if "" not in sys.path:
            sys.path.insert(0, "")
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _read_folder(folder: Path, own: Mapping[str, Any] | None) -> tuple[Any, Any]:
    if not (folder / "saved_model.pb").is_file():
        raise EmotionEdgeError(f"{folder}: a folder, but no SavedModel; give the .keras or .h5 file")
    if not (folder / "keras_metadata.pb").is_file():
        raise EmotionEdgeError(
            f"{folder}: a SavedModel without Keras's description of the layers, as `model.export` writes it: where the "
            "network was made, save it with `model.save('own.keras')` and give that file"
        )
    try:
        return tf_keras, tf_keras.models.load_model(folder, custom_objects=own, compile=False)
    except Exception as error:
        raise EmotionEdgeError(
            f"{folder}: tf_keras {tf_keras.__version__} cannot read it ({_first_line(error)}): with the TensorFlow "
            "that wrote it, load it and save it with `model.save('own.h5')`"
        ) from error


def _read_file(path: Path, own: Mapping[str, Any] | None) -> tuple[Any, Any]:
    if path.suffix == ".keras" and not zipfile.is_zipfile(path):  # Keras reports such a file as missing
        raise EmotionEdgeError(f"{path}: Keras cannot read it: it is no .keras file, or not a whole one")
    try:
        return keras, keras.models.load_model(path, custom_objects=own, compile=False)
    except Exception as first:
        try:
            return tf_keras, tf_keras.models.load_model(path, custom_objects=own, compile=False)
        except Exception as second:
            raise EmotionEdgeError(
                f"{path}: neither Keras {keras.__version__} ({_first_line(first)}) nor tf_keras {tf_keras.__version__} "
                f"({_first_line(second)}) reads it. Where it has layers of your own, name their module as --import"
            ) from first


def _layers(network: Any) -> list[Any]:
    """List the layers of a network, including those of nested networks."""
    return [inner for layer in network.layers for inner in (_layers(layer) if hasattr(layer, "layers") else [layer])]


def _in_float32(network: Any, own: Mapping[str, Any] | None) -> Any:
    weights = network.get_weights()
    network = type(network).from_config(_with_policy(network.get_config()), custom_objects=own)
    network.set_weights(weights)
    return network


def _with_policy(config: Any) -> Any:
    """Replace policies of half precision in a configuration by float32."""
    if isinstance(config, dict):
        return {key: _with_policy(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_with_policy(value) for value in config)
    return "float32" if isinstance(config, str) and config in _HALF else config


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]
