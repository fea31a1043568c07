"""Converts a Keras network to a TFLite file, and checks its names, dtypes and input scale."""

import re
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import tensorflow as tf

from edge.errors import EmotionEdgeError
from edge.models.card import MODEL_FILE
from quantize.flatbuffer import Graph, read_graph
from quantize.interpreters import run_everywhere
from training.quiet import stderr_without

FloatPrecision = Literal["float32", "float16", "dynamic"]
"""float16: weights of half the size. dynamic: int8 weights, activations quantized at run time. All have float input and
outputs.
"""
INPUT_NAME = "image"
SCALE, ZERO_POINT = 1 / 255, -128
"""Input quantization for a float network whose black is 0 and white 1: the stored value is then pixel - 128, without
arithmetic on the board.
"""

_REQUESTED_TYPES: Final = re.compile(rb"^fully_quantize: \d+, inference_type: ")

Samples = Callable[[], Iterator[dict[str, Any]]]


def to_int8(model: Any, calibration: Samples | None = None) -> bytes:
    """Convert a network to a fully int8 TFLite file with any batch size and outputs named by head.

    model: of Keras 3 on TensorFlow, or of tf_keras, float or quantization-aware. calibration: yields {"image": float32
    [1, h, w, c]}; None for a quantization-aware network, which holds its ranges. Raises EmotionEdgeError where an
    operation has no int8 version.
    """

    def settle(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        if calibration:
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.representative_dataset = calibration

    return _convert(model, settle)


def to_float(model: Any, precision: FloatPrecision = "float32") -> bytes:
    """Convert a network (Keras 3 on TensorFlow, or tf_keras) to a TFLite file with float input and any batch size."""

    def settle(converter: Any) -> None:
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]

    return _convert(model, settle)


def saved(model: Any, folder: str) -> None:
    """Write a network as a SavedModel whose signature uses the input and output names of the card.

    These are `image` and the outputs' names, or the last layer's name for a single output without one. model: of Keras
    3 on TensorFlow, or of tf_keras.
    """
    shape, names = model.input_shape[1:], output_names(model)

    @tf.function(input_signature=[tf.TensorSpec([None, *shape], tf.float32, INPUT_NAME)])  # type: ignore[untyped-decorator]
    def serve(image: Any) -> dict[str, Any]:
        outputs = model(image, training=False)
        return named(outputs, names)

    module = tf.Module()
    module.model, module.serve = model, serve
    # Keras 3 wraps its variables: unless the module itself holds the inner tf.Variables, the TFLite file keeps them as
    # variables, not as constants.
    module.held = [each if isinstance(each, tf.Variable) else each.value for each in model.variables]
    tf.saved_model.save(module, folder, signatures=serve)


def output_names(model: Any) -> tuple[str, ...]:
    """Return the names of a model's outputs: the keys if they are a dictionary, else Keras's output names.

    Raises EmotionEdgeError where two outputs have the same name.
    """
    if isinstance(model.output, Mapping):
        return tuple(model.output)
    names = tuple(map(str, model.output_names))
    if len(set(names)) < len(names):
        raise EmotionEdgeError(
            f"network {model.name}: two of its outputs have the same name ({', '.join(names)}); make its outputs a "
            "dictionary"
        )
    return names


def named(outputs: Any, names: Sequence[str]) -> dict[str, Any]:
    """Return a network's outputs by name. outputs: a dictionary, a list, or a single output."""
    if isinstance(outputs, Mapping):
        return dict(outputs)
    return dict(zip(names, outputs if isinstance(outputs, list | tuple) else [outputs], strict=True))


@contextmanager
def quiet_conversion() -> Iterator[None]:
    """Context manager that drops two messages of TensorFlow's converter which tell a user nothing.

    They are the warning that tf.lite.Interpreter, which its own calibrator uses, is deprecated, and a line with the
    types that were asked for.
    """
    with warnings.catch_warnings(), stderr_without(_REQUESTED_TYPES):
        warnings.filterwarnings("ignore", r"\s*Warning: tf\.lite\.Interpreter is deprecated")
        yield


