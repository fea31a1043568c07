"""Predicts which operations of a TFLite file run on the Edge TPU, by Coral's rules or with the compiler if installed.

The rules are those of "TensorFlow models on the Edge TPU" (coral.ai/docs/edgetpu/models-intro, sections Model
requirements and Supported operations, for compiler and runtime 14 and later). They are necessary, not sufficient: the
compiler may leave an operation to the processor for other reasons.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from edge.errors import EmotionEdgeError
from quantize.flatbuffer import Graph, Operation, TensorFacts, fixed_batch, read_graph

COMPILER: Final = "edgetpu_compiler"
SOFTMAX_LIMIT: Final = 16_000
BEHIND: Final = "comes after operation"

Rule = Callable[[Operation], str]
"""Function that returns why an operation cannot run on the Edge TPU, or "" if it can."""


@dataclass(frozen=True, slots=True)
class Fallback:
    """An operation that stays on the processor. place: its number in execution order, from 0."""

    place: int
    op: str
    tensor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Compiled:
    """Result of the Edge TPU compiler.

    version: version of the compiler. mapped: number of operations on the Edge TPU, by operation. left: number of those
    that are not, by operation and reason.
    """

    version: str
    mapped: Mapping[str, int]
    left: Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class EdgeTpuReport:
    """Which operations of a file the Edge TPU would run.

    blocking: reasons why the compiler would refuse the whole file. eligible: number of operations that the rules allow.
    fallbacks: operations that stay on the processor: those not allowed, and all that follow the first of them. dynamic:
    the file takes any batch size; a batch of one is examined. compiled: None where the compiler is not installed, would
    refuse the file, or fails. failure: the compiler's message where it fails.
    """

    blocking: tuple[str, ...]
    eligible: tuple[Operation, ...]
    fallbacks: tuple[Fallback, ...]
    dynamic: bool
    compiled: Compiled | None
    failure: str = ""


def inspect(path: Path) -> EdgeTpuReport:
    """Check a file against the rules, and compile it if the compiler is installed.

    Raises EmotionEdgeError where the file is missing, no TFLite file, or not a whole one.
    """
    graph = read_graph(path)
    blocking = _blocking(graph)
    eligible: list[Operation] = []
    fallbacks: list[Fallback] = []
    for place, operation in enumerate(graph.operations):
        reason = reason_against(operation)
        if not reason and fallbacks:
            reason = f"{BEHIND} {fallbacks[0].place}, which falls back"
        if reason:
            tensor = operation.outputs[0].name if operation.outputs else "no output"
            fallbacks.append(Fallback(place, operation.op, tensor, reason))
        else:
            eligible.append(operation)
    dynamic = any(tensor.dynamic for tensor in graph.inputs)
    compiled, failure = None, ""
    if shutil.which(COMPILER) and not blocking:
        try:
            compiled = compile_file(path)
        except EmotionEdgeError as error:  # the report then relies on the rules alone
            failure = str(error)
    return EdgeTpuReport(blocking, tuple(eligible), tuple(fallbacks), dynamic, compiled, failure)


def reason_against(operation: Operation) -> str:
    """Return why an operation cannot run on the Edge TPU by the published rules; "" if it can."""
    rule = RULES.get(operation.op)
    if rule is None:
        return "not among the supported operations"
    for tensor in (*operation.inputs, *operation.outputs):
        if reason := _tensor_reason(tensor):
            return reason
    try:
        return rule(operation)
    except (IndexError, ValueError, ZeroDivisionError):
        return f"its tensors are not those of a {operation.op}"


def text(report: EdgeTpuReport, name: str) -> str:
    """Format the report as text for the terminal."""
    total = len(report.eligible) + len(report.fallbacks)
    lines = [f"{name}: {len(report.eligible)} of {total} operations meet Coral's published rules for the Edge TPU"]
    lines += [f"  the compiler would refuse the file: {reason}" for reason in report.blocking]
    if report.dynamic:
        lines.append("  the file takes any batch size; judged, and compiled, as it is with a batch of one")
    first = report.fallbacks[0].place if report.fallbacks else total
    own = [it for it in report.fallbacks if not it.reason.startswith(BEHIND)]
    lines += [f"  {it.place:>3} {it.op} ({it.tensor}): falls back: {it.reason}" for it in own]
    if behind := len(report.fallbacks) - len(own):
        lines.append(
            f"  {behind} more fall back because they come after operation {first}: only the part of a network "
            "before its first fallback is mapped"
        )
    if report.compiled is None:
        if report.blocking:
            lines.append("not compiled")
        else:
            why = report.failure or f"{COMPILER} is not installed"
            lines.append(f"not compiled: {why}. Meeting the rules is no proof that it compiles.")
        return "\n".join(lines)
    lines.append(f"compiled by {report.compiled.version}")
    lines += [] if report.compiled.mapped else ["  nothing of it on the Edge TPU"]
    lines += [f"  {count:>3} {op}: on the Edge TPU" for op, count in report.compiled.mapped.items()]
    lines += [f"  {count:>3} {op}: on the processor: {why}" for (op, why), count in report.compiled.left.items()]
    return "\n".join(lines)


def compile_file(path: Path, out: Path | None = None) -> Compiled:
    """Compile a file at a batch of one. out: path for the compiled file; None: it is not kept.

    Raises EmotionEdgeError, with the compiler's message in one line, where it fails or lists no operations.
    """
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / path.name
        given.write_bytes(fixed_batch(path.read_bytes(), str(path)))
        command = [COMPILER, "--show_operations", "--out_dir", folder, str(given)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise EmotionEdgeError(
                f"{COMPILER}: not installed (coral.ai/docs/edgetpu/compiler describes how)"
            ) from None
        except OSError as error:
            raise EmotionEdgeError(f"{COMPILER}: does not start: {error.strerror}") from error
        message = "; ".join(line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip())
        if done.returncode:
            raise EmotionEdgeError(f"{path}: {COMPILER} fails: {message or f'exit status {done.returncode}'}")
        compiled = read_log(done.stdout)
        if not compiled.mapped and not compiled.left:
            raise EmotionEdgeError(f"{path}: {COMPILER} shows no table of operations: {message or 'no output'}")
        if out is not None:
            made = Path(folder) / f"{path.stem}_edgetpu.tflite"
            if not made.is_file():
                raise EmotionEdgeError(f"{path}: {COMPILER} ends well but writes no {made.name}: {message}")
            try:
                shutil.copyfile(made, out)
            except OSError as error:
                raise EmotionEdgeError(f"{out}: cannot be written: {error.strerror}") from error
    return compiled


def read_log(log: str) -> Compiled:
    """Parse the compiler's table of operations, whose lines are `NAME  count  status`."""
    version = re.search(r"Edge TPU Compiler version ([\d.]+)", log)
    mapped: dict[str, int] = {}
    left: dict[tuple[str, str], int] = {}
    for op, count, status in re.findall(r"^([A-Z][A-Z0-9_]+)\s+(\d+)\s+(\S.*?)\s*$", log, re.MULTILINE):
        if status == "Mapped to Edge TPU":
            mapped[op] = mapped.get(op, 0) + int(count)
        else:
            left[op, status] = left.get((op, status), 0) + int(count)
    return Compiled(f"{COMPILER} {version[1] if version else '(unknown version)'}", mapped, left)


