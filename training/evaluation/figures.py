"""Figures of a network on the splits of a data set, each with its protocol."""

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError
from training.backend import devices
from training.config import AFFECT, NETWORK_FILE
from training.datasets.dataset import Dataset, Labels, source_of
from training.datasets.disk_images import DiskImages
from training.datasets.fer2013 import NAME as FER2013
from training.evaluation.metrics import (
    ENOUGH,
    Counts,
    Floats,
    Interval,
    Logits,
    bootstrap,
    confusion,
    fit_temperature,
    macro_f1,
    matrix_accuracy,
    recall,
    reliability,
    softmax,
    wilson,
)
from training.evaluation.metrics import Labels as Indices
from training.networks.bit_m_r50x1 import standardized_conv2d

Outputs = Mapping[str, Logits]

CHUNK = 128 * 2**20
"""Most bytes of float32 images passed to a network at a time."""

PROTOCOLS: Mapping[str, Mapping[str, str]] = {
    FER2013: {
        "fer7": "label of fer2013.csv, 7 classes, every row of the split",
        # PrivateTest has 3,152 faces with a majority, and 3,153 if row 33200 is included.
        "ferplus8": "FER+ majority (Barsoum et al. 2016): single votes dropped, then rows where one of the 8 emotions "
        "has more than half of the votes left, without row 33200 (not the pixels that were voted on)",
    }
}
"""Which faces are scored and what their true label is, by data set and label set; only where a specific text is
known.
"""

SEEN: Mapping[int, str] = {
    1: "one view of each image",
    2: "the mean of each image and its mirror image",
    0: "each image once, or with its mirror image where a network's card sets `mirror`",
}
"""Description of how images are fed to the networks, by the number of views; 0: the networks differ."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of one head on one split.

    head: name of its label set. labels: names of its classes. rows: number of faces that count under the protocol.
    accuracy, macro_f1: 0 to 1, with 95% intervals: Wilson's, and by bootstrap over the faces. recall: by label.
    confusion: counts, int64 [true, predicted]. temperature: fitted on PublicTest; 1 for a committee, which has none,
    and where PublicTest has fewer than ENOUGH faces. calibration: expected calibration error before and after applying
    the temperature, 0 to 1.
    """

    head: str
    labels: tuple[str, ...]
    split: str
    rows: int
    accuracy: float
    accuracy_interval: Interval
    macro_f1: float
    macro_f1_interval: Interval
    recall: Mapping[str, float]
    confusion: Counts
    temperature: float
    calibration: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Predictions:
    """Predictions for n faces.

    labels: int64 [n]. raw: probability of the label without temperature, float64 [n], 0 to 1. confidence: the same with
    the temperature applied.
    """

    labels: Indices
    raw: Floats
    confidence: Floats

    def take(self, index: npt.NDArray[Any]) -> "Predictions":
        """The predictions of the faces at an index array or under a boolean mask."""
        return Predictions(self.labels[index], self.raw[index], self.confidence[index])


def protocol(label_set: str, data_set: str, views: int = 1) -> str:
    """Describe how a data set is scored under a label set: which faces count, their true label, and views per face.

    Args:
        label_set: Name of the label set.
        data_set: Name of the data set.
        views: 2 if the mean over an image and its mirror image is evaluated, 1 if not, 0 if the networks differ.
    """
    source = source_of(data_set)
    own = f"the data set's own label under {label_set}, every face that has one"
    described = PROTOCOLS.get(source, {}).get(label_set, own)
    kept = "" if source == data_set else "; of these the faces that `emotion-train prepare` kept, in its splits"
    return f"{described}{kept}, {SEEN[views]}"


def load_network(run: Path) -> Any:
    """Load the selected float network of a run. Raises EmotionEdgeError if it is missing or unreadable."""
    path = run / NETWORK_FILE
    if not path.is_file():
        raise EmotionEdgeError(f"{path}: not there; train it first with `emotion-train fit`")
    return read_network(path)


def save_network(network: Any, run: Path) -> Path:
    """Write the network of a run atomically; returns its path."""
    partial = run / f"partial-{NETWORK_FILE}"
    network.save(partial)
    return partial.replace(run / NETWORK_FILE)


