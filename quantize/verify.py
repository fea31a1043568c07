"""Measures a model file and its float network on the same faces in every interpreter."""

import gzip
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt

from edge.emotion.flip import with_flip
from edge.errors import EmotionEdgeError
from edge.models.card import MODEL_FILE
from edge.models.runtime import installed
from quantize.arm import CPUS, missing
from quantize.float_run import Source
from quantize.instructions import instructions
from quantize.interpreters import Run, run_in
from training.config import AFFECT
from training.datasets.dataset import VALIDATION, Dataset
from training.datasets.pixels import from_disk
from training.evaluation.figures import Figures, figures, predict, temperatures
from training.evaluation.jitter import moved, moves
from training.evaluation.metrics import concordance, rmse

EMULATED_FACES = 1000
EMULATED_CPU = "cortex-a76"

Outputs = Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class LogitError:
    """Absolute differences between a head's outputs and the float network's: largest and mean by class, [classes]."""

    labels: tuple[str, ...]
    largest: npt.NDArray[np.float32]
    mean: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Row:
    """One way to run the network, as a row of the verification table.

    precision: `float32`, `int8` or another of the file's. runtime: interpreter with its version. figures: figures of
    each split and head. agreement: share of faces with the float network's label, by head. errors: logit errors by
    head. milliseconds: time per face on one thread; None under emulation. faces: number of faces of the last split that
    were used; None: all faces of all splits.
    """

    precision: str
    runtime: str
    figures: Sequence[Figures]
    agreement: Mapping[str, float]
    errors: Mapping[str, LogitError]
    milliseconds: float | None
    faces: int | None = None


@dataclass(frozen=True, slots=True)
class Affect:
    """Valence and arousal on one split: concordance (CCC, Lin 1989) and root mean square error of each.

    rows: number of faces. derived: the truth was computed from labels, not measured.
    """

    split: str
    rows: int
    ccc: tuple[float, float]
    rmse: tuple[float, float]
    derived: bool


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures of a model file and of the float network it was made from.

    rows: the float network in Keras, then every other way to run it. not_run: reasons, by way. size, float_size: bytes
    of the files, the latter None without a float file. jitter: accuracy of the primary head on the last split with
    boxes moved as a detector's are. affect: figures of valence and arousal, if the file has that head. instructions:
    instructions per face on emulated cores, of the file and the float file (None without one), by core; empty if not
    measured. compressed: size in bytes after gzip. one_view: figures without the mirror image, where all others are
    means over face and mirror image; else empty.
    """

    primary: str
    precision: str
    rows: Sequence[Row]
    not_run: Mapping[str, str]
    size: int
    compressed: int
    float_size: int | None
    jitter: float
    affect: Sequence[Affect]
    instructions: Mapping[str, tuple[float, float | None]]
    one_view: Sequence[Figures]

    @property
    def mirror(self) -> bool:
        """True if outputs are means over each face and its mirror image."""
        return bool(self.one_view)

    @property
    def views(self) -> int:
        """Number of views per face: 2 with its mirror image, else 1."""
        return 2 if self.mirror else 1

    @property
    def float_row(self) -> Row:
        """Row of the float network in Keras."""
        return self.rows[0]

    @property
    def shipped(self) -> Row:
        """Row of the file in the interpreter that the setting `auto` chooses."""
        return next(row for row in self.rows[1:] if row.precision == self.precision and row.faces is None)

    def temperature(self, head: str) -> float:
        """Temperature of a head's logits in the file."""
        found = [figure.temperature for figure in self.shipped.figures if figure.head == head]
        return found[0] if found and found[0] is not None else 1.0


