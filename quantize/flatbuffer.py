"""Reads and writes TFLite files: operations and tensors with their names, dtypes, shapes and attributes."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import flatbuffers  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from edge.errors import EmotionEdgeError

FILE_ID: Final = b"TFL3"


def _names(kind: Any) -> Mapping[int, str]:
    return {value: name for name, value in vars(kind).items() if isinstance(value, int)}


OPERATORS: Final = _names(schema.BuiltinOperator)
TYPES: Final = _names(schema.TensorType)
ACTIVATIONS: Final = _names(schema.ActivationFunctionType)
DAMAGE: Final = (struct.error, AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError, MemoryError)
"""Exceptions raised while a damaged file is read, as the flatbuffer reader does not verify it first."""


@dataclass(frozen=True, slots=True)
class TensorFacts:
    """Description of a tensor.

    name: name in the file. dtype: TFLite's name of it (INT8, FLOAT32, ...). shape: shape for a batch of one. dynamic:
    True if a size is not fixed. values: contents of a constant, None for an activation. quantized: True if it has a
    scale. zero_point: stored value that stands for 0.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    dynamic: bool
    values: npt.NDArray[np.uint8] | None
    quantized: bool
    zero_point: int


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of a graph.

    op: TFLite's name of it (CONV_2D, ...). inputs, outputs: its tensors. options: attributes by their names in TFLite's
    schema. fused: the fused activation, usually `NONE`.
    """

    op: str
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    options: Mapping[str, Any]
    fused: str


@dataclass(frozen=True, slots=True)
class Graph:
    """The graph of a file.

    operations: in execution order. inputs, outputs: tensors of the network. inner: operations of the other subgraphs,
    which are bodies of control flow. subgraphs: number of subgraphs; 1 without control flow.
    """

    operations: tuple[Operation, ...]
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    inner: tuple[Operation, ...]
    subgraphs: int


def read_model(content: bytes, name: str) -> Any:
    """Parse a file's contents into the schema's ModelT. name: file name for messages.

    Raises EmotionEdgeError if it is not a TFLite file, is damaged or has no graph.
    """
    if content[4:8] != FILE_ID:
        raise EmotionEdgeError(f"model {name}: is no TFLite file")
    with whole(name):
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        if not model.subgraphs:
            raise ValueError("no graph")
    return model


@contextmanager
def whole(name: str) -> Iterator[None]:
    """Context manager that turns errors of reading a damaged model file into EmotionEdgeError."""
    try:
        yield
    except DAMAGE as error:
        raise EmotionEdgeError(f"model {name}: is cut off or damaged") from error


def write_model(model: Any) -> bytes:
    """Serialise a ModelT to the bytes of a file."""
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=FILE_ID)
    return bytes(builder.Output())


def read_graph(path: Path) -> Graph:
    """Read the graph of a file. Raises EmotionEdgeError if the file is missing, not a TFLite file, or damaged."""
    if not path.is_file():
        raise EmotionEdgeError(f"model {path}: not there")
    model = read_model(path.read_bytes(), str(path))
    with whole(str(path)):
        main, *others = ([_tensor(tensor, model.buffers) for tensor in graph.tensors] for graph in model.subgraphs)
        graph, *bodies = model.subgraphs
        inner = [_operations(model, body, facts) for body, facts in zip(bodies, others, strict=True)]
        return Graph(
            _operations(model, graph, main),
            _of(main, graph.inputs),
            _of(main, graph.outputs),
            tuple(operation for operations in inner for operation in operations),
            len(model.subgraphs),
        )


def operator_name(model: Any, operator: Any) -> str:
    """Return TFLite's name of an operator (CONV_2D, ...), or the name of a custom one."""
    code = model.operatorCodes[operator.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return str(code.customCode.decode()) if code.customCode else OPERATORS.get(number, f"operation {number}")


def fixed_batch(content: bytes, name: str) -> bytes:
    """Fix the batch size of a network to one, as the Edge TPU compiler requires."""
    model = read_model(content, name)
    with whole(name):
        for graph in model.subgraphs:
            for tensor in graph.tensors:
                tensor.shapeSignature = None
        return write_model(model)


def _operations(model: Any, graph: Any, facts: Sequence[TensorFacts]) -> tuple[Operation, ...]:
    found = []
    for operator in graph.operators:
        options = vars(operator.builtinOptions) if operator.builtinOptions else {}
        fused = ACTIVATIONS.get(options.get("fusedActivationFunction", 0), "unknown")
        inputs, outputs = _of(facts, operator.inputs), _of(facts, operator.outputs)
        found.append(Operation(operator_name(model, operator), inputs, outputs, options, fused))
    return tuple(found)


def _of(facts: Sequence[TensorFacts], places: Any) -> tuple[TensorFacts, ...]:
    """Return the tensors at these indexes, without -1, which stands for an omitted optional tensor."""
    return tuple(facts[place] for place in (places if places is not None else ()) if place >= 0)


def _tensor(tensor: Any, buffers: Any) -> TensorFacts:
    shape = () if tensor.shape is None else tuple(int(size) for size in tensor.shape)
    signature = tensor.shapeSignature
    data = buffers[tensor.buffer].data if tensor.buffer else None
    values = None if data is None or len(data) == 0 else np.asarray(data, np.uint8)
    quantization = tensor.quantization
    scale = quantization.scale if quantization else None
    zero_points = quantization.zeroPoint if quantization else None
    return TensorFacts(
        tensor.name.decode(),
        TYPES.get(tensor.type, f"type {tensor.type}"),
        shape,
        signature is not None and any(int(size) < 0 for size in signature),
        values,
        scale is not None and len(scale) > 0,
        int(zero_points[0]) if zero_points is not None and len(zero_points) else 0,
    )
