"""Quantization-aware training with tensorflow-model-optimization."""

from typing import Any

import tensorflow_model_optimization as tfmot
import tf_keras

from edge.errors import EmotionEdgeError
from quantize.calibration import Calibration
from quantize.fine_tune import Lesson, teach
from quantize.ranges import set_ranges
from training.config import TrainingConfig
from training.datasets.dataset import Dataset


def train_aware(twin: Any, data: Dataset, calibration: Calibration, config: TrainingConfig, lesson: Lesson) -> Any:
    """Quantization-aware training: simulate int8 with ranges from the calibration images, then fine-tune.

    twin: the float network in tf_keras. Raises EmotionEdgeError where a layer is not supported.
    """
    student = quantized(twin)
    set_ranges(student, calibration.images)
    teach(student, twin, data, config, lesson)
    return student


def quantized(network: Any) -> Any:
    """Wrap a network for simulated int8, with the input range fixed at 0 to 1 and batch statistics frozen.

    The fixed range makes the input scale exactly 1/255. Batch statistics that still move while they are folded into
    int8 weights cost accuracy (Krishnamoorthi, "Quantizing deep convolutional networks", 2018). Raises EmotionEdgeError
    where a layer is not supported.
    """
    try:
        student = tfmot.quantization.keras.quantize_model(network)
    except (ValueError, RuntimeError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise EmotionEdgeError(
            f"quantization-aware training: {reason} (`emotion-quantize ptq` takes any layer that TensorFlow Lite has "
            "in int8)"
        ) from error
    entry = next(layer for layer in student.layers if type(layer).__name__ == "QuantizeLayer")
    for variable in entry.weights:
        for bound, value in (("_min:0", 0.0), ("_max:0", 1.0)):
            if variable.name.endswith(bound):
                variable.assign(value)
    for layer in student.layers:
        inner = getattr(layer, "layer", layer)
        if isinstance(inner, tf_keras.layers.BatchNormalization):
            inner.trainable = False
    return student