def _blocking(graph: Graph) -> tuple[str, ...]:
    """Return the reasons why the compiler would refuse the whole file."""
    found = [
        f"{kind} {tensor.name!r} is {tensor.dtype}: the network must be int8 or uint8 from input to output"
        for kind, tensors in (("input", graph.inputs), ("output", graph.outputs))
        for tensor in tensors
        if tensor.dtype not in ("INT8", "UINT8")
    ]
    if graph.subgraphs > 1:
        found.append(f"it has {graph.subgraphs} graphs (control flow), and only one is supported")
    return tuple(found)


def _tensor_reason(tensor: TensorFacts) -> str:
    if tensor.values is None and tensor.dtype not in ("INT8", "UINT8"):
        return f"its tensor {tensor.name!r} is {tensor.dtype}, not int8 or uint8"
    if tensor.values is not None and tensor.dtype not in ("INT8", "UINT8", "INT32"):
        return f"its constant {tensor.name!r} is {tensor.dtype}, not int8, uint8 or (a bias, axes) int32"
    if len(tensor.shape) > 3 and tensor.values is None and any(size != 1 for size in tensor.shape[:-3]):
        return f"its tensor {tensor.name!r} is {list(tensor.shape)}: only the last three sizes may exceed 1"
    return ""


def _constant(tensor: TensorFacts) -> list[int]:
    """Decode the values of an int32 constant."""
    return [] if tensor.values is None else [int(value) for value in tensor.values.view(np.int32)]


def _any(_: Operation) -> str:
    return ""


def _unfused(operation: Operation) -> str:
    return "" if operation.fused == "NONE" else f"has the fused activation {operation.fused}"