def measure(
    model: Path,
    source: Source,
    data: Dataset,
    splits: Sequence[str],
    primary: str,
    float_file: bytes | None = None,
    precision: str = "int8",
    arm: bool = False,
    mirror: bool = False,
) -> Measured:
    """Run a model file and its float network over splits of a data set.

    Args:
        model: The .tflite file.
        source: The float run.
        data: The data set.
        splits: Splits to measure; PublicTest is always added, since temperatures are fitted on it.
        primary: The primary head.
        float_file: The same network as a float TFLite file, to compare in the same interpreter.
        precision: Precision of the file: int8, float32, float16 or dynamic.
        arm: True also measures under emulated aarch64, on EMULATED_FACES faces, and counts instructions, which takes
            minutes; failures are listed in `not_run`.
        mirror: Average over each face and its mirror image; times and instructions are of both.

    Raises:
        EmotionEdgeError: The file or an interpreter is missing, or the file does not have the network's outputs.
    """
    if primary not in source.heads:
        raise EmotionEdgeError(f"{model}: its card's primary output, {primary}, is none of {sorted(source.heads)}")
    parts = {split: from_disk(data.part(split)) for split in dict.fromkeys([VALIDATION, *splits])}
    images = np.concatenate([part.pixels for part in parts.values()])
    views = 2 if mirror else 1
    comparison = _Comparison(parts, with_flip(partial(predict, source.network), images, mirror), primary)
    rows = [comparison.row("float32", f"keras {keras.__version__}", comparison.float_outputs, None)]
    float_size = None
    if float_file is not None:
        name = next(iter(installed()))
        with _as_file(float_file) as path:
            run = _run(name, path, images, mirror)
        rows.append(comparison.row("float32", f"{name} {run.version}", run.outputs, run.milliseconds))
        float_size = len(float_file)
    runs = {name: _run(name, model, images, mirror) for name in installed()}
    for name, run in runs.items():
        if set(run.outputs) != set(source.heads):
            raise EmotionEdgeError(f"{model}: has outputs {sorted(run.outputs)}, the run {sorted(source.heads)}")
        rows.append(comparison.row(precision, f"{name} {run.version}", run.outputs, run.milliseconds))
    not_run: dict[str, str] = {}
    counted: dict[str, tuple[float, float | None]] = {}
    where = f"emulated aarch64 ({EMULATED_CPU})"
    if reason := missing() if arm else "not asked for (--arm)":
        not_run[where] = reason
    else:
        try:
            counted = {cpu: _instructions(model, float_file, cpu, views) for cpu in CPUS}
            rows.append(_emulated_row(model, comparison, precision, where, mirror))
        except EmotionEdgeError as error:
            # A failure of the emulation must not discard a file that may have taken a long training.
            not_run[where], counted = str(error), {}
    name, best = next(iter(runs.items()))
    last = list(parts)[-1]
    return Measured(
        primary,
        precision,
        rows,
        not_run,
        *_sizes(model),
        float_size,
        _jitter(model, parts[last], last, primary, mirror),
        _affect(best.outputs, comparison, data.affect_derived),
        counted,
        comparison.row(precision, name, run_in(name, model, images).outputs, None).figures if mirror else (),
    )


def sized(measured: Measured, model: Path) -> Measured:
    """Update the file sizes in the figures, after the card was embedded in the file."""
    size, compressed = _sizes(model)
    return replace(measured, size=size, compressed=compressed)


def _sizes(model: Path) -> tuple[int, int]:
    content = model.read_bytes()
    return len(content), len(gzip.compress(content, 9))


def _run(runtime: str, path: Path, images: npt.NDArray[np.uint8], mirror: bool, cpu: str = "") -> Run:
    """Run a file like `run_in`; if `mirror`, average the outputs over both views and sum their times."""
    runs: list[Run] = []

    def run(faces: npt.NDArray[np.uint8]) -> Outputs:
        runs.append(run_in(runtime, path, faces, cpu))
        return runs[-1].outputs

    outputs = with_flip(run, images, mirror)
    return replace(runs[0], outputs=outputs, milliseconds=sum(run.milliseconds for run in runs))


