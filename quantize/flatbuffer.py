"""A TFLite file as its flatbuffer: operations and tensors with their names, dtypes, shapes and attributes."""

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
"""What reading offsets that lead nowhere ends in: the schema's reader does not verify a file first."""


@dataclass(frozen=True, slots=True)
class TensorFacts:
    """name; dtype: as TFLite calls it (INT8, FLOAT32, ...); shape: for a batch of one; dynamic: some size is not fixed;
    values: of a constant, None of an activation; quantized: it has a scale; zero_point: what stands for 0 in it.
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
    """op: TFLite's name of it (CONV_2D, ...). inputs, outputs: its tensors. options: attributes of the operation by
    their names in TFLite's schema. fused: the activation inside it, `NONE` mostly.
    """

    op: str
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    options: Mapping[str, Any]
    fused: str


@dataclass(frozen=True, slots=True)
class Graph:
    """operations: in the order they run. inputs, outputs: of the network. inner: the operations of the other graphs,
    which are the bodies of control flow. subgraphs: 1 but for control flow.
    """

    operations: tuple[Operation, ...]
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    inner: tuple[Operation, ...]
    subgraphs: int


def read_model(content: bytes, name: str) -> Any:
    """The file's contents as the schema's ModelT, of at least one graph. name: for messages. Raises EmotionEdgeError
    where it is no TFLite file, or not a whole one.
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
    """Around what takes a model apart. Raises EmotionEdgeError where that fails because the file is damaged."""
    try:
        yield
    except DAMAGE as error:
        raise EmotionEdgeError(f"model {name}: is cut off or damaged") from error


def write_model(model: Any) -> bytes:
    """A ModelT as the bytes of a file."""
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=FILE_ID)
    return bytes(builder.Output())


def read_graph(path: Path) -> Graph:
    """The graphs of a file. Raises EmotionEdgeError where the file is missing, no TFLite file, or not a whole one."""
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
    """TFLite's name of a graph's operator (CONV_2D, ...), or the name of a custom one."""
    code = model.operatorCodes[operator.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return str(code.customCode.decode()) if code.customCode else OPERATORS.get(number, f"operation {number}")


def fixed_batch(content: bytes, name: str) -> bytes:
    """The same network for a batch of exactly one: what the Edge TPU's compiler wants."""
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
    """The tensors at these places; an optional one that is not there has -1."""
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
