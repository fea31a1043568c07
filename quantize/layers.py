"""Compares a TFLite file with its float network layer by layer."""

import copy
import csv
import io
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edge.errors import EmotionEdgeError
from quantize.calibration import as_input, representative
from quantize.convert import quiet_conversion, saved
from quantize.flatbuffer import operator_name, read_model, write_model

DEBUGGED = 100
"""Number of images for errors of single layers; few, as every tensor of every image is kept in memory."""
STORED_ANEW = ("QUANTIZE", "DEQUANTIZE", "DELEGATE")
"""Operations that only convert how values are stored."""


@dataclass(frozen=True, slots=True)
class LayerError:
    """The error of one layer of a file.

    op: TFLite's operation. name: name of the layer, or of the head whose output it is. decibels: signal-to-error ratio
    of its output, with all earlier layers as they are in the file. own: root mean square error, in steps of the
    output's scale, of this operation alone, given the float file's values (rounding alone gives 0.29). after_training:
    the same error of post-training quantization by TensorFlow's debugger. Both are None for a file that is not int8,
    and where they cannot be measured.
    """

    op: str
    name: str
    decibels: float
    own: float | None
    after_training: float | None


@dataclass(frozen=True, slots=True)
class _Step:
    """An operation of a file, and the real values of its outputs by tensor number."""

    op: str
    name: str
    outputs: Mapping[int, npt.NDArray[np.float32]]


def layer_errors(content: bytes, float_content: bytes, network: Any, images: npt.NDArray[np.uint8]) -> list[LayerError]:
    """Compare the layers of a file with those of the float file of the same network, in execution order.

    Args:
        content: The file.
        float_content: The float file.
        network: The network of Keras 3 or tf_keras, which the debugger quantizes.
        images: uint8 [n, h, w] or [n, h, w, 3]; the first DEBUGGED are used for `own` and `after_training`.

    Raises:
        EmotionEdgeError: The two files do not have the same operations.
    """
    steps, float_steps = (_steps(each, images, network.name) for each in (content, float_content))
    if [step.op for step in steps] != [step.op for step in float_steps]:
        raise EmotionEdgeError("layer by layer: the file and the float file are not made of the same operations")
    own: list[float | None] = [None] * len(steps)
    after = list(own)
    if _is_int8(content):
        own = _own(content, steps, float_steps, images[:DEBUGGED])
        debugged = _after_training(network, images[:DEBUGGED])
        after = [*debugged] if len(debugged) == len(steps) else after
    found = []
    for step, wanted, alone, afresh in zip(steps, float_steps, own, after, strict=True):
        (got, *_), (real, *_) = step.outputs.values(), wanted.outputs.values()
        noise = float(np.mean((got - real) ** 2))
        decibels = 10 * np.log10(float(np.mean(real**2)) / noise) if noise else float("inf")
        found.append(LayerError(step.op, step.name, float(decibels), alone, afresh))
    return found


def _interpreter(content: bytes) -> Any:
    # Without the XNNPACK delegate, which would fuse operations and keep none of their values.
    with quiet_conversion():
        return tf.lite.Interpreter(
            model_content=content,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )


def _is_int8(content: bytes) -> bool:
    return bool(_interpreter(content).get_input_details()[0]["dtype"] == np.int8)


def _steps(content: bytes, images: npt.NDArray[np.uint8], network: str) -> list[_Step]:
    """Run a file on images, and return the outputs of all operations but those of STORED_ANEW."""
    interpreter = _interpreter(content)
    given = interpreter.get_input_details()[0]
    _feed(interpreter, [given], [as_input(images)])
    details = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    model = read_model(content, "layer by layer")
    graph = model.subgraphs[0]
    heads = {entry.tensorIndex: entry.name.decode() for entry in model.signatureDefs[0].outputs}
    found = []
    for operator in graph.operators:
        op = operator_name(model, operator)
        if op in STORED_ANEW:
            continue
        first = int(operator.outputs[0])
        name = heads.get(first) or layer_name(details[first]["name"], network)
        values = {int(at): _real(interpreter.get_tensor(at), details[at]) for at in operator.outputs}
        found.append(_Step(op, name, values))
    return found


