"""Pretrained weights: those of ImageNet by name, or those of a file; without the heads, checked by shape."""

import json
import logging
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h5py  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError
from training.networks.about import SIGNED, About, Scaling
from training.networks.common import GROWN, SCALING_LAYER
from training.networks.head_transfer import carry_heads
from training.networks.tfjs_graph import read_convolutions

NO_WEIGHTS: Final = "none"
IMAGENET: Final = "imagenet"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoredLayer:
    """A layer of a weights file: its name, and its arrays in Keras's order."""

    name: str
    arrays: tuple[npt.NDArray[np.float32], ...]

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of the layer's arrays."""
        return tuple(array.shape for array in self.arrays)


def load(
    network: Any, heads: Sequence[str], weights: str, keras: Any, about: About, options: Mapping[str, Any]
) -> tuple[str, ...]:
    """Load pretrained weights into a network; returns the names of the layers before its heads that were loaded.

    weights: `imagenet`, or a file: `.keras` or `.weights.h5` of a network made here, Keras's older `.h5` (Keras's
    ImageNet files, VGG-Face in Keras's form), or the `.json` of a graph of TensorFlow.js. The layers of the file go to
    those of the network in order; what the file has after them are its own heads. Of a `.keras` file these begin the
    network's heads as far as classes match (`head_transfer`), of others they are left out. Layers that a network
    grows (`common.GROWN`) and the file lacks stay as they begin. Raises EmotionEdgeError where the weights cannot be
    had or do not fit.
    """
    if weights == IMAGENET:
        stored, red_first = _imagenet(network, keras, about, options), about.rgb
    else:
        path = Path(weights)
        stored, red_first = read_layers(path, network), about.rgb and _is_others(path)
    named = {has.name for has in stored}
    receiving = [
        layer
        for layer in network.layers
        if layer.weights and layer.name not in heads and (layer.name in named or not layer.name.startswith(GROWN))
    ]
    source = f"network {network.name}: weights {weights}"
    if len(stored) < len(receiving):
        raise EmotionEdgeError(f"{source}: {len(stored)} layers, but the network has {len(receiving)} before its heads")
    fitted = []
    for number, (layer, has) in enumerate(zip(receiving, stored, strict=False)):
        arrays = _first(layer, has, red_first) if number == 0 else has.arrays
        wanted = tuple(tuple(weight.shape) for weight in layer.weights)
        found = tuple(array.shape for array in arrays)
        if found != wanted:
            raise EmotionEdgeError(
                f"{source}: layer {has.name} has the shapes {found}, but {layer.name} of the network {wanted}; "
                "are its architecture and width the same?"
            )
        fitted.append(arrays)
    for layer, arrays in zip(receiving, fitted, strict=True):
        layer.set_weights(list(arrays))
    names = tuple(has.name for has in stored[: len(receiving)])
    if Path(weights).suffix == ".keras":
        pairs = {has.name: has.arrays for has in stored[len(receiving) :] if len(has.arrays) == 2}
        carry_heads(network, heads, {name: (arrays[0], arrays[1]) for name, arrays in pairs.items()})
    left = [has.name for has in stored[len(receiving) :]]
    _log.info("%s: loaded %d layers: %s; left out: %s", source, len(names), ", ".join(names), ", ".join(left) or "none")
    return names


def scaling_of(weights: str, about: About) -> Scaling:
    """The input scaling that weights were trained with.

    It is read from a `.keras` file; a `.weights.h5` does not hold it, and is taken to be of a network trained from a
    random start, with pixels of -1 to 1. Raises EmotionEdgeError where a `.keras` file cannot be read.
    """
    if weights == IMAGENET:
        return about.scaling
    path = Path(weights)
    if _is_others(path):
        return about.scaling_of_files or about.scaling
    return _scaling_of_keras_file(path) if path.suffix == ".keras" else SIGNED


def read_layers(path: Path, network: Any) -> list[StoredLayer]:
    """The layers of a weights file that hold weights, in the network's order.

    network: of the architecture in the file; a `.weights.h5` names its layers by kind and number and can only be read
    along one. Raises EmotionEdgeError for a file that is missing or of no known format.
    """
    if not path.is_file():
        raise _not_there(path)
    try:
        if path.suffix == ".json":
            return [StoredLayer(name, arrays) for name, arrays in read_convolutions(path)]
        if path.suffix == ".keras":
            return _of_keras_file(path)
        with h5py.File(path) as file:
            return list(_of_weights_file(file, network) if "layers" in file else _of_older_file(file))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise EmotionEdgeError(f"weights {path}: not a known file of weights: {error}") from None


def _imagenet(network: Any, keras: Any, about: About, options: Mapping[str, Any]) -> list[StoredLayer]:
    if about.imagenet is None:
        raise EmotionEdgeError(f"network {network.name}: there are no ImageNet weights of it; give a file, or `none`")
    try:
        donor = about.imagenet(keras, options)
    except Exception as error:
        # Keras raises a plain Exception, with the address in its message, where a download fails.
        raise EmotionEdgeError(
            f"network {network.name}: its ImageNet weights cannot be had: {error}. Without a way to the network, "
            "download that file elsewhere and give its path as `weights`, or use `weights: none`"
        ) from None
    return [
        StoredLayer(layer.name, tuple(layer.get_weights()))
        for layer in donor.layers
        if layer.weights and not _is_scaling(layer.name)
    ]


