"""The convolutions of a graph that was saved for TensorFlow.js: `model.json` and the files of weights beside it."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")


def read_convolutions(path: Path) -> list[tuple[str, tuple[Array, Array]]]:
    """Name, kernel and bias of each convolution in the order of the graph; a factor by channel after it is folded in.

    Kernels are in Keras's order: [h, w, in, out], of depthwise ones [h, w, in, 1]. Raises OSError for a file that
    cannot be read, and KeyError or ValueError for one that is not of such a graph.
    """
    graph = json.loads(path.read_bytes())
    constants = _constants(path.parent, graph["weightsManifest"])
    nodes = graph["modelTopology"]["node"]
    readers = {node["input"][0]: node for node in reversed(nodes) if "input" in node}
    found = []
    for node in nodes:
        if node["op"] not in CONVOLUTIONS:
            continue
        kernel = constants[node["input"][1]]
        follower = readers[node["name"]]
        if follower["op"] == "Mul":
            factor = constants[follower["input"][1]]
            kernel = kernel * (factor if node["op"] == "Conv2D" else factor[:, None])
            follower = readers[follower["name"]]
        if follower["op"] not in ("Add", "AddV2", "BiasAdd"):
            raise ValueError(f"{node['name']}: {follower['op']} where its bias should be added")
        found.append((node["name"], (kernel, constants[follower["input"][1]])))
    return found


def _constants(folder: Path, manifest: list[dict[str, Any]]) -> dict[str, Array]:
    """Read the float arrays by name, 16-bit ones as float32; integer arrays are left out."""
    arrays = {}
    for group in manifest:
        data, place = b"".join((folder / name).read_bytes() for name in group["paths"]), 0
        for entry in group["weights"]:
            kind = np.dtype(entry.get("quantization", entry)["dtype"])
            if kind.kind != "f" and "quantization" in entry:
                raise ValueError(f"{entry['name']}: {kind} with a scale is not read")
            array = np.frombuffer(data, kind, math.prod(entry["shape"]), place)
            place += array.nbytes
            if kind.kind == "f":
                arrays[entry["name"]] = array.reshape(entry["shape"]).astype(np.float32)
    return arrays
