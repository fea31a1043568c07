"""A TFLite file as its flatbuffer: operations and tensors with their names, dtypes, shapes and attributes."""

from collections.abc import Mapping
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


@dataclass(frozen=True, slots=True)
class TensorFacts:
    """name; dtype: as TFLite calls it (INT8, FLOAT32, ...); shape: for a batch of one; dynamic: some size is not fixed;
    values: of a constant, None of an activation; quantized: it has a scale."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    dynamic: bool
    values: npt.NDArray[np.uint8] | None
    quantized: bool


@dataclass(frozen=True, slots=True)
class Operation:
    """op: TFLite's name of it (CONV_2D, ...). inputs, outputs: its tensors. options: attributes of the operation by
    their names in TFLite's schema. fused: the activation inside it, `NONE` mostly."""

    op: str
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    options: Mapping[str, Any]
    fused: str

    @property
    def multiply_adds(self) -> int:
        """Of a convolution or a fully connected layer for one image; 0 for everything else."""
        if self.op not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            return 0
        kernel, out = self.inputs[1].shape, self.outputs[0].shape
        if self.op == "DEPTHWISE_CONV_2D":
            return int(np.prod(out)) * kernel[1] * kernel[2]
        return int(np.prod(out)) * int(np.prod(kernel[1:]))


@dataclass(frozen=True, slots=True)
class Graph:
    """operations: in the order they run. inputs, outputs: of the network. subgraphs: 1 but for control flow."""

    operations: tuple[Operation, ...]
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    subgraphs: int

    @property
    def multiply_adds(self) -> int:
        """Of one image."""
        return sum(operation.multiply_adds for operation in self.operations)


def read_model(content: bytes, name: str) -> Any:
    """The file's contents as the schema's ModelT. name: for messages. Raises EmotionEdgeError where it is no TFLite
    file."""
    if content[4:8] != FILE_ID:
        raise EmotionEdgeError(f"model {name}: is no TFLite file")
    return schema.ModelT.InitFromPackedBuf(content, 0)


def write_model(model: Any) -> bytes:
    """A ModelT as the bytes of a file."""
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=FILE_ID)
    return bytes(builder.Output())


def read_graph(path: Path) -> Graph:
    """The main graph of a file. Raises EmotionEdgeError where the file is missing or no TFLite file."""
    if not path.is_file():
        raise EmotionEdgeError(f"model {path}: not there")
    model = read_model(path.read_bytes(), str(path))
    graph = model.subgraphs[0]
    facts = [_tensor(tensor, model.buffers) for tensor in graph.tensors]

    def of(places: Any) -> tuple[TensorFacts, ...]:
        return tuple(facts[place] for place in (places if places is not None else ()) if place >= 0)

    operations = []
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        number = max(code.builtinCode, code.deprecatedBuiltinCode)
        op = code.customCode.decode() if code.customCode else OPERATORS.get(number, f"operation {number}")
        options = vars(operator.builtinOptions) if operator.builtinOptions else {}
        fused = ACTIVATIONS.get(options.get("fusedActivationFunction", 0), "unknown")
        operations.append(Operation(op, of(operator.inputs), of(operator.outputs), options, fused))
    return Graph(tuple(operations), of(graph.inputs), of(graph.outputs), len(model.subgraphs))


def fixed_batch(content: bytes, name: str) -> bytes:
    """The same network for a batch of exactly one: what the Edge TPU's compiler wants."""
    model = read_model(content, name)
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.shapeSignature = None
    return write_model(model)


def _tensor(tensor: Any, buffers: Any) -> TensorFacts:
    shape = () if tensor.shape is None else tuple(int(size) for size in tensor.shape)
    signature = tensor.shapeSignature
    data = buffers[tensor.buffer].data if tensor.buffer else None
    values = None if data is None or len(data) == 0 else np.asarray(data, np.uint8)
    scale = tensor.quantization.scale if tensor.quantization else None
    return TensorFacts(
        tensor.name.decode(),
        TYPES.get(tensor.type, f"type {tensor.type}"),
        shape,
        signature is not None and any(int(size) < 0 for size in signature),
        values,
        scale is not None and len(scale) > 0,
    )
