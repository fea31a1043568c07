"""Loads pretrained weights, of ImageNet or from a file, into the layers before a network's heads."""

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
from training.networks.bit_m_r50x1 import standardized_conv2d
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

    weights: `imagenet`, or a file: `.keras` or `.weights.h5` of this project, Keras's older `.h5` (Keras's ImageNet
    files, VGG-Face), the `.npz` of BiT, or the `.json` of a TensorFlow.js graph. Layers are matched by order. The
    file's remaining layers are its heads: those of a `.keras` file initialise the network's heads as far as classes
    match (`head_transfer`), others are ignored. Layers named `common.GROWN` that the file lacks keep their initial
    values. Raises EmotionEdgeError if the weights are unavailable or do not fit.
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

    A `.keras` file contains the scaling. A `.weights.h5` does not, and is taken to be of a network trained from random
    weights, with pixels of -1 to 1. Raises EmotionEdgeError where a `.keras` file cannot be read.
    """
    if weights == IMAGENET:
        return about.scaling
    path = Path(weights)
    if _is_others(path):
        return about.scaling_of_files or about.scaling
    return _scaling_of_keras_file(path) if path.suffix == ".keras" else SIGNED


def read_layers(path: Path, network: Any) -> list[StoredLayer]:
    """The layers of a weights file that hold weights, in the network's order.

    network: a network of the same architecture, as a `.weights.h5` identifies layers only by type and number. Raises
    EmotionEdgeError for a file that is missing or of no known format.
    """
    if not path.is_file():
        raise _not_there(path)
    try:
        if path.suffix == ".json":
            return [StoredLayer(name, arrays) for name, arrays in read_convolutions(path)]
        if path.suffix == ".npz":
            return list(_of_npz_file(path, network))
        if path.suffix == ".keras":
            return _of_keras_file(path)
        with h5py.File(path) as file:
            return list(_of_weights_file(file, network) if "layers" in file else _of_older_file(file))
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
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
    """Return True for a file of another project: Keras's older `.h5`, BiT's `.npz`, or the `.json` of TensorFlow.js."""
    return path.suffix in (".json", ".npz") or (path.suffix == ".h5" and not path.name.endswith(".weights.h5"))


def _is_scaling(name: str) -> bool:
    """Return True for the layer in EfficientNet's files that holds ImageNet's mean and variance; it is not needed."""
    return name.startswith("normalization")


def _scaling_of_keras_file(path: Path) -> Scaling:
    """Read the input scaling from the configuration in a `.keras` file of this project."""
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
    return EmotionEdgeError(
        f"weights {path}: not there (none, imagenet, or a .keras, .weights.h5, .h5, .npz or .json file)"
    )


def _of_keras_file(path: Path) -> list[StoredLayer]:
    import keras

    def leaves(model: Any) -> Iterator[Any]:
        for layer in model.layers:
            if hasattr(layer, "layers"):
                yield from leaves(layer)
            elif layer.weights:
                yield layer

    standardized_conv2d()
    model = keras.saving.load_model(path, compile=False)
    return [StoredLayer(layer.name, tuple(layer.get_weights())) for layer in leaves(model)]


def _of_weights_file(file: Any, network: Any) -> Iterator[StoredLayer]:
    """Yield the layers of a `.weights.h5` file (Keras 3), whose groups are numbered by layer type in model order."""
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


def _of_npz_file(path: Path, network: Any) -> Iterator[StoredLayer]:
    """BiT's published format: `resnet/block1/unit01/a/group_norm/gamma`; its head is left unread."""
    with np.load(path, allow_pickle=False) as file:
        arrays: dict[str, dict[str, str]] = {}
        for name in file.files:
            layer, _, kind = name.removeprefix("resnet/").rpartition("/")
            arrays.setdefault(layer.replace("/", "_"), {})[kind] = name
        arrays.pop("head_conv2d", None)
        layers = {layer.name: layer for layer in network.layers if layer.weights}
        if unknown := [name for name in arrays if name not in layers]:
            raise EmotionEdgeError(
                f"weights {path}: {len(unknown)} of its {len(arrays)} layers are not in {network.name} (the first: "
                f"{unknown[0]}); are these the weights of BiT R50x1?"
            )
        for name, layer in layers.items():
            if name in arrays:
                kinds = [weight.path.rpartition("/")[2] for weight in layer.weights]
                yield StoredLayer(name, tuple(np.asarray(file[arrays[name][kind]], np.float32) for kind in kinds))


def _group_of(layers: Any, kind: str, number: int) -> Any:
    """Return the HDF5 group of the layer with this class name and number (`conv2d_3`), or None."""
    plain = kind.lower()
    for name in layers:
        base, _, tail = name.rpartition("_") if name.rpartition("_")[2].isdecimal() else (name, "", "0")
        if base.replace("_", "") == plain and int(tail) == number:
            return layers[name]
    return None


def _arrays(group: Any) -> list[Any]:
    """Return the arrays of a layer's group in the order of its weights; some layers keep them in subgroups."""
    if "vars" in group and len(group["vars"]):
        return [group["vars"][key] for key in sorted(group["vars"], key=int)]
    return [array for name in sorted(group) if name != "vars" for array in _arrays(group[name])]


def _of_older_file(file: Any) -> Iterator[StoredLayer]:
    """Yield the layers of an `.h5` file of Keras 1 or 2: attributes list layer_names and, for each, weight_names.

    A nested model is one group; the part of a weight's name before the last slash names its layer.
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
    """Read a list of names from an HDF5 attribute; Keras splits a long list into several (`name0`, `name1` ...)."""
    keys = [attribute] if attribute in group.attrs else []
    while f"{attribute}{len(keys)}" in group.attrs:
        keys.append(f"{attribute}{len(keys)}")
    if not keys:
        raise KeyError(attribute)
    return [name.decode() if isinstance(name, bytes) else str(name) for key in keys for name in group.attrs[key]]


def _first(layer: Any, stored: StoredLayer, red_first: bool) -> tuple[npt.NDArray[np.float32], ...]:
    """Adapt the arrays of the first convolution to the network's input: blue first, one channel or three.

    From one channel to three, each gets a third of the kernel; from three to one, the kernels are summed. Either way
    the output for a grey image stays the same.
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