def _feed(interpreter: Any, inputs: Sequence[Mapping[str, Any]], values: Sequence[npt.NDArray[np.float32]]) -> None:
    """Run an interpreter on real values, converted to each input's dtype and scale."""
    for detail, real in zip(inputs, values, strict=True):
        interpreter.resize_tensor_input(detail["index"], real.shape)
    interpreter.allocate_tensors()
    for detail, real in zip(inputs, values, strict=True):
        interpreter.set_tensor(detail["index"], _stored(real, detail))
    interpreter.invoke()


def _own(
    content: bytes, steps: Sequence[_Step], float_steps: Sequence[_Step], images: npt.NDArray[np.uint8]
) -> list[float | None]:
    """Measure the error of each operation of an int8 file alone, by running it on the float file's values."""
    model = read_model(content, "layer by layer")
    model.signatureDefs, model.metadata = None, None
    graph = model.subgraphs[0]
    count = len(images)
    real = {int(graph.inputs[0]): as_input(images)}
    for step, float_step in zip(steps, float_steps, strict=True):
        real |= dict(zip(step.outputs, (values[:count] for values in float_step.outputs.values()), strict=True))
    kept, fed = [], []
    for operator in graph.operators:
        if operator_name(model, operator) in STORED_ANEW:
            real[int(operator.outputs[0])] = real[int(operator.inputs[0])]
            continue
        kept.append(operator)
        places = [int(at) for at in operator.inputs]
        for place, at in enumerate(places):
            if at in real:
                places[place] = len(graph.tensors)
                fed.append(real[at])
                graph.tensors.append(copy.copy(graph.tensors[at]))
        operator.inputs = places
    graph.operators = kept
    graph.inputs = list(range(len(graph.tensors) - len(fed), len(graph.tensors)))
    graph.outputs = [at for operator in kept for at in operator.outputs]
    interpreter = _interpreter(write_model(model))
    _feed(interpreter, interpreter.get_input_details(), fed)
    details = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    found: list[float | None] = []
    for step in steps:
        at = next(iter(step.outputs))
        scale, _ = details[at]["quantization"]
        error = _real(interpreter.get_tensor(at), details[at]) - real[at]
        found.append(float(np.sqrt(np.mean(error**2))) / scale if scale else None)
    return found


def _stored(real: npt.NDArray[np.float32], detail: Mapping[str, Any]) -> npt.NDArray[Any]:
    """Convert real values to those stored in a tensor, clipped to its range."""
    (scale, zero_point), dtype = detail["quantization"], np.dtype(detail["dtype"])
    if scale == 0:
        return real.astype(dtype)
    limits = np.iinfo(dtype)
    steps = np.rint(real / np.float32(scale)) + zero_point
    return np.asarray(np.clip(steps, limits.min, limits.max), dtype)


def _real(stored: npt.NDArray[Any], detail: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    scale, zero_point = detail["quantization"]
    return stored.astype(np.float32) if scale == 0 else (stored.astype(np.float32) - zero_point) * np.float32(scale)


def _after_training(network: Any, images: npt.NDArray[np.uint8]) -> list[float]:
    """Quantize the network with TensorFlow's debugger; returns each layer's error in steps of its scale."""
    with tempfile.TemporaryDirectory() as folder:
        saved(network, folder)
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


def layer_name(tensor: str, network: str) -> str:
    """Extract the layer's name from a tensor's name: the path between the names of network and operation.

    A tensor's name is like `network/quant_layer/Relu;network/other/FusedBatchNorm`. If the network is named
    `network_1`, Keras 3 has also renumbered the names of its layers.
    """
    scope, *parts = tensor.split(";")[0].split("/")
    between = [part.removeprefix("quant_") for part in parts[:-1] if part != "batchnorm"]
    if scope != network:
        between = [re.sub(r"_\d+$", "", part) for part in between]
    return "/".join(between) or (parts or [scope])[-1]
