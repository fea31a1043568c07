"""Figures of a network on the splits of a data set, each with its protocol."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError
from training.datasets.dataset import Dataset, Labels
from training.datasets.pixels import in_memory
from training.scores import Logits, accuracy, calibration_error, confusion, fit_temperature, macro_f1, recall

Outputs = Mapping[str, Logits]

NETWORK_FILE = "network.keras"
"""In the folder of a run: the chosen float network."""

AFFECT = "affect"
"""The head that says valence and arousal instead of a label."""

PROTOCOLS: Mapping[str, str] = {
    "fer7": "label of fer2013.csv, 7 classes, every row of the split, one view of each image",
    "ferplus8": "FER+ majority (Barsoum et al. 2016): single votes dropped, then rows where one of the 8 emotions has "
    "more than half of the votes left",
}


@dataclass(frozen=True, slots=True)
class Figures:
    """What one head does on one split.

    head: its label set. labels: the names of its classes. rows: how many count under the protocol. accuracy, macro_f1:
    0 to 1. recall: by label. confusion: int64 [true, predicted]. temperature: fitted on PublicTest. calibration:
    expected calibration error before and after that temperature, 0 to 1.
    """

    head: str
    labels: tuple[str, ...]
    split: str
    rows: int
    accuracy: float
    macro_f1: float
    recall: Mapping[str, float]
    confusion: npt.NDArray[np.int64]
    temperature: float
    calibration: tuple[float, float]


def protocol(label_set: str) -> str:
    """Which faces count under a label set and what their true label is, in words."""
    return PROTOCOLS.get(label_set, f"the data set's own label under {label_set}, every face that has one")


def load_network(run: Path) -> Any:
    """The chosen float network of a run. Raises EmotionEdgeError where there is none."""
    path = run / NETWORK_FILE
    if not path.is_file():
        raise EmotionEdgeError(f"{path}: not there; train it first with `emotion-train fit`")
    return keras.models.load_model(path, compile=False)


def fitting(network: Any, data: Dataset) -> Dataset:
    """The data set with its images in the size and the channels of a network."""
    _, height, width, channels = network.input_shape
    return in_memory(data, height, width, channels)


def predict(network: Any, images: npt.NDArray[np.uint8]) -> dict[str, Logits]:
    """What each head gives, [n, classes], for images uint8 [n, h, w] or [n, h, w, 3] of the network's size."""
    if images.ndim == 3:
        images = images[..., None]
    outputs = network.predict(images / np.float32(255), batch_size=512, verbose=0)
    return {head: np.asarray(values) for head, values in outputs.items()}


def figures(outputs: Outputs, part: Dataset, split: str, temperatures: Mapping[str, float]) -> list[Figures]:
    """Figures of each head that the data set has labels for, on one split."""
    found = []
    for head, labels in judged_heads(outputs, part):
        counts = labels.judged >= 0
        logits, true = outputs[head][counts], labels.judged[counts]
        matrix = confusion(logits, true)
        temperature = temperatures[head]
        found.append(
            Figures(
                head,
                labels.names,
                split,
                len(true),
                accuracy(logits, true),
                macro_f1(matrix),
                dict(zip(labels.names, recall(matrix).tolist(), strict=True)),
                matrix,
                temperature,
                (calibration_error(logits, true), calibration_error(logits, true, temperature)),
            )
        )
    return found


def temperatures(outputs: Outputs, part: Dataset) -> dict[str, float]:
    """The temperature of each head fitted on a split: PublicTest, and no other. 1 where it has no labels for it."""
    found = {head: 1.0 for head in outputs if head != AFFECT}
    for head, labels in judged_heads(outputs, part):
        counts = labels.judged >= 0
        found[head] = fit_temperature(outputs[head][counts], labels.judged[counts])
    return found


def judged_heads(outputs: Outputs, part: Dataset) -> Iterator[tuple[str, Labels]]:
    """The heads that can be judged on a data set: those with a label set of its own that says something."""
    for head in outputs:
        if head in part.labels and (part.labels[head].judged >= 0).any():
            yield head, part.labels[head]


def evaluate_run(run: Path, data: Dataset, splits: Sequence[str] = ("PublicTest",)) -> list[Figures]:
    """Figures of a run's float network; the temperature is fitted on PublicTest whatever the splits are."""
    network = load_network(run)
    data = fitting(network, data)
    fitted = temperatures(predict(network, data.part("PublicTest").pixels), data.part("PublicTest"))
    found = []
    for split in splits:
        part = data.part(split)
        found += figures(predict(network, part.pixels), part, split, fitted)
    return found


def report(found: Sequence[Figures]) -> str:
    """The figures as text, one block a head and split."""
    return "\n\n".join(_block(figure) for figure in found)


def _block(figure: Figures) -> str:
    lines = [
        f"{figure.split}, {figure.head}: accuracy {figure.accuracy:.2%}, macro-F1 {figure.macro_f1:.2%}, "
        f"n={figure.rows}",
        f"  protocol: {protocol(figure.head)}",
        f"  calibration error {figure.calibration[0]:.3f}, {figure.calibration[1]:.3f} at temperature "
        f"{figure.temperature:.3f}",
        "  " + " " * 10 + "recall" + "".join(f"{label[:7]:>9}" for label in figure.labels) + "   (columns: predicted)",
    ]
    for label, row in zip(figure.labels, figure.confusion, strict=True):
        lines.append(f"  {label:<10}{figure.recall[label]:>6.1%}" + "".join(f"{count:>9}" for count in row))
    return "\n".join(lines)
