"""Layer by layer: where a file's values part from the float network's."""

import csv
import io
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edge.errors import EmotionEdgeError
from quantize.calibration import as_input, representative
from quantize.convert import saved

DEBUGGED = 100
"""Images that the debugger runs: it keeps every tensor of every image."""


@dataclass(frozen=True, slots=True)
class LayerError:
    """op: TFLite's operation. name: of the layer. decibels: signal to error of its output, all layers before it being
    int8, too. own: the error that this layer alone adds when it is given float input, as a root mean square in steps
    of its int8 scale (rounding alone makes 0.29); None where the debugger does not judge it."""

    op: str
    name: str
    decibels: float
    own: float | None


def layer_errors(content: bytes, float_content: bytes, twin: Any, images: npt.NDArray[np.uint8]) -> list[LayerError]:
    """The layers of an int8 file against those of the float file of the same network, in the order they run.

    twin: the float network in tf_keras. images: uint8 [n, h, w] or [n, h, w, 3]; the error of a layer alone is measured
    on the first DEBUGGED of them, with ranges from the same, by TensorFlow's QuantizationDebugger. Raises
    EmotionEdgeError where the two files are not made of the same operations.
    """
    quantized, floating = _activations(content, images), _activations(float_content, images)
    if [op for op, *_ in quantized] != [op for op, *_ in floating]:
        raise EmotionEdgeError("layer by layer: the int8 file and the float file are not made of the same operations")
    alone = _alone(twin, images[:DEBUGGED])
    own = iter(alone) if len(alone) == len(quantized) else iter([None] * len(quantized))
    found = []
    for (op, _, got), (_, name, wanted), error in zip(quantized, floating, own, strict=True):
        noise = float(np.mean((got - wanted) ** 2))
        decibels = 10 * np.log10(float(np.mean(wanted**2)) / noise) if noise else float("inf")
        found.append(LayerError(op, _short(name), float(decibels), error))
    return found


def _activations(content: bytes, images: npt.NDArray[np.uint8]) -> list[tuple[str, str, npt.NDArray[np.float32]]]:
    """Operation, tensor name and real values of every operation's output."""
    # Without the delegate, which would run several operations as one and keep none of their values.
    interpreter = tf.lite.Interpreter(
        model_content=content,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    given = interpreter.get_input_details()[0]
    stored = as_input(images)
    if given["dtype"] == np.int8:
        stored = (np.rint(stored * 255) - 128).astype(np.int8)
    interpreter.resize_tensor_input(given["index"], stored.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], stored)
    interpreter.invoke()
    details = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    found = []
    for operation in interpreter._get_ops_details():
        if operation["op_name"] in ("QUANTIZE", "DEQUANTIZE", "DELEGATE"):
            continue
        detail = details[operation["outputs"][0]]
        found.append((operation["op_name"], detail["name"], _real(interpreter.get_tensor(detail["index"]), detail)))
    return found


def _real(stored: npt.NDArray[Any], detail: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    scale, zero_point = detail["quantization"]
    return stored.astype(np.float32) if scale == 0 else (stored.astype(np.float32) - zero_point) * np.float32(scale)


def _alone(twin: Any, images: npt.NDArray[np.uint8]) -> list[float]:
    """The debugger's error of each layer, in steps of its scale."""
    with tempfile.TemporaryDirectory() as folder:
        saved(twin, folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = representative(images)
        debugger = tf.lite.experimental.QuantizationDebugger(
            converter=converter, debug_dataset=lambda: ([as_input(image[None])] for image in images)
        )
        debugger.run()
        out = io.StringIO()
        debugger.layer_statistics_dump(out)
    rows = csv.DictReader(io.StringIO(out.getvalue()))
    return [float(row["mean_squared_error"]) ** 0.5 / float(row["scale"]) for row in rows]


def _short(name: str) -> str:
    """The layer's own name, of a name like `network/layer/Relu;network/other/FusedBatchNorm`."""
    parts = name.split(";")[0].split("/")
    return parts[-2] if len(parts) > 2 else parts[-1]