def _is_others(path: Path) -> bool:
    """Whether the file is of a network that was not made here: Keras's older `.h5`, or of TensorFlow.js."""
    return path.suffix == ".json" or (path.suffix == ".h5" and not path.name.endswith(".weights.h5"))


def _is_scaling(name: str) -> bool:
    """EfficientNet's files hold the mean and variance of ImageNet as a layer; here the scaling has no weights."""
    return name.startswith("normalization")


def _scaling_of_keras_file(path: Path) -> Scaling:
    """Of a network made here; the scaling is the same whether its weights began as pretrained ones or not."""
    try:
        with zipfile.ZipFile(path) as archive:
            layers = json.loads(archive.read("config.json"))["config"]["layers"]
    except FileNotFoundError:
        raise _not_there(path) from None
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise EmotionEdgeError(f"weights {path}: not a Keras file of weights: {error}") from None
    found = [layer["config"] for layer in layers if layer["config"].get("name") == SCALING_LAYER]
    return (found[0]["scale"], found[0]["offset"]) if found else SIGNED


def _not_there(path: Path) -> EmotionEdgeError:
    return EmotionEdgeError(f"weights {path}: not there (none, imagenet, or a .keras, .weights.h5, .h5 or .json file)")


def _of_keras_file(path: Path) -> list[StoredLayer]:
    import keras

    def leaves(model: Any) -> Iterator[Any]:
        for layer in model.layers:
            if hasattr(layer, "layers"):
                yield from leaves(layer)
            elif layer.weights:
                yield layer

    model = keras.saving.load_model(path, compile=False)
    return [StoredLayer(layer.name, tuple(layer.get_weights())) for layer in leaves(model)]


def _of_weights_file(file: Any, network: Any) -> Iterator[StoredLayer]:
    """Keras 3's format: `layers/conv2d_3/vars/0`, numbered by kind in the order of the model that was saved."""
    numbers: dict[str, int] = {}
    for layer in network.layers:
        kind = type(layer).__name__
        number = numbers[kind] = numbers.get(kind, -1) + 1
        if not layer.weights:
            continue
        group = _group_of(file["layers"], kind, number)
        if group is None:
            return
        yield StoredLayer(layer.name, tuple(np.asarray(array) for array in _arrays(group)))


def _group_of(layers: Any, kind: str, number: int) -> Any:
    """The group of the layer of a kind with a number; kinds are written in snake case, as Keras does it."""
    plain = kind.lower()
    for name in layers:
        base, _, tail = name.rpartition("_") if name.rpartition("_")[2].isdecimal() else (name, "", "0")
        if base.replace("_", "") == plain and int(tail) == number:
            return layers[name]
    return None


def _arrays(group: Any) -> list[Any]:
    """What a layer's group holds, in the order of the layer's weights; a separable convolution's are one below."""
    if "vars" in group and len(group["vars"]):
        return [group["vars"][key] for key in sorted(group["vars"], key=int)]
    return [array for name in sorted(group) if name != "vars" for array in _arrays(group[name])]


def _of_older_file(file: Any) -> Iterator[StoredLayer]:
    """Keras 1's and 2's format: groups named by the attribute layer_names, arrays by weight_names.

    A nested model is one group with all its weights; the part of each name before the last slash says the layer.
    """
    root = file.get("model_weights", file)
    for layer in _names(root, "layer_names"):
        inside: dict[str, list[Any]] = {}
        for name in _names(root[layer], "weight_names"):
            inside.setdefault(name.rpartition("/")[0], []).append(np.asarray(root[layer][name]))
        for part, arrays in inside.items():
            # Keras 1 had no slash in its names: conv1_1_W, conv1_1_b.
            if not _is_scaling(part or layer):
                yield StoredLayer(part or layer, tuple(arrays))


def _names(group: Any, attribute: str) -> list[str]:
    """A list of names, which HDF5 keeps in several attributes where it is long."""
    keys = [attribute] if attribute in group.attrs else []
    while f"{attribute}{len(keys)}" in group.attrs:
        keys.append(f"{attribute}{len(keys)}")
    if not keys:
        raise KeyError(attribute)
    return [name.decode() if isinstance(name, bytes) else str(name) for key in keys for name in group.attrs[key]]


def _first(layer: Any, stored: StoredLayer, red_first: bool) -> tuple[npt.NDArray[np.float32], ...]:
    """The first convolution's arrays for our channels: blue first, and as many as the network's input has.

    A network that was trained on grey says the same of grey repeated to three channels when each gets a third of its
    kernel; the other way round, the sum over the channels serves.
    """
    kernel, *rest = stored.arrays
    wanted = layer.weights[0].shape
    if kernel.ndim != 4 or len(wanted) != 4:
        return stored.arrays
    if kernel.shape[2] == 3 and red_first:
        kernel = kernel[:, :, ::-1]
    if (kernel.shape[2], wanted[2]) == (1, 3):
        kernel = np.repeat(kernel / 3, 3, axis=2)
    elif (kernel.shape[2], wanted[2]) == (3, 1):
        kernel = kernel.sum(axis=2, keepdims=True)
    return (kernel, *rest)
