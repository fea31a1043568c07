"""Figures of a network on the splits of a data set, each with its protocol."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError
from edge.labels import LABEL_SETS
from training.datasets.dataset import Dataset
from training.fit import NETWORK_FILE
from training.scores import Logits, accuracy, calibration_error, confusion, fit_temperature, macro_f1, recall

Outputs = Mapping[str, Logits]

PROTOCOLS: Mapping[str, str] = {
    "fer7": "label of fer2013.csv, 7 classes, every row of the split, one view of each image",
    "ferplus8": "FER+ majority (Barsoum et al. 2016): single votes dropped, then rows where one of the 8 emotions has "
    "more than half of the votes left",
}


@dataclass(frozen=True, slots=True)
class Figures:
    """What one head does on one split.

    head: `fer7` or `ferplus8`. rows: how many count under the protocol. accuracy, macro_f1: 0 to 1. recall: by label.
    confusion: int64 [true, predicted]. temperature: fitted on PublicTest. calibration: expected calibration error
    before and after that temperature, 0 to 1.
    """

    head: str
    split: str
    rows: int
    accuracy: float
    macro_f1: float
    recall: Mapping[str, float]
    confusion: npt.NDArray[np.int64]
    temperature: float
    calibration: tuple[float, float]


def load_network(run: Path) -> Any:
    """The chosen float network of a run. Raises EmotionEdgeError where there is none."""
    path = run / NETWORK_FILE
    if not path.is_file():
        raise EmotionEdgeError(f"{path}: not there; train it first with `emotion-train fit`")
    return keras.models.load_model(path, compile=False)


def predict(network: Any, images: npt.NDArray[np.uint8]) -> dict[str, Logits]:
    """Logits of each head for grey images uint8 [n, 48, 48]."""
    outputs = network.predict(images[..., None] / np.float32(255), batch_size=512, verbose=0)
    return {head: np.asarray(logits) for head, logits in outputs.items()}


def figures(outputs: Outputs, part: Dataset, split: str, temperatures: Mapping[str, float]) -> list[Figures]:
    """Figures of each head on one split; of ferplus8 only where the data set has votes."""
    found = []
    for head, rows, labels in _judged(part):
        logits = outputs[head][rows]
        matrix = confusion(logits, labels)
        temperature = temperatures[head]
        found.append(
            Figures(
                head,
                split,
                len(labels),
                accuracy(logits, labels),
                macro_f1(matrix),
                dict(zip(LABEL_SETS[head], recall(matrix).tolist(), strict=True)),
                matrix,
                temperature,
                (calibration_error(logits, labels), calibration_error(logits, labels, temperature)),
            )
        )
    return found


def temperatures(outputs: Outputs, part: Dataset) -> dict[str, float]:
    """The temperature of each head fitted on a split: PublicTest, and no other."""
    found = dict.fromkeys(outputs, 1.0)
    for head, rows, labels in _judged(part):
        found[head] = fit_temperature(outputs[head][rows], labels)
    return found


def evaluate_run(run: Path, data: Dataset, splits: Sequence[str] = ("PublicTest",)) -> list[Figures]:
    """Figures of a run's float network; the temperature is fitted on PublicTest whatever the splits are."""
    network = load_network(run)
    fitted = temperatures(predict(network, data.part("PublicTest").images), data.part("PublicTest"))
    found = []
    for split in splits:
        part = data.part(split)
        found += figures(predict(network, part.images), part, split, fitted)
    return found


def report(found: Sequence[Figures]) -> str:
    """The figures as text, one block a head and split."""
    return "\n\n".join(_block(figure) for figure in found)


def _judged(part: Dataset) -> list[tuple[str, npt.NDArray[np.bool_], npt.NDArray[np.int64]]]:
    """Head, mask of the rows that count under its protocol, and their labels."""
    judged = [("fer7", np.ones(len(part), np.bool_), part.labels)]
    if part.majority is not None:
        decided = part.majority >= 0
        judged.append(("ferplus8", decided, part.majority[decided]))
    return judged


def _block(figure: Figures) -> str:
    labels = LABEL_SETS[figure.head]
    lines = [
        f"{figure.split}, {figure.head}: accuracy {figure.accuracy:.2%}, macro-F1 {figure.macro_f1:.2%}, "
        f"n={figure.rows}",
        f"  protocol: {PROTOCOLS[figure.head]}",
        f"  calibration error {figure.calibration[0]:.3f}, {figure.calibration[1]:.3f} at temperature "
        f"{figure.temperature:.3f}",
        "  " + " " * 10 + "recall" + "".join(f"{label[:7]:>9}" for label in labels) + "   (columns: predicted)",
    ]
    for label, row in zip(labels, figure.confusion, strict=True):
        lines.append(f"  {label:<10}{figure.recall[label]:>6.1%}" + "".join(f"{count:>9}" for count in row))
    return "\n".join(lines)
