"""The interpreter: tflite-runtime or its successor ai-edge-litert, chosen once.

`auto` takes ai-edge-litert where it is installed: tflite-runtime 2.14 needs 1.5 to 3.6 times its instructions for int8
on Arm and has no fast int8 path on x86-64 at all.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError

RuntimeChoice = Literal["auto", "ai-edge-litert", "tflite-runtime"]

_MODULES: Final[Mapping[str, str]] = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
}
"""By distribution name, in the order `auto` prefers them."""


@dataclass(frozen=True)
class Runtime:
    """An interpreter package that imports on this machine. name: its distribution; version: as installed."""

    name: str
    version: str
    interpreter: Any

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def installed() -> dict[str, str]:
    """Name and version of the interpreter packages that are installed, in order of preference."""
    found = {}
    for name in _MODULES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def choose(choice: RuntimeChoice = "auto") -> Runtime:
    """The interpreter asked for, or the best that imports. Raises EmotionEdgeError when there is none."""
    found = installed()
    wanted = list(_MODULES) if choice == "auto" else [choice]
    problems = []
    for name in wanted:
        if name not in found:
            problems.append(f"{name} is not installed")
            continue
        try:
            module = importlib.import_module(_MODULES[name])
        except Exception as error:  # a wheel built for another NumPy fails with SystemError
            problems.append(f"{name} {found[name]} does not import: {error}")
            continue
        return Runtime(name, found[name], module.Interpreter)
    raise EmotionEdgeError(f"runtime {choice}: {'; '.join(problems)} (`pip install ai-edge-litert` gives one)")


@dataclass(frozen=True)
class Tensor:
    """Facts of one input or output. scale and zero_point: of its affine quantization, 0 and 0 where it has none."""

    index: int
    shape: tuple[int, ...]
    dtype: type[np.generic]
    scale: float
    zero_point: int

    def dequantize(self, stored: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Real values, float32, of a tensor as the network stores it."""
        if self.scale == 0:
            return stored.astype(np.float32, copy=False)
        return (stored.astype(np.float32) - self.zero_point) * self.scale


def _facts(details: Mapping[str, Any]) -> Tensor:
    scale, zero_point = details["quantization"]
    shape = tuple(int(size) for size in details["shape"])
    return Tensor(int(details["index"]), shape, details["dtype"], float(scale), int(zero_point))


class Network:
    """A TFLite file ready to run, its outputs by their names in the signature.

    Not safe to call from two threads at once. inputs, outputs: Tensor by name.
    """

    def __init__(self, path: Path, runtime: Runtime, threads: int = 1) -> None:
        """Load the file. Raises EmotionEdgeError when it is missing or no TFLite model with a signature."""
        if not path.is_file():
            raise EmotionEdgeError(f"model {path}: not there")
        try:
            self._interpreter = runtime.interpreter(model_path=str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
            # The runner is let go at once: while it lives, the interpreter refuses to be resized.
            runner = self._interpreter.get_signature_runner()
            self.inputs = {name: _facts(found) for name, found in runner.get_input_details().items()}
            self.outputs = {name: _facts(found) for name, found in runner.get_output_details().items()}
        except (ValueError, RuntimeError) as error:
            raise EmotionEdgeError(f"model {path}: {runtime} cannot load it: {error}") from error
        if len(self.inputs) != 1:
            raise EmotionEdgeError(f"model {path}: has {len(self.inputs)} inputs, expected one image")
        self._input = next(iter(self.inputs.values()))
        self._batch = self._input.shape[0]

    def __call__(self, images: npt.NDArray[Any]) -> dict[str, npt.NDArray[np.float32]]:
        """Run a batch.

        images: [n, height, width, channels] in the input's own dtype (InputSpec.lookup makes it from pixels).
        Returns the outputs as real values, float32 [n, ...], by name.
        """
        if len(images) != self._batch:
            self._interpreter.resize_tensor_input(self._input.index, images.shape)
            self._interpreter.allocate_tensors()
            self._batch = len(images)
        self._interpreter.set_tensor(self._input.index, images)
        self._interpreter.invoke()
        get = self._interpreter.get_tensor
        return {name: tensor.dequantize(get(tensor.index)) for name, tensor in self.outputs.items()}