def _concatenation(operation: Operation) -> str:
    constants = [tensor for tensor in operation.inputs if tensor.values is not None]
    if constants and len(operation.inputs) != 2:
        return f"has a constant among {len(operation.inputs)} inputs, and only beside one other may there be one"
    for tensor in constants:
        if tensor.values is not None and np.any(tensor.values.view(tensor.dtype.lower()) != tensor.zero_point):
            return "joins a constant that is not all zeros"
    return _unfused(operation)


def _convolution(operation: Operation) -> str:
    across, down = operation.options.get("dilationWFactor", 1), operation.options.get("dilationHFactor", 1)
    return "" if across == down else f"its dilation differs: {across} across, {down} down"


def _fully_connected(operation: Operation) -> str:
    if operation.options.get("weightsFormat", 0):
        return "its weights are not in the default format"
    return "" if int(np.prod(operation.outputs[0].shape[:-1])) == 1 else "its output has more than one dimension"


def _mean(operation: Operation) -> str:
    shape, axes = operation.inputs[0].shape, _constant(operation.inputs[1])
    places = [axis % len(shape) for axis in axes]
    if len(shape) == 4 and 0 in places:
        return "reduces over the batch"
    if len(shape) - 1 in places and shape[-1] % 4:
        return f"reduces over {shape[-1]} channels, which is no multiple of 4"
    return ""


def _not_over_batch(operation: Operation) -> str:
    rank = len(operation.inputs[0].shape)
    return "works over the batch" if any(axis % rank == 0 for axis in _constant(operation.inputs[1])) else ""


def _pad(operation: Operation) -> str:
    return "pads the batch" if any(_constant(operation.inputs[1])[:2]) else ""


def _pack(operation: Operation) -> str:
    return "packs along the batch" if operation.options.get("axis", 0) == 0 else ""


def _softmax(operation: Operation) -> str:
    size = int(np.prod(operation.inputs[0].shape))
    if size != operation.inputs[0].shape[-1]:
        return "its input has more than one dimension"
    return "" if size <= SOFTMAX_LIMIT else f"its input has {size} elements; {SOFTMAX_LIMIT} are the most"


def _strided_slice(operation: Operation) -> str:
    if any(stride != 1 for stride in _constant(operation.inputs[3])):
        return "has a stride other than 1"
    masks = [operation.options.get(name, 0) for name in ("ellipsisMask", "newAxisMask")]
    return "has an ellipsis or a new axis" if any(masks) else ""


def _split(operation: Operation) -> str:
    # SPLIT has the axis as its first input, and the tensor as its second.
    (axis,), rank = _constant(operation.inputs[0]), len(operation.inputs[1].shape)
    return "splits the batch" if axis % rank == 0 else ""


def _squeeze(operation: Operation) -> str:
    before = [size for size in operation.inputs[0].shape if size != 1]
    shape = operation.inputs[0].shape
    return "" if list(shape[len(shape) - len(before) :]) == before else "removes a dimension that does not lead"


def _prelu(operation: Operation) -> str:
    return "" if all(size == 1 for size in operation.inputs[1].shape[:-1]) else "its alpha is not one-dimensional"


RULES: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(
        (
            "ADD", "EXPAND_DIMS", "L2_NORMALIZATION", "LOGISTIC", "MAXIMUM", "MINIMUM", "MUL",
            "QUANTIZE", "RELU", "RELU6", "RELU_N1_TO_1", "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR",
            "RSQRT", "SLICE", "SPACE_TO_DEPTH", "SQUARED_DIFFERENCE", "SUB", "TANH", "TRANSPOSE",
            "TRANSPOSE_CONV", "UNIDIRECTIONAL_SEQUENCE_LSTM",
        ),
        _any,
    ),
    "AVERAGE_POOL_2D": _unfused,
    "MAX_POOL_2D": _unfused,
    "CONCATENATION": _concatenation,
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _convolution,
    "FULLY_CONNECTED": _fully_connected,
    "MEAN": _mean,
    "PACK": _pack,
    "PAD": _pad,
    "PRELU": _prelu,
    "REDUCE_MAX": _not_over_batch,
    "REDUCE_MIN": _not_over_batch,
    "SOFTMAX": _softmax,
    "SPLIT": _split,
    "SQUEEZE": _squeeze,
    "STRIDED_SLICE": _strided_slice,
    "SUM": _not_over_batch,
}  # fmt: skip
"""Rule of each supported operation, by TFLite's name; others are not supported."""
