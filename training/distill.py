"""Soft labels: what a teacher, or a committee of them, says of the training faces. Made once and kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError
from training.config import AFFECT
from training.datasets.dataset import Dataset
from training.evaluate import fitting, load_network, predict
from training.scores import softmax

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SoftLabels:
    """rows: int64 [n], of the data set's Training split. heads: probabilities float32 [n, classes] by label set."""

    path: Path
    rows: npt.NDArray[np.int64]
    heads: dict[str, Floats]

    def of(self, training: Dataset) -> dict[str, Floats]:
        """The probabilities of the faces of a Training split, in its order. Raises EmotionEdgeError where one is
        missing.
        """
        places = {int(row): place for place, row in enumerate(self.rows)}
        missing = [int(row) for row in training.rows if int(row) not in places]
        if missing:
            raise EmotionEdgeError(
                f"{self.path}: no soft labels of {len(missing)} training faces (row {missing[0]}, ...): made of other "
                "data; make them again with `emotion-train distill`"
            )
        order = np.array([places[int(row)] for row in training.rows])
        return {head: values[order] for head, values in self.heads.items()}


def distill(runs: Sequence[Path], data: Dataset, path: Path) -> None:
    """Write the probabilities of one run, or the mean of several, for each Training face: the mean of those for the
    image and for its mirror image. Raises EmotionEdgeError where a run is not finished or no label set is common.
    """
    training = data.part("Training")
    views = []
    for run in runs:
        network = load_network(run)
        images = fitting(network, training).pixels
        for view in (images, images[:, :, ::-1]):
            outputs = predict(network, np.ascontiguousarray(view))
            views.append({head: _softmax(values) for head, values in outputs.items() if head != AFFECT})
    _write(path, training.rows, views)


def _softmax(logits: npt.NDArray[Any]) -> Floats:
    return softmax(logits).astype(np.float32)


def _write(path: Path, rows: npt.NDArray[np.int64], views: Sequence[dict[str, Floats]]) -> None:
    """Write the mean over views of probabilities [n, classes] by head; of the heads that every view has.

    A probability is a byte, 255 for 1: finer than a teacher is sure of, and a file small enough to pass on.
    """
    heads = [head for head in views[0] if all(head in view for view in views)]
    if not heads:
        raise EmotionEdgeError("distill: the teachers have no label set in common")
    path.parent.mkdir(parents=True, exist_ok=True)
    means = {head: np.mean([view[head] for view in views], axis=0) for head in heads}
    arrays = {head: np.rint(255 * mean).astype(np.uint8) for head, mean in means.items()}
    np.savez_compressed(path, rows=rows.astype(np.int32), **arrays)


def read_soft_labels(path: Path) -> SoftLabels:
    """Raises EmotionEdgeError for a file that is missing or has no rows."""
    try:
        with np.load(path) as arrays:
            heads = {name: arrays[name].astype(np.float32) for name in arrays.files if name != "rows"}
            normal = {head: values / values.sum(axis=1, keepdims=True) for head, values in heads.items()}
            return SoftLabels(path, arrays["rows"].astype(np.int64), normal)
    except FileNotFoundError:
        raise EmotionEdgeError(f"{path}: not there; make it with `emotion-train distill`") from None
    except (KeyError, ValueError, OSError) as error:
        raise EmotionEdgeError(f"{path}: no file of soft labels: {error}") from None
