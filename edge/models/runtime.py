"""The TensorFlow Lite interpreter, tflite-runtime or its successor ai-edge-litert, and a network that runs in it.

`auto` prefers ai-edge-litert: tflite-runtime 2.14 needs 1.5 to 3.6 times its instructions for int8 on Arm and has no
fast int8 path on x86-64 at all.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError
from edge.models.edge_tpu import (
    EDGE_TPU_FILE,
    AcceleratorChoice,
    EdgeTpu,
    EdgeTpuNetwork,
    Run,
    edge_tpu_for,
    edge_tpu_problem,
)

RuntimeChoice = Literal["auto", "ai-edge-litert", "tflite-runtime"]

MODULES: Final[Mapping[str, str]] = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
}
"""Interpreter modules by the name of their distribution, in the order of `auto`'s preference."""


@dataclass(frozen=True)
class Runtime:
    """An interpreter package that can be imported on this machine.

    Attributes:
        name: its distribution's name.
        version: as installed.
        interpreter: its class Interpreter.
        load_delegate: its function of that name.
        edge_tpu: runs the networks that are compiled for it; None: the processor runs all.
    """

    name: str
    version: str
    interpreter: Any
    load_delegate: Any = None
    edge_tpu: EdgeTpu | None = None

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def installed() -> dict[str, str]:
    """Return name and version of the installed interpreter packages, in the order of preference."""
    found = {}
    for name in MODULES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def choose(choice: RuntimeChoice = "auto", accelerator: AcceleratorChoice = "cpu") -> Runtime:
    """Return the interpreter of a setting; for `auto`, the first that imports. Raises EmotionEdgeError if none does."""
    found = installed()
    wanted = list(MODULES) if choice == "auto" else [choice]
    problems = []
    for name in wanted:
        if name not in found:
            problems.append(f"{name} is not installed")
            continue
        try:
            module = importlib.import_module(MODULES[name])
        except Exception as error:
            # A wheel built for another version of NumPy raises SystemError.
            problems.append(f"{name} {found[name]} does not import: {error}")
            continue
        return Runtime(name, found[name], module.Interpreter, module.load_delegate, edge_tpu_for(accelerator))
    raise EmotionEdgeError(f"runtime {choice}: {'; '.join(problems)} (`pip install ai-edge-litert` gives one)")