def read_network(path: Path) -> Any:
    """Load a Keras model without compiling it. Raises EmotionEdgeError if Keras cannot read the file."""
    if path.suffix == ".keras" and not zipfile.is_zipfile(path):  # Keras would say that the file is missing
        raise EmotionEdgeError(f"{path}: Keras cannot read it: it is no .keras file, or not a whole one")
    standardized_conv2d()
    try:
        return keras.models.load_model(path, compile=False)
    except (ValueError, OSError, KeyError, TypeError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise EmotionEdgeError(f"{path}: Keras cannot read it: {reason}") from error


def predict(network: Any, images: npt.NDArray[np.uint8] | DiskImages, mirror: bool = False) -> dict[str, Logits]:
    """Logits of each head, [n, classes], for images uint8 [n, h, w] or [n, h, w, 3] of the network's size, or for their
    mirror images.

    Images are converted to float32 in parts of at most CHUNK bytes.
    """
    size = 4 * int(np.prod(images.shape[1:]))
    sharers = devices()
    batch = -(-int(np.clip(CHUNK // size, 16, 512)) // sharers) * sharers
    chunk = max(CHUNK // size // batch, 1) * batch
    found: dict[str, list[Logits]] = {}
    for start in range(0, max(len(images), 1), chunk):
        part = images[start : start + chunk]
        part = part[..., None] if part.ndim == 3 else part
        part = part[:, :, ::-1] if mirror else part
        count = len(part)
        if count % sharers:  # every device must get equally many images
            part = np.concatenate([part, np.repeat(part[-1:], sharers - count % sharers, axis=0)])
        outputs = network.predict(part / np.float32(255), batch_size=batch, verbose=0)
        for head, values in outputs.items():
            found.setdefault(head, []).append(np.asarray(values)[:count])
    return {head: np.concatenate(values) for head, values in found.items()}


def figures_of(
    predictions: Predictions, true: Indices, head: str, labels: tuple[str, ...], split: str, temperature: float
) -> Figures:
    """Compute the figures of n predictions.

    Args:
        predictions: Predicted labels and probabilities of n faces.
        true: True labels, int64 [n], each 0 or more.
        head: Name of the label set.
        labels: Names of the classes.
        split: Name of the split.
        temperature: Temperature that was applied to the logits.
    """
    matrix = confusion(predictions.labels, true, len(labels))
    right = predictions.labels == true
    return Figures(
        head,
        labels,
        split,
        len(true),
        float(matrix_accuracy(matrix)),
        wilson(int(np.trace(matrix)), len(true)),
        float(macro_f1(matrix)),
        bootstrap(matrix, macro_f1),
        dict(zip(labels, recall(matrix).tolist(), strict=True)),
        matrix,
        temperature,
        (reliability(predictions.raw, right).error, reliability(predictions.confidence, right).error),
    )


def too_few(figures: Figures) -> str:
    """Return a warning if the figures are of fewer than ENOUGH faces, else ""."""
    if figures.rows >= ENOUGH:
        return ""
    low, high = figures.accuracy_interval
    return (
        f"Only {figures.rows} faces of {figures.split} count under {figures.head}: too few to judge a network by. "
        f"{np.trace(figures.confusion)} right of {figures.rows} may be {low:.0%} to {high:.0%} on other faces. Add "
        f"photographs of other people; {ENOUGH} faces or more say something."
    )


def figures(outputs: Outputs, part: Dataset, split: str, temperatures: Mapping[str, float]) -> list[Figures]:
    """Compute the figures of each head for whose label set the data set has labels, on one split."""
    found = []
    for head, labels in judged_heads(outputs, part):
        counts = labels.judged >= 0
        logits, true = outputs[head][counts], labels.judged[counts]
        raw, calibrated = softmax(logits), softmax(logits, temperatures[head])
        predictions = Predictions(np.asarray(logits.argmax(axis=1), np.int64), raw.max(axis=1), calibrated.max(axis=1))
        found.append(figures_of(predictions, true, head, labels.names, split, temperatures[head]))
    return found


def temperatures(outputs: Outputs, part: Dataset) -> dict[str, float]:
    """Fit the temperature of each head on a split, which must be PublicTest; 1 for a head without labels in it."""
    found = {head: 1.0 for head in outputs if head != AFFECT}
    for head, labels in judged_heads(outputs, part):
        counts = labels.judged >= 0
        found[head] = fit_temperature(outputs[head][counts], labels.judged[counts])
    return found


def judged_heads(outputs: Outputs, part: Dataset) -> Iterator[tuple[str, Labels]]:
    """Yield the heads for whose label set the data set has labels, with these labels."""
    for head in outputs:
        if head in part.labels and (part.labels[head].judged >= 0).any():
            yield head, part.labels[head]