def _convert(model: Any, settle: Callable[[Any], None]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        saved(model, folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        settle(converter)
        try:
            with quiet_conversion():
                return bytes(converter.convert())
        except Exception as error:  # ConverterError is not public; the calibrator raises RuntimeError
            raise EmotionEdgeError(f"quantize: the converter refuses the network: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Extract the line of a converter's error message that names the operation."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "op:" in line.lower() or "not supported" in line or "tf." in line]
    return (telling or lines or [type(error).__name__])[0]


def check_whole_int8(graph: Graph) -> None:
    """Raise EmotionEdgeError, naming the operation, if a tensor between a file's input and outputs is float."""
    for tensor in (*graph.inputs, *graph.outputs):
        if tensor.dtype != "INT8":
            raise EmotionEdgeError(
                f"quantize: the tensor {tensor.name!r} would stay {tensor.dtype}; the board needs int8 in and out"
            )
    for operation in (*graph.operations, *graph.inner):
        for tensor in operation.outputs:
            # If a value is only dequantized, the next operation is the one that needs float.
            if tensor.dtype not in ("INT8", "INT32", "BOOL") and operation.op not in ("QUANTIZE", "DEQUANTIZE"):
                raise EmotionEdgeError(
                    f"quantize: {operation.op} ({tensor.name}) would stay {tensor.dtype}: it has no int8 form, so use "
                    "another layer in its place"
                )


def check_file(
    path: Path,
    heads: Iterable[str],
    input_shape: tuple[int, int, int],
    int8: bool = True,
    value_range: tuple[float, float] = (0.0, 1.0),
) -> None:
    """Check that every installed interpreter runs a file, and that its names, dtypes and batch sizes are as promised.

    An int8 file must contain no float tensor, and store an input as pixel - 128.

    value_range: values of black and white in the float network. Raises EmotionEdgeError, naming what differs.
    """
    if int8:
        check_whole_int8(read_graph(path))
    names = set(heads)
    height, width, channels = input_shape
    blank = np.zeros((3, height, width) if channels == 1 else (3, height, width, channels), np.uint8)
    wanted = "int8" if int8 else "float32"
    low, high = value_range
    scale = SCALE * (high - low)
    zero_point = ZERO_POINT - low / scale
    for name, run in run_everywhere(path, blank).items():
        if set(run.inputs) != {INPUT_NAME} or set(run.tensors) != names:
            raise EmotionEdgeError(
                f"quantize: {name} finds inputs {list(run.inputs)} and outputs {list(run.tensors)} in the file"
            )
        for tensor, facts in (*run.inputs.items(), *run.tensors.items()):
            if facts["dtype"] != wanted:
                raise EmotionEdgeError(f"quantize: {name} finds {tensor} as {facts['dtype']}, not {wanted}")
        image = run.inputs[INPUT_NAME]
        # A zero point is an integer: inputs of -1 to 1 would need -0.5, so 0 and -1 are both accepted.
        if int8 and (abs(image["zero_point"] - zero_point) > 0.5 or abs(image["scale"] / scale - 1) > 1e-5):
            raise EmotionEdgeError(
                f"quantize: input scale {image['scale']:.8f}, zero point {image['zero_point']}; "
                f"wanted {scale:.8f} and {zero_point:g}"
            )


def write_file(
    content: bytes, folder: Path, heads: Iterable[str], input_shape: tuple[int, int, int], int8: bool = True
) -> Path:
    """Check a file and write it as `model.tflite` into a folder, which is created if necessary.

    Raises EmotionEdgeError if `check_file` fails; the folder is then unchanged.
    """
    with tempfile.TemporaryDirectory() as temporary:
        trial = Path(temporary) / MODEL_FILE
        trial.write_bytes(content)
        check_file(trial, heads, input_shape, int8)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / MODEL_FILE
    path.write_bytes(content)
    return path