@dataclass(frozen=True)
class Tensor:
    """Shape, type and quantization of an input or output. scale, zero_point: both 0 if it is not quantized."""

    index: int
    shape: tuple[int, ...]
    dtype: type[np.generic]
    scale: float
    zero_point: int

    def like(self, other: "Tensor") -> bool:
        """Whether another tensor has the same type, quantization and, except for the batch size, shape."""
        return (self.shape[1:], self.dtype, self.scale, self.zero_point) == (
            *(other.shape[1:], other.dtype, other.scale, other.zero_point),
        )

    def dequantize(self, stored: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Convert quantized values to real values, float32."""
        if self.scale == 0:
            return stored.astype(np.float32, copy=False)
        return (stored.astype(np.float32) - self.zero_point) * self.scale


def _tensor(details: Mapping[str, Any]) -> Tensor:
    scale, zero_point = details["quantization"]
    shape = tuple(int(size) for size in details["shape"])
    return Tensor(int(details["index"]), shape, details["dtype"], float(scale), int(zero_point))


class Network:
    """A TFLite file ready to run, its outputs by their names in the signature. Not thread-safe.

    If an Edge TPU is plugged in and the folder has the same model compiled for it, the Edge TPU runs it.

    Attributes:
        inputs: Tensor by name.
        outputs: Tensor by name.
    """

    def __init__(self, path: Path, runtime: Runtime, threads: int = 1) -> None:
        """Load the file. Raises EmotionEdgeError if it is missing or not a TFLite model with a signature."""
        if not path.is_file():
            raise EmotionEdgeError(f"model {path}: not there")
        try:
            self._interpreter = runtime.interpreter(model_path=str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
            # The runner is released at once: while it exists, the interpreter cannot be resized.
            runner = self._interpreter.get_signature_runner()
            self.inputs = {name: _tensor(found) for name, found in runner.get_input_details().items()}
            self.outputs = {name: _tensor(found) for name, found in runner.get_output_details().items()}
        except (ValueError, RuntimeError) as error:
            raise EmotionEdgeError(f"model {path}: {runtime} cannot load it: {error}") from error
        if len(self.inputs) != 1:
            raise EmotionEdgeError(f"model {path}: has {len(self.inputs)} inputs, expected one image")
        self._input = next(iter(self.inputs.values()))
        self._batch = self._input.shape[0]
        self._edge_tpu: EdgeTpuNetwork | None = None
        compiled = path.with_name(EDGE_TPU_FILE)
        if (edge_tpu := runtime.edge_tpu) and compiled.is_file():
            # The Edge TPU's compiler keeps the order of the outputs, but not always their names.
            order = [int(details["index"]) for details in self._interpreter.get_output_details()]
            places = {name: order.index(tensor.index) for name, tensor in self.outputs.items()}
            load = partial(self._on_edge_tpu, compiled, runtime, edge_tpu, places)
            self._edge_tpu = EdgeTpuNetwork(path.parent.name, edge_tpu, load)

    @property
    def on_edge_tpu(self) -> bool:
        """Whether the Edge TPU, not the processor, runs the network now."""
        return self._edge_tpu is not None and self._edge_tpu.running

    def __call__(self, images: npt.NDArray[Any]) -> Mapping[str, npt.NDArray[np.float32]]:
        """Run a batch.

        images: [n, height, width, channels] in the input's own dtype (InputSpec.lookup makes it from pixels).
        Returns the outputs as real values, float32 [n, ...], by name.
        """
        return {name: self.outputs[name].dequantize(values) for name, values in self.stored(images).items()}

    def stored(self, images: npt.NDArray[Any]) -> Mapping[str, npt.NDArray[Any]]:
        """Run a batch and return the outputs without dequantizing them, for callers that need few real values."""
        if self._edge_tpu and (found := self._edge_tpu(images)) is not None:
            return found
        if len(images) != self._batch:
            self._interpreter.resize_tensor_input(self._input.index, images.shape)
            self._interpreter.allocate_tensors()
            self._batch = len(images)
        self._interpreter.set_tensor(self._input.index, images)
        self._interpreter.invoke()
        get = self._interpreter.get_tensor
        return {name: get(tensor.index) for name, tensor in self.outputs.items()}

    def _on_edge_tpu(self, compiled: Path, runtime: Runtime, edge_tpu: EdgeTpu, places: Mapping[str, int]) -> Run:
        """Load the compiled file, ready to run. places: index of each output in the file's order.

        Raises EmotionEdgeError if it was compiled from another model, and any exception of the library.
        """
        if problem := edge_tpu_problem(MODULES[runtime.name], edge_tpu.library, compiled):
            raise EmotionEdgeError(problem)
        delegate = runtime.load_delegate(edge_tpu.library)
        interpreter = runtime.interpreter(model_path=str(compiled), experimental_delegates=[delegate])
        interpreter.allocate_tensors()
        (source,) = (_tensor(details) for details in interpreter.get_input_details())
        there = [_tensor(details) for details in interpreter.get_output_details()]
        outputs = {name: there[place] for name, place in places.items()}
        for here, compiled_one in ((self._input, source), *((self.outputs[name], outputs[name]) for name in outputs)):
            if not here.like(compiled_one):
                raise EmotionEdgeError(f"{compiled} is compiled from another model than the one beside it")

        def run(images: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
            rows = []
            for image in images:
                interpreter.set_tensor(source.index, image[None])
                interpreter.invoke()
                rows.append([interpreter.get_tensor(tensor.index) for tensor in outputs.values()])
            return dict(zip(outputs, map(np.concatenate, zip(*rows, strict=True)), strict=True))

        run(np.zeros(source.shape, source.dtype))
        return run
