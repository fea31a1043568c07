"""Quantizes any Keras vision model to int8 by example images, also one not made by `emotion-train`."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError
from edge.models.card import MODEL_FILE
from edge.models.runtime import installed
from quantize.agreement import check_agreement
from quantize.calibration import as_input, representative, whole_range
from quantize.convert import check_file, named, output_names, to_float, to_int8
from quantize.interpreters import TIMED, run_everywhere, run_in
from quantize.keras_reader import read_keras
from training.datasets.assemble import image_files
from training.datasets.dataset import Dataset
from training.datasets.pixels import in_memory

CHECKED = 500
"""Most images on which float and int8 outputs are compared."""
ALIKE = 0.9
"""Share of images with the same largest output in float and int8 below which a warning is printed."""


@dataclass(frozen=True, slots=True)
class Output:
    """An output of the int8 file compared with the float network's.

    same: share of images whose largest value is at the same index; None for an output of one value. largest, mean:
    largest and mean absolute difference. reach: range of the float network's values.
    """

    same: float | None
    largest: float
    mean: float
    reach: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """The quantization of a Keras network.

    calibrated, checked: number of images for calibration and comparison. seen: whether the latter are among the former.
    size, float_size: bytes of the int8 and the float file. outputs: by interpreter and name. milliseconds: for one
    image on one thread, by interpreter; float_milliseconds: the same for the float file in the first of them.
    """

    calibrated: int
    checked: int
    seen: bool
    size: int
    float_size: int
    outputs: Mapping[str, Mapping[str, Output]]
    milliseconds: Mapping[str, float]
    float_milliseconds: float


def quantize_file(
    network_file: Path,
    images: Path,
    out: Path,
    value_range: tuple[float, float],
    samples: int,
    own: Mapping[str, Any] | None = None,
    force: bool = False,
) -> Outcome:
    """Write the int8 file of a Keras network with one image input, and compare it with the network.

    Args:
        network_file: The Keras file.
        images: A folder of images of what the network is for, drawn at random with a fixed seed. The first `samples`
            set the ranges; up to CHECKED others are used for comparison, or the same ones if there are no others.
            Loaded as grey for a network of one channel, else as RGB.
        out: The .tflite file to write.
        value_range: Values of black and white in the network.
        samples: Number of calibration images.
        own: The network's own layers and functions, by name.
        force: True also writes a file that hardly ever agrees with the network.

    Raises:
        EmotionEdgeError: The network or the images cannot be read, `out` is the network's own file or a folder, or an
            operation has no int8 version; nothing is written.
        DisagreementError: The file hardly ever predicts what the network predicts; nothing is written.
    """
    if not network_file.exists():
        raise EmotionEdgeError(f"{network_file}: not there")
    if out.is_dir():
        raise EmotionEdgeError(f"{out}: is a folder; give the file to write, such as {out / MODEL_FILE}")
    if out.resolve() == network_file.resolve():
        raise EmotionEdgeError(f"{out}: is the network itself; give another file to write")
    network = read_keras(network_file, own)
    shape = _image_shape(network, network_file)
    names = output_names(network)
    pixels = _pixels(images, shape, samples + CHECKED)
    calibrating, checking = pixels[:samples], pixels[samples:]
    content = to_int8(network, representative(whole_range(calibrating), value_range))
    seen = not len(checking)
    checking = calibrating[:CHECKED] if seen else checking
    with tempfile.TemporaryDirectory() as folder:
        trial, floating = Path(folder) / "int8.tflite", Path(folder) / "float.tflite"
        trial.write_bytes(content)
        check_file(trial, names, shape, value_range=value_range)
        floating.write_bytes(to_float(network))
        outputs = network.predict(as_input(checking, value_range), batch_size=64, verbose=0)
        wanted = named(outputs, names)
        runs = run_everywhere(trial, checking)
        outcome = Outcome(
            len(calibrating),
            len(checking),
            seen,
            len(content),
            floating.stat().st_size,
            {f"{key} {run.version}": _compare(run.outputs, wanted) for key, run in runs.items()},
            {f"{key} {run.version}": run.milliseconds for key, run in runs.items()},
            # Used only for timing, so the range of the input values does not matter.
            run_in(next(iter(installed())), floating, checking[:TIMED]).milliseconds,
        )
    for name, one in next(iter(outcome.outputs.values())).items():
        if one.same is not None:
            check_agreement(name, one.same, force)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(content)
    except OSError as error:
        raise EmotionEdgeError(f"{out}: {error}") from error
    return outcome


def text(outcome: Outcome) -> str:
    """Describe the outcome as text for the terminal."""
    which = "the same that set them" if outcome.seen else "others"
    lines = [
        f"int8 ranges from {outcome.calibrated} images, compared on {outcome.checked} ({which})",
        f"{outcome.size:,} bytes; as float {outcome.float_size:,} bytes, {outcome.float_milliseconds:.2f} ms an image",
    ]
    for runtime, outputs in outcome.outputs.items():
        lines.append(f"{runtime}: {outcome.milliseconds[runtime]:.2f} ms an image")
        for name, one in outputs.items():
            same = "" if one.same is None else f"same largest value as float {one.same:.2%}, "
            lines.append(f"  {name}: {same}off by {one.mean:.4g}, at most {one.largest:.4g}, of {one.reach:.4g}")
            if one.same is not None and one.same < ALIKE:
                lines.append(f"  {name}: NOT the float output; see docs/quantization.md, Your own Keras model")
    return "\n".join(lines)


def _image_shape(network: Any, path: Path) -> tuple[int, int, int]:
    shapes = network.input_shape
    if not isinstance(shapes, tuple) or len(shapes) != 4 or None in shapes[1:] or shapes[3] not in (1, 3):
        raise EmotionEdgeError(
            f"{path}: takes {shapes}; wanted is one image of a fixed size, [batch, height, width, 1 or 3]"
        )
    _, height, width, channels = shapes
    return height, width, channels


def _pixels(folder: Path, shape: tuple[int, int, int], most: int) -> npt.NDArray[np.uint8]:
    """Load at most `most` random images of a folder, uint8 [n, h, w] or [n, h, w, 3] with red first."""
    if not folder.is_dir():
        raise EmotionEdgeError(f"{folder}: {'is a file' if folder.exists() else 'not there'}; give a folder of images")
    files = image_files(folder)
    if not files:
        raise EmotionEdgeError(f"{folder}: no image in it, nor below it")
    drawn = tuple(files[place] for place in np.random.default_rng(0).permutation(len(files))[:most])
    rows = np.arange(len(drawn))
    pixels = in_memory(Dataset(str(folder), drawn, {}, None, False, rows * 0, rows), *shape).pixels
    return pixels if shape[2] == 1 else np.stack([cv2.cvtColor(image, cv2.COLOR_BGR2RGB) for image in pixels])


def _compare(
    outputs: Mapping[str, npt.NDArray[np.float32]], wanted: Mapping[str, npt.NDArray[np.float32]]
) -> dict[str, Output]:
    found = {}
    for name, true in wanted.items():
        apart = np.abs(outputs[name] - true)
        classes = true.ndim == 2 and true.shape[1] > 1
        same = float(np.mean(outputs[name].argmax(axis=1) == true.argmax(axis=1))) if classes else None
        found[name] = Output(same, float(apart.max()), float(apart.mean()), float(true.max() - true.min()))
    return found
