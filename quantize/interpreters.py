"""Runs a TFLite file in every installed interpreter, each in a process of its own.

tflite-runtime fails to load a file ("vector::reserve") in a process that has loaded TensorFlow. So this module does not
import TensorFlow, and is a program: `python -m quantize.interpreters MODEL RUNTIME IMAGES.npy OUT.npz`. The same
program runs under emulated aarch64 (`quantize.arm`).
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError
from edge.models.runtime import Network, RuntimeChoice, Tensor, choose, installed
from quantize.arm import Emulated, emulated

BATCH = 64
TIMED = 100


@dataclass(frozen=True, slots=True)
class Run:
    """Results of a file in one interpreter.

    outputs: float32 [n, classes] by signature name. inputs, tensors: scale, zero_point and dtype by name, of inputs and
    outputs. milliseconds: median for one image at a time on one thread. version: version of the interpreter.
    """

    outputs: Mapping[str, npt.NDArray[np.float32]]
    inputs: Mapping[str, Mapping[str, Any]]
    tensors: Mapping[str, Mapping[str, Any]]
    milliseconds: float
    version: str


def run_in(runtime: str, path: Path, images: npt.NDArray[np.uint8], cpu: str = "") -> Run:
    """Run images uint8 [n, h, w] or [n, h, w, 3] through a file in a process of its own.

    Pixels go into an int8 input as pixel - 128, which `quantize.convert.check_file` holds every file to, and into a
    float input as pixel / 255. cpu: the core to emulate, one of `quantize.arm.CPUS`; "" runs without emulation. Raises
    EmotionEdgeError where the interpreter does not load or run the file, or the emulation is not ready.
    """
    start = emulated(runtime, cpu) if cpu else Emulated((sys.executable,), os.environ)
    with tempfile.TemporaryDirectory() as folder:
        given, taken = Path(folder) / "images.npy", Path(folder) / "outputs.npz"
        np.save(given, images)
        command = [*start.prefix, "-m", "quantize.interpreters", str(path.resolve()), runtime, str(given), str(taken)]
        done = subprocess.run(command, env=dict(start.environment), capture_output=True, text=True, check=False)
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
            raise EmotionEdgeError(f"{path}: {runtime} does not run it: {last[0]}")
        with np.load(taken) as arrays:
            facts = json.loads(str(arrays["facts"]))
            outputs = {name: arrays[f"output/{name}"] for name in facts["tensors"]}
    return Run(outputs, facts["inputs"], facts["tensors"], facts["milliseconds"], facts["version"])


def run_everywhere(path: Path, images: npt.NDArray[np.uint8]) -> dict[str, Run]:
    """Run images through the file in every installed interpreter; results by name of the interpreter."""
    return {name: run_in(name, path, images) for name in installed()}


def _facts(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Any]]:
    return {
        name: {"scale": tensor.scale, "zero_point": tensor.zero_point, "dtype": np.dtype(tensor.dtype).name}
        for name, tensor in tensors.items()
    }


def _stored(images: npt.NDArray[np.uint8], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Convert images [n, h, w] or [n, h, w, 3] to the network's input of that dtype."""
    images = images[..., None] if images.ndim == 3 else images
    if dtype == np.int8:
        return (images.astype(np.int16) - 128).astype(np.int8)
    return (images / np.float32(255)).astype(np.float32)


def _main(model: Path, runtime: RuntimeChoice, given: Path, taken: Path) -> None:
    chosen = choose(runtime)
    network = Network(model, chosen)
    (image_tensor,) = network.inputs.values()
    stored = _stored(np.load(given), np.dtype(image_tensor.dtype))
    batches = [network(stored[start : start + BATCH]) for start in range(0, len(stored), BATCH)]
    seconds = []
    for image in stored[:TIMED]:
        begun = time.perf_counter()
        network(image[None])
        seconds.append(time.perf_counter() - begun)
    facts = {
        "inputs": _facts(network.inputs),
        "tensors": _facts(network.outputs),
        "milliseconds": float(np.median(seconds[1:] or seconds)) * 1000,
        "version": chosen.version,
    }
    arrays: dict[str, Any] = {
        f"output/{name}": np.concatenate([batch[name] for batch in batches]) for name in network.outputs
    }
    np.savez(taken, facts=np.array(json.dumps(facts)), **arrays)


if __name__ == "__main__":
    try:
        _main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))  # type: ignore[arg-type]
    except EmotionEdgeError as error:
        # The message must be one line: `run_in` passes on only the last line.
        sys.exit(" ".join(str(error.__cause__ or error).split()))
