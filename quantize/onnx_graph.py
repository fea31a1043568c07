"""Converts an ONNX graph of convolutions from NCHW to TensorFlow operations in NHWC, as far as YuNet needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Node:
    """One operation. op: its ONNX name. inputs, output: names of tensors. attributes: ONNX attributes by name."""

    op: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Graph:
    """Operations in the order they run. weights: constants by name. input: name of the image tensor."""

    nodes: tuple[Node, ...]
    weights: Mapping[str, npt.NDArray[Any]]
    input: str

    def producer(self, tensor: str) -> Node:
        """Return the node whose output is a tensor. Raises EmotionEdgeError if there is none."""
        for node in self.nodes:
            if node.output == tensor:
                return node
        raise EmotionEdgeError(f"ONNX graph: nothing makes the tensor {tensor!r}")

    def consumers(self, tensor: str) -> list[Node]:
        """Return the nodes that have a tensor as input."""
        return [node for node in self.nodes if tensor in node.inputs]

    def before(self, tensor: str, passing: Sequence[str]) -> str:
        """Trace `tensor` back through operations named in `passing`; returns the tensor before these."""
        while (node := self.producer(tensor)).op in passing:
            tensor = node.inputs[0]
        return tensor


def read_graph(path: Path) -> Graph:
    """Read an ONNX file. Raises EmotionEdgeError if it is not one, or an operation has several outputs."""
    import onnx

    try:
        graph = onnx.load(str(path)).graph
    except Exception as error:  # protobuf's DecodeError, which has no types, or one of the file's
        raise EmotionEdgeError(f"ONNX file {path}: cannot be read: {error}") from error
    weights = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
    nodes = []
    for node in graph.node:
        if len(node.output) != 1:
            raise EmotionEdgeError(f"ONNX file {path}: {node.op_type} {node.name} has {len(node.output)} outputs")
        attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        nodes.append(Node(node.op_type, tuple(node.input), node.output[0], attributes))
    images = [item.name for item in graph.input if item.name not in weights]
    return Graph(tuple(nodes), weights, images[0])


def convolve(x: Any, kernel: Array, bias: Array, stride: int, pad: int, depthwise: bool) -> Any:
    """Apply a convolution to x [n, h, w, c].

    kernel: in ONNX's order, [out, in / groups, kh, kw]. depthwise: one filter per channel. pad: rows and columns of
    zeros on each side (TensorFlow's own `SAME` pads a strided one differently).
    """
    import tensorflow as tf

    same = stride == 1 and pad == kernel.shape[-1] // 2
    if pad and not same:
        x = tf.pad(x, [[0, 0], [pad, pad], [pad, pad], [0, 0]])
    padding = "SAME" if same else "VALID"
    if depthwise:
        x = tf.nn.depthwise_conv2d(x, np.transpose(kernel, (2, 3, 0, 1)), [1, stride, stride, 1], padding)
    else:
        x = tf.nn.conv2d(x, np.transpose(kernel, (2, 3, 1, 0)), stride, padding)
    return tf.nn.bias_add(x, bias)


def is_depthwise(node: Node, graph: Graph) -> bool:
    """Return True for a convolution with one filter per channel."""
    if node.op != "Conv":
        return False
    out, inputs = graph.weights[node.inputs[1]].shape[:2]
    return bool(node.attributes["group"] == out and inputs == 1)


def _convolution(node: Node, graph: Graph, x: Any) -> Any:
    group, (stride, stride_x), pads = (node.attributes[key] for key in ("group", "strides", "pads"))
    depthwise = is_depthwise(node, graph)
    if (
        (group != 1 and not depthwise)
        or stride != stride_x
        or len(set(pads)) != 1
        or set(node.attributes["dilations"]) != {1}
    ):
        raise EmotionEdgeError(
            f"ONNX graph: a convolution as {node.output!r} is not supported: {dict(node.attributes)}"
        )
    return convolve(x, graph.weights[node.inputs[1]], graph.weights[node.inputs[2]], stride, pads[0], depthwise)


def _resize(node: Node, graph: Graph, x: Any) -> Any:
    import tensorflow as tf

    scales = graph.weights[node.inputs[2]]
    if node.attributes["mode"] != b"nearest" or list(scales) != [1, 1, 2, 2]:
        raise EmotionEdgeError(
            f"ONNX graph: a resize as {node.output!r} is not supported (nearest, twice the size, is)"
        )
    # Equal to tf.image.resize, but made of operations that XNNPACK runs in int8.
    return tf.nn.depth_to_space(tf.concat([x] * 4, axis=3), 2)


def run(graph: Graph, image: Any, wanted: Sequence[str]) -> dict[str, Any]:
    """Build the operations on an image [n, height, width, channels]; returns the wanted tensors, NHWC, by name.

    Raises EmotionEdgeError for an unsupported operation that a wanted tensor depends on.
    """
    import tensorflow as tf

    needed, queue = set[str](), list(wanted)
    while queue:
        name = queue.pop()
        if name not in needed and name != graph.input and name not in graph.weights:
            needed.add(name)
            queue += [it for it in graph.producer(name).inputs if it]
    tensors = {graph.input: image}
    for node in graph.nodes:
        if node.output not in needed:
            continue
        x = tensors[node.inputs[0]]
        match node.op:
            case "Conv":
                y = _convolution(node, graph, x)
            case "Relu":
                y = tf.nn.relu(x)
            case "Add":
                y = x + tensors[node.inputs[1]]
            case "MaxPool" if list(node.attributes["kernel_shape"]) == list(node.attributes["strides"]) == [2, 2]:
                y = tf.nn.max_pool2d(x, 2, 2, "VALID")
            case "Resize":
                y = _resize(node, graph, x)
            case _:
                raise EmotionEdgeError(f"ONNX graph: {node.op} ({node.output!r}) is not supported")
        tensors[node.output] = y
    return {name: tensors[name] for name in wanted}
