"""A model file against the float network it came from: the same images, the same figures, every interpreter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.card import MODEL_FILE
from edge.runtime import installed
from quantize.interpreters import run_everywhere
from training.datasets.dataset import Dataset
from training.evaluate import Figures, figures, load_network, predict, temperatures

FLOAT = "keras"


@dataclass(frozen=True, slots=True)
class Measured:
    """figures: by `keras` (float) or the interpreter's name (int8), of each split and head. agreement: part of the
    images of all splits whose fer7 label is the float network's, by interpreter. milliseconds: one image, one thread,
    by interpreter. size: of the file, bytes.
    """

    figures: Mapping[str, Sequence[Figures]]
    agreement: Mapping[str, float]
    milliseconds: Mapping[str, float]
    size: int

    def temperature(self, head: str) -> float:
        """The temperature of the int8 logits of a head."""
        return next(figure.temperature for figure in self.int8 if figure.head == head)

    @property
    def int8(self) -> Sequence[Figures]:
        """The figures in the interpreter that `auto` takes."""
        return self.figures[next(name for name in installed() if name in self.figures)]


def measure(folder: Path, run: Path, data: Dataset, splits: Sequence[str]) -> Measured:
    """Run folder/model.tflite and the run's float network over the splits.

    PublicTest is always among them, because the temperatures are fitted on it. Raises EmotionEdgeError where the run,
    the file or an interpreter is missing.
    """
    parts = {split: data.part(split) for split in dict.fromkeys(["PublicTest", *splits])}
    images = np.concatenate([part.images for part in parts.values()])
    outputs = {FLOAT: predict(load_network(run), images)}
    runs = run_everywhere(folder / MODEL_FILE, images)
    outputs |= {name: dict(found.outputs) for name, found in runs.items()}
    ends = np.cumsum([len(part) for part in parts.values()])
    places = {split: slice(end - len(part), end) for (split, part), end in zip(parts.items(), ends, strict=True)}
    found: dict[str, list[Figures]] = {}
    for name, logits in outputs.items():
        cut = {split: {head: values[place] for head, values in logits.items()} for split, place in places.items()}
        fitted = temperatures(cut["PublicTest"], parts["PublicTest"])
        found[name] = [f for split, part in parts.items() for f in figures(cut[split], part, split, fitted)]
    labels = {name: logits["fer7"].argmax(axis=1) for name, logits in outputs.items()}
    return Measured(
        found,
        {name: float(np.mean(labels[name] == labels[FLOAT])) for name in runs},
        {name: run.milliseconds for name, run in runs.items()},
        (folder / MODEL_FILE).stat().st_size,
    )


def table(measured: Measured) -> str:
    """One table: a line for the float network and for each interpreter."""
    heads = [(figure.split, figure.head) for figure in measured.figures[FLOAT]]
    names = [f"{split.removesuffix('Test')} {head}" for split, head in heads]
    fastest = min(measured.milliseconds.values())
    lines = [f"{'':<24}" + "".join(f"{name:>18}" for name in names) + f"{'same label':>13}{'time':>8}"]
    for name, found in measured.figures.items():
        cells = "".join(f"{figure.accuracy:>18.2%}" for figure in found)
        title = "float32, keras" if name == FLOAT else f"int8, {name}"
        rest = (
            "" if name == FLOAT else f"{measured.agreement[name]:>13.2%}{measured.milliseconds[name] / fastest:>7.1f}x"
        )
        lines.append(f"{title:<24}{cells}{rest}")
    milliseconds = ", ".join(f"{name} {value:.2f}" for name, value in measured.milliseconds.items())
    lines.append(f"{measured.size:,} bytes; milliseconds an image, one thread, this machine: {milliseconds}")
    return "\n".join(lines)
