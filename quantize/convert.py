"""From a tf_keras network to an int8 TFLite file whose names and input scale are as promised."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from edge.card import MODEL_FILE
from edge.errors import EmotionEdgeError
from quantize.interpreters import run_everywhere
from training.networks.plain_residual import HEADS, INPUT_SHAPE

INPUT_NAME = "image"
SCALE, ZERO_POINT = 1 / 255, -128
"""So that the stored input is pixel - 128 and no arithmetic is left for the board."""


def to_int8(model: Any, calibration: Callable[[], Iterator[dict[str, Any]]] | None = None) -> bytes:
    """The network as a TFLite file, int8 in and out, any batch size, with the outputs named by their heads.

    model: a tf_keras network, float or quantization-aware. calibration: gives {"image": float32 [1, 48, 48, 1]}
    samples; None for a quantization-aware network, which knows its ranges.
    """

    @tf.function(input_signature=[tf.TensorSpec([None, *INPUT_SHAPE], tf.float32, INPUT_NAME)])  # type: ignore[untyped-decorator]
    def serve(image: Any) -> dict[str, Any]:
        outputs = model(image, training=False)
        return {head: outputs[head] for head in HEADS}

    with tempfile.TemporaryDirectory() as folder:
        module = tf.Module()
        module.model, module.serve = model, serve
        tf.saved_model.save(module, folder, signatures=serve)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        if calibration:
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.representative_dataset = calibration
        return bytes(converter.convert())


def check_file(path: Path) -> None:
    """Raises EmotionEdgeError unless every interpreter installed here runs the file, at more than one batch size, and
    finds the promised names, dtypes and input scale."""
    for name, run in run_everywhere(path, np.zeros((3, *INPUT_SHAPE[:2]), np.uint8)).items():
        if set(run.inputs) != {INPUT_NAME} or set(run.tensors) != set(HEADS):
            raise EmotionEdgeError(f"{path}: {name} finds inputs {list(run.inputs)} and outputs {list(run.tensors)}")
        if any(facts["dtype"] != "int8" for facts in (*run.inputs.values(), *run.tensors.values())):
            raise EmotionEdgeError(f"{path}: {name} finds a tensor that is not int8")
        image = run.inputs[INPUT_NAME]
        if image["zero_point"] != ZERO_POINT or abs(image["scale"] - SCALE) > 1e-8:
            raise EmotionEdgeError(
                f"{path}: input scale {image['scale']:.8f}, zero point {image['zero_point']}; "
                f"wanted 1/255 and {ZERO_POINT}"
            )


def write_file(content: bytes, folder: Path) -> Path:
    """Write and check `model.tflite`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / MODEL_FILE
    path.write_bytes(content)
    check_file(path)
    return path
