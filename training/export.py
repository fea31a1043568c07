"""Exports a trained network for other runtimes, and its data as NumPy files."""

import contextlib
import importlib.util
import io
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge.errors import EmotionEdgeError
from edge.faces.crop import stretched
from edge.labels import labels_of
from training.config import AFFECT, CONFIG_FILE, read_config
from training.datasets.dataset import SPLITS, Dataset
from training.datasets.pixels import image_of
from training.evaluation.figures import load_network
from training.networks.bit_m_r50x1 import with_plain_kernels

FORMATS: Final[Mapping[str, str]] = {
    "keras": ".keras",
    "h5": ".h5",
    "savedmodel": "",
    "onnx": ".onnx",
    "npy-data": "",
}
"""Formats of an export, with the suffix of the file; no suffix: a folder."""
NPY_NAMES: Final = ("train", "val", "test")
"""Name of each split, in the order of SPLITS, in the names of exported NumPy files."""


def export_network(run: Path, kind: str, out: Path) -> tuple[Path, Path]:
    """Write the network of a run for another runtime, with a description beside it.

    Its input is `image`, float32 [n, height, width, channels], pixel / 255, blue first in colour; its outputs are named
    by head: logits [n, classes], and valence and arousal [n, 2] under `affect`.

    Args:
        run: Folder of a run or of a released model with its `network.keras`.
        kind: `keras`, `h5`, `savedmodel` or `onnx`.
        out: The file, or for `savedmodel` the folder, to write; the folder is replaced.

    Returns:
        What was written, and its description (JSON: shape, range, labels).

    Raises:
        EmotionEdgeError: There is no network, `out` cannot be written, or a package is missing.
    """
    network = with_plain_kernels(load_network(run))
    writers: dict[str, Callable[[Any, Path], None]] = {
        "keras": _save, "h5": _save, "savedmodel": _saved_model, "onnx": _onnx
    }  # fmt: skip
    if FORMATS[kind] and out.suffix != FORMATS[kind]:
        raise EmotionEdgeError(f"{out}: a file of the format {kind} ends in {FORMATS[kind]}")
    if out.exists() and out.is_dir() == bool(FORMATS[kind]):
        raise EmotionEdgeError(f"{out}: is a {'folder' if out.is_dir() else 'file'}; give another name")
    description = json.dumps(describe(network), indent=2) + "\n"
    partial = out.with_name(f"partial-{out.name}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.redirect_stdout(io.StringIO()):
            writers[kind](network, partial)
        if out.is_dir():
            shutil.rmtree(out)
        partial.replace(out)
        about = out.with_name(f"{out.stem}.json")
        about.write_text(description, encoding="utf-8")
    except OSError as error:
        raise EmotionEdgeError(f"{out}: cannot be written ({error.strerror or error})") from None
    finally:
        if partial.is_dir():
            shutil.rmtree(partial)
        else:
            partial.unlink(missing_ok=True)
    return out, about


def describe(network: Any) -> dict[str, Any]:
    """Describe the input and outputs of a network, for use in another runtime."""
    _, height, width, channels = network.input_shape
    return {
        "input": {
            "name": "image",
            "shape": ["n", height, width, channels],
            "dtype": "float32",
            "values": "pixel / 255, 0 to 1",
            "colours": "grey" if channels == 1 else "blue, green, red",
        },
        "outputs": {
            head: {"values": "valence and arousal, -1 to 1"}
            if head == AFFECT
            else {"values": "logits; softmax gives probabilities", "labels": list(labels_of(head))}
            for head in network.output
        },
    }


def _save(network: Any, out: Path) -> None:
    network.save(out)


def _saved_model(network: Any, out: Path) -> None:
    network.export(out, format="tf_saved_model", verbose=False)


def _onnx(network: Any, out: Path) -> None:
    if importlib.util.find_spec("tf2onnx") is None:
        raise EmotionEdgeError("export to onnx: tf2onnx is not installed: pip install tf2onnx")
    network(np.zeros((1, *network.input_shape[1:]), np.float32))  # Keras only exports a network that has been called
    network.export(out, format="onnx", verbose=False)


def export_data(run: Path, data: Dataset, out: Path) -> dict[str, int]:
    """Write the data set as NumPy files, at the network's input size and under the primary label set of the run.

    X_train.npy: uint8 [n, height, width] grey, or [n, height, width, 3] red first; Y_train.npy: int64 [n], numbers of
    classes in the order of classes.txt; likewise `val` and `test`. Faces without a label are left out. One image at a
    time is in memory.

    Returns:
        Number of faces by file.

    Raises:
        EmotionEdgeError: The data set has no such label set, or a file cannot be read or written.
    """
    config = read_config(run / CONFIG_FILE)
    if config.primary not in data.labels:
        raise EmotionEdgeError(f"{data.name}: no labels of {config.primary} (it has {', '.join(data.labels)})")
    labels = data.labels[config.primary]
    height, width, channels = config.input.shape
    shape = (height, width) if channels == 1 else (height, width, 3)
    counts = {}
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "classes.txt").write_text("\n".join(labels.names) + "\n", encoding="utf-8")
        for split, name in enumerate(NPY_NAMES):
            rows = np.flatnonzero((data.split == split) & (labels.judged >= 0))
            if not len(rows):
                continue
            images: Any = np.lib.format.open_memmap(  # type: ignore[no-untyped-call]
                out / f"X_{name}.npy", "w+", np.uint8, (len(rows), *shape)
            )
            for place, row in enumerate(rows.tolist()):
                image = stretched(image_of(data, row, channels), shape)
                images[place] = image if channels == 1 else image[..., ::-1]
            images.flush()
            np.save(out / f"Y_{name}.npy", labels.judged[rows])
            counts[f"X_{name}.npy"] = len(rows)
    except OSError as error:
        raise EmotionEdgeError(f"{out}: cannot be written ({error.strerror or error})") from None
    if not counts:
        raise EmotionEdgeError(f"{data.name}: no face has a label of {config.primary} in {', '.join(SPLITS)}")
    return counts