@dataclass(frozen=True, slots=True)
class _Comparison:
    """The float network's outputs, with which others are compared.

    parts: faces by split, in the order of their images. float_outputs: the float network's outputs for all of them.
    """

    parts: Mapping[str, Dataset]
    float_outputs: Outputs
    primary: str

    def places(self) -> dict[str, slice]:
        ends = np.cumsum([len(part) for part in self.parts.values()])
        return {name: slice(end - len(part), end) for (name, part), end in zip(self.parts.items(), ends, strict=True)}

    def row(self, precision: str, runtime: str, outputs: Outputs, milliseconds: float | None) -> Row:
        """The table row of one interpreter and precision, measured over all faces."""
        cut = {split: {head: v[place] for head, v in outputs.items()} for split, place in self.places().items()}
        fitted = temperatures(cut[VALIDATION], self.parts[VALIDATION])
        found = [f for split, part in self.parts.items() for f in figures(cut[split], part, split, fitted)]
        return Row(precision, runtime, found, *self.against(outputs, self.float_outputs), milliseconds)

    def against(self, outputs: Outputs, float_outputs: Outputs) -> tuple[dict[str, float], dict[str, LogitError]]:
        """Compare outputs with the float network's; returns agreement and errors by head."""
        part = next(iter(self.parts.values()))
        same, errors = {}, {}
        for head, reference in float_outputs.items():
            apart = np.abs(outputs[head] - reference)
            names = ("valence", "arousal") if head == AFFECT else _names(part, head, reference.shape[1])
            errors[head] = LogitError(names, apart.max(axis=0), apart.mean(axis=0))
            if head != AFFECT:
                same[head] = float(np.mean(outputs[head].argmax(axis=1) == reference.argmax(axis=1)))
        return same, errors


def _names(part: Dataset, head: str, classes: int) -> tuple[str, ...]:
    return part.labels[head].names if head in part.labels else tuple(str(place) for place in range(classes))


def _instructions(model: Path, float_file: bytes | None, cpu: str, views: int) -> tuple[float, float | None]:
    if float_file is None:
        return views * instructions(model, cpu), None
    with _as_file(float_file) as path:
        return views * instructions(model, cpu), views * instructions(path, cpu)


@contextmanager
def _as_file(content: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / MODEL_FILE
        path.write_bytes(content)
        yield path


def _emulated_row(model: Path, comparison: _Comparison, precision: str, where: str, mirror: bool) -> Row:
    """Run the file under emulation, a thousand times slower than a real core, on some faces of the last split."""
    split, part = list(comparison.parts.items())[-1]
    chosen = np.random.default_rng(0).permutation(len(part))[:EMULATED_FACES]
    run = _run("ai-edge-litert", model, part.pixels[chosen], mirror, EMULATED_CPU)
    place = comparison.places()[split]
    reference = {head: values[place][chosen] for head, values in comparison.float_outputs.items()}
    found = figures(run.outputs, part.take(chosen), split, dict.fromkeys(reference, 1.0))
    same, errors = comparison.against(run.outputs, reference)
    return Row(precision, f"ai-edge-litert {run.version}, {where}", found, same, errors, None, len(chosen))


def _jitter(model: Path, part: Dataset, split: str, primary: str, mirror: bool) -> float:
    """Accuracy of the primary head on crops displaced by jitter, in the interpreter that `auto` chooses."""
    shaken = moved(part.pixels, moves(len(part), seed=0))
    outputs = _run(next(iter(installed())), model, shaken, mirror).outputs
    found = figures({primary: outputs[primary]}, part, split, {primary: 1.0})
    return found[0].accuracy if found else float("nan")


def _affect(outputs: Outputs, comparison: _Comparison, derived: bool) -> list[Affect]:
    if AFFECT not in outputs:
        return []
    found = []
    for split, place in comparison.places().items():
        true = comparison.parts[split].affect
        if true is None:
            continue
        known = ~np.isnan(true).any(axis=1)
        predicted, wanted = np.clip(outputs[AFFECT][place][known], -1, 1), true[known]
        pairs = [(predicted[:, axis], wanted[:, axis]) for axis in (0, 1)]
        valence, arousal = ((concordance(*pair), rmse(*pair)) for pair in pairs)
        found.append(Affect(split, int(known.sum()), (valence[0], arousal[0]), (valence[1], arousal[1]), derived))
    return found
