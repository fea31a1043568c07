"""Soft labels: class probabilities of a teacher or a committee for the training faces, computed once and stored."""

import logging
import zipfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError
from training.config import AFFECT
from training.datasets.dataset import SPLITS, TRAINING, VALIDATION, Dataset
from training.datasets.disk_images import DiskImages
from training.datasets.pixels import fingerprints, in_memory, in_memory_or_on_disk
from training.evaluation.figures import load_network, predict
from training.evaluation.jitter import moved, moves
from training.evaluation.members import open_members
from training.evaluation.metrics import accuracy, softmax

Floats = npt.NDArray[np.float32]
Probabilities = npt.NDArray[np.floating[Any]]

# Keys of a soft label file that are not names of heads.
_FACTS = ("rows", "data_set", "prints")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SoftLabels:
    """Soft labels as stored in a file.

    rows: int64 [n], rows of the Training split of the data set. heads: probabilities float32 [n, classes] by label set.
    data_set: name of the data set, "" in files of an older format. prints: `pixels.fingerprints` of the faces, uint32
    [n], or None in files of an older format.
    """

    path: Path
    rows: npt.NDArray[np.int64]
    heads: dict[str, Floats]
    data_set: str = ""
    prints: npt.NDArray[np.uint32] | None = None

    def of(self, training: Dataset, data: Dataset) -> dict[str, Floats]:
        """Look up the probabilities of the faces of a Training split, in its order.

        Args:
            training: The Training split.
            data: Its data set with unmodified images; faces are also compared by fingerprint, as any
                data set has rows of these numbers.

        Raises:
            EmotionEdgeError: A face is missing or differs.
        """
        places = {int(row): place for place, row in enumerate(self.rows)}
        made = f"made of {f'{self.data_set}, not of {data.name} as it is here' if self.data_set else 'other data'}"
        missing = [int(row) for row in training.rows if int(row) not in places]
        if missing:
            raise EmotionEdgeError(
                f"{self.path}: no soft labels of {len(missing)} training faces (row {missing[0]}, ...): {made}; make "
                "them again with `emotion-train distill`"
            )
        order = np.array([places[int(row)] for row in training.rows])
        if self.prints is None:
            _log.warning("%s: has no fingerprints of its faces; they are matched by row number alone", self.path)
        else:
            source = data.take(np.isin(data.rows, training.rows))
            seen = dict(zip(source.rows.tolist(), fingerprints(source).tolist(), strict=True))
            others = [
                row for row, kept in zip(training.rows.tolist(), self.prints[order].tolist(), strict=True)
                if seen[row] != kept
            ]  # fmt: skip
            if others:
                raise EmotionEdgeError(
                    f"{self.path}: {len(others)} of {len(order)} training faces are others (row {others[0]}, ...): "
                    f"{made}; make them again with `emotion-train distill`"
                )
        return {head: values[order] for head, values in self.heads.items()}

    def check_heads(self, heads: Iterable[str]) -> None:
        """Check that these soft labels cover the heads of a network; logs a warning for each head that they lack."""
        check_heads(str(self.path), self.heads, heads)


def distill(runs: Sequence[Path], data: Dataset, path: Path) -> dict[str, float]:
    """Write the soft labels of the Training faces: the mean over runs, and over each image and its mirror image.

    Returns the accuracy of that mean on PublicTest, 0 to 1, for each label set with labels there. Raises
    EmotionEdgeError if a run is not finished or the runs have no label set in common.
    """
    splits = [TRAINING, *([VALIDATION] if np.any(data.split == SPLITS.index(VALIDATION)) else [])]
    parts = {split: data.part(split) for split in splits}
    read: dict[str, Dataset] = {}
    views: dict[str, list[dict[str, Floats]]] = {split: [] for split in splits}
    for run in runs:
        network = load_network(run)
        for split, part in parts.items():
            height, width, channels = network.input_shape[1:]
            read[split] = in_memory_or_on_disk(part, height, width, channels, path.parent)
            images = read[split].images
            assert not isinstance(images, tuple)
            views[split] += [_probabilities(network, images, mirror) for mirror in (False, True)]
    training = parts[TRAINING]
    _write(path, training.take(np.isin(training.rows, read[TRAINING].rows)), means(views[TRAINING]))
    if VALIDATION not in read:
        return {}
    mean = means(views[VALIDATION])
    judged = {head: labels.judged for head, labels in read[VALIDATION].labels.items() if np.any(labels.judged >= 0)}
    return {head: accuracy(found, judged[head]) for head, found in mean.items() if head in judged}


