"""Post-training quantization: no training, minutes instead of an hour, some accuracy less."""

from pathlib import Path

from quantize.calibration import calibration_images, representative
from quantize.convert import to_int8, write_file
from quantize.twin import twin_of_run
from training.datasets.dataset import Dataset


def quantize_after_training(run: Path, data: Dataset, folder: Path) -> Path:
    """Write folder/model.tflite from a run's float network, with ranges measured on training images."""
    return write_file(to_int8(twin_of_run(run), representative(calibration_images(data))), folder)