def distill_unlabelled(
    teachers: Sequence[Path], faces: Dataset, labelled: Dataset, path: Path, balance: float
) -> dict[str, dict[str, int]]:
    """Write the mean of the teachers' probabilities for faces without labels.

    Each face is evaluated as it is and with a box displaced like a detector's, both also mirrored.

    Args:
        teachers: Folders of runs, released models or a committee.
        faces: The faces, all in Training.
        labelled: Data set that the teachers were trained on; the class priors are those of its Training split.
        path: Output file.
        balance: Exponent of the priors that probabilities are divided by, 0 to 1 (Menon et al., "Long-tail learning via
            logit adjustment", 2021), so that rare classes are kept.

    Returns:
        For each label set, the number of faces by their most likely class.

    Raises:
        EmotionEdgeError: No label set is common, or `labelled` has no labels of one.
    """
    views = []
    for member in open_members(teachers, labelled):
        images = in_memory(faces, *member.shape).pixels
        jittered = moved(images, moves(len(images), 0))
        seen = [images, jittered] if member.views == 2 else [images, images[:, :, ::-1], jittered, jittered[:, :, ::-1]]
        for view in seen:
            outputs = member.run(np.ascontiguousarray(view))
            views.append({h: softmax(outputs[h], member.card_temperatures.get(h, 1.0)) for h in member.heads})
    mean = means(views)
    training = labelled.part(TRAINING)
    adjusted = {head: without_priors(said, _priors(training, head), balance) for head, said in mean.items()}
    _write(path, faces, adjusted)
    return {head: _first_classes(labelled.labels[head].names, said) for head, said in adjusted.items()}


def without_priors(said: Floats, priors: Floats, balance: float) -> Floats:
    """Divide probabilities [n, classes] by priors [classes] to the power `balance`, and normalise the rows."""
    weighed = said / np.maximum(priors, 1e-6) ** balance
    return np.asarray(weighed / weighed.sum(axis=1, keepdims=True), np.float32)


def _priors(training: Dataset, head: str) -> Floats:
    if head not in training.labels:
        raise EmotionEdgeError(f"data set {training.name}: no labels of {head}, so no priors to take away")
    total = training.labels[head].probabilities.sum(axis=0)
    return np.asarray(total / total.sum(), np.float32)


def _first_classes(names: Sequence[str], said: Floats) -> dict[str, int]:
    return dict(zip(names, np.bincount(said.argmax(axis=1), minlength=len(names)).tolist(), strict=True))


def _probabilities(network: Any, images: npt.NDArray[np.uint8] | DiskImages, mirror: bool) -> dict[str, Floats]:
    outputs = predict(network, images, mirror)
    return {head: softmax(values).astype(np.float32) for head, values in outputs.items() if head != AFFECT}


def means(views: Sequence[Mapping[str, Probabilities]]) -> dict[str, Floats]:
    """Mean over views of the probabilities [n, classes], for each head that all views have.

    Raises EmotionEdgeError if there is no such head.
    """
    heads = common_heads(views)
    return {head: np.mean([view[head] for view in views], axis=0).astype(np.float32) for head in heads}


def common_heads(teachers: Sequence[Collection[str]]) -> list[str]:
    """Label sets that all teachers have, in the order of the first. Raises EmotionEdgeError if there is none."""
    heads = [head for head in teachers[0] if all(head in teacher for teacher in teachers)]
    if not heads:
        raise EmotionEdgeError("the teachers have no label set in common")
    return heads


def check_heads(teacher: str, known: Collection[str], heads: Iterable[str]) -> None:
    """Check that a teacher covers the heads of a network; logs a warning for each head that it lacks.

    Args:
        teacher: Name of the teacher, for messages.
        known: Label sets of the teacher.
        heads: Heads of the network.

    Raises:
        EmotionEdgeError: The teacher has none of the heads.
    """
    silent = [head for head in heads if head != AFFECT and head not in known]
    if not set(heads) & set(known):
        raise EmotionEdgeError(
            f"{teacher}: the teacher has no output for {', '.join(silent) or AFFECT} (only for "
            f"{', '.join(known)}); leave `teacher` out, or take a network with such a head"
        )
    if silent:
        _log.warning("%s: the teacher has no output for %s: learned from labels alone", teacher, ", ".join(silent))


def _write(path: Path, training: Dataset, means: Mapping[str, Floats]) -> None:
    """Write probabilities [n, classes] by head for the n faces of `training`, whose images are unmodified.

    A probability is stored as one byte, 255 for 1, to keep the file small.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {head: np.rint(255 * mean).astype(np.uint8) for head, mean in means.items()}
    np.savez_compressed(
        path,
        rows=training.rows.astype(np.int32),
        data_set=np.array(training.name),
        prints=fingerprints(training),
        **arrays,
    )


def read_soft_labels(path: Path) -> SoftLabels:
    """Read a file of soft labels. Raises EmotionEdgeError if it is missing or empty."""
    try:
        loaded = np.load(path)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise ValueError("a single array")
        with loaded as arrays:
            heads = {name: arrays[name].astype(np.float32) for name in arrays.files if name not in _FACTS}
            normal = {head: values / values.sum(axis=1, keepdims=True) for head, values in heads.items()}
            name = str(arrays["data_set"]) if "data_set" in arrays.files else ""
            prints = arrays["prints"] if "prints" in arrays.files else None
            return SoftLabels(path, arrays["rows"].astype(np.int64), normal, name, prints)
    except FileNotFoundError:
        raise EmotionEdgeError(f"{path}: not there; make it with `emotion-train distill`") from None
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise EmotionEdgeError(f"{path}: no file of soft labels: {error}") from None
