"""Evaluation of members and their committee: every label set, every split, and crops moved by jitter."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge.emotion.committee import Rule, counted_members, mean_of
from edge.errors import EmotionEdgeError
from edge.labels import CIRCUMPLEX, UNCERTAIN, circumplex_of, labels_of, map_matrix
from training.config import AFFECT
from training.datasets.dataset import VALIDATION, Dataset
from training.datasets.pixels import in_memory
from training.datasets.relabel import relabel
from training.evaluation.figures import Figures, Predictions, figures_of, protocol
from training.evaluation.jitter import moved, moves
from training.evaluation.members import Member
from training.evaluation.metrics import (
    Floats,
    Interval,
    Labels,
    Logits,
    bootstrap_rows,
    concordance,
    fit_temperature,
    rmse,
    softmax,
)

COMMITTEE: Final = "committee"
JITTERS: Final = 5
"""Number of random displacements of each face; their seeds are 1 to JITTERS."""

Outputs = Mapping[str, Mapping[str, Logits]]
"""Logits of n faces, by name of the member, then by label set."""
Pixels = Mapping[tuple[int, int, int], npt.NDArray[np.uint8]]
"""The same n faces for each input shape (height, width, channels): uint8 [n, h, w] or [n, h, w, 3]."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Task:
    """One label set on which the voters (members and committee) are evaluated.

    names: names of its classes. protocol: description of which faces count and what their true label is. heads: for
    each member, the head used and the matrix that maps its classes to the label set (None if it has a head for this
    label set). temperatures: one per member. rule: decision rule of the committee.
    """

    label_set: str
    names: tuple[str, ...]
    protocol: str
    heads: Mapping[str, tuple[str, Floats | None]]
    temperatures: Mapping[str, float]
    rule: Rule


@dataclass(frozen=True, slots=True)
class SplitResult:
    """Predictions and figures for one label set on one split.

    rows: int64 [n], indexes of the faces of the split that count. true: int64 [n], their labels. predictions, figures:
    one per voter: the members, then the committee if there are several members.
    """

    task: Task
    split: str
    rows: Labels
    true: Labels
    predictions: Mapping[str, Predictions]
    figures: Mapping[str, Figures]

    @property
    def main_voter(self) -> str:
        """The committee, or the only member."""
        return list(self.predictions)[-1]


@dataclass(frozen=True, slots=True)
class AffectFigures:
    """Error figures of valence (0) or arousal (1) as predicted by a voter, over the faces with a known value.

    derived: True if the value is computed from class scores on the circumplex, as the board does for models without an
    affect head. intervals: 95%, bootstrap over the faces.
    """

    voter: str
    axis: int
    derived: bool
    rows: int
    concordance: float
    concordance_interval: Interval
    rmse: float
    rmse_interval: Interval


@dataclass(frozen=True, slots=True)
class JitterFigures:
    """Accuracy of one voter on faces moved by jitter, 0 to 1.

    clean: accuracy without jitter. moved: accuracy of each random draw. drop: `clean` minus the mean of `moved`, with
    its 95% interval over the faces.
    """

    voter: str
    label_set: str
    clean: float
    moved: tuple[float, ...]
    drop: float
    interval: Interval


def tasks_for(members: Sequence[Member], part: Dataset, wanted: Sequence[str], outputs: Outputs) -> list[Task]:
    """The label sets under which the members can be evaluated on a data set, its primary label set first.

    Args:
        members: The networks.
        part: The validation split, on which the temperatures are fitted.
        wanted: Further label sets, besides those of the data set and of the heads.
        outputs: Logits of the members for `part`.

    Raises:
        EmotionEdgeError: A wanted label set does not apply to the data set or a member, or no label set fits all.
    """
    first = next(iter(part.labels))
    sets = dict.fromkeys([first, *(head for member in members for head in member.heads), *wanted])
    own = {head: names for member in members for head, names in member.heads.items()}
    found = []
    for label_set in sets:
        names = part.labels[label_set].names if label_set in part.labels else own.get(label_set, ())
        names = names or labels_of(label_set)
        if label_set not in part.labels and label_set not in wanted:
            there = map_matrix(part.labels[first].names, names).any(axis=1)
            if any(not kept and name != UNCERTAIN for name, kept in zip(part.labels[first].names, there, strict=True)):
                continue
        heads = {member.name: _head_for(member, label_set, names) for member in members}
        silent = [name for name, head in heads.items() if head is None]
        if silent and label_set in wanted:
            raise EmotionEdgeError(f"label set {label_set}: {silent[0]} has no head for any of {', '.join(names)}")
        if silent:
            continue
        known = {name: head for name, head in heads.items() if head is not None}
        how, true = truth(part, label_set, names, views_of(members))
        counts = true >= 0
        if not counts.any() and label_set in wanted:
            raise EmotionEdgeError(f"label set {label_set}: {VALIDATION} of {part.name} has no face with such a label")
        if not counts.any():
            continue
        temperatures = {
            name: fit_temperature(outputs[name][head][counts], true[counts], onto)
            for name, (head, onto) in known.items()
        }
        found.append(Task(label_set, names, how, known, temperatures, members[0].rule))
    if not found:
        raise EmotionEdgeError(
            f"{', '.join(member.name for member in members)}: no head has any label of {part.name} "
            f"({', '.join(part.labels[first].names)})"
        )
    return found


def views_of(members: Sequence[Member]) -> int:
    """Number of views per face that the members average: 1, 2 (with the mirror image), or 0 if members differ."""
    views = {member.views for member in members}
    return views.pop() if len(views) == 1 else 0


def truth(part: Dataset, label_set: str, names: Sequence[str], views: int = 1) -> tuple[str, Labels]:
    """The true labels of a data set under a label set.

    A label set that the data set lacks is mapped from the one of its label sets that covers most of it.

    Args:
        part: The faces.
        label_set: Name of the label set.
        names: Names of its classes.
        views: Number of views per face, for the description.

    Returns:
        The protocol as text, and the labels, int64 [n], -1 for a face that does not count.
    """
    if label_set in part.labels:
        return protocol(label_set, part.name, views), part.labels[label_set].judged
    reach = {own: map_matrix(labels.names, names).any(axis=0).sum() for own, labels in part.labels.items()}
    source = max(reach, key=lambda own: int(reach[own]))
    carried = relabel(replace(part, labels={source: part.labels[source]}), label_set)
    described = f"{protocol(source, part.name, views)}; carried over from {source} to {label_set}"
    return described, carried.labels[label_set].judged


def predictions_of(task: Task, outputs: Outputs) -> dict[str, Predictions]:
    """Predictions of each member, then of the committee if there are several members."""
    raw, calibrated = {}, {}
    for name, (head, onto) in task.heads.items():
        raw[name] = _onto(softmax(outputs[name][head]), onto)
        calibrated[name] = _onto(softmax(outputs[name][head], task.temperatures[name]), onto)
    predictions = {name: _predictions(calibrated[name].argmax(axis=1), raw[name], calibrated[name]) for name in raw}
    if len(predictions) > 1:
        voters = np.array(list(calibrated.values()), np.float32)
        counted = counted_members(voters, task.rule)
        before, after = (mean_of(counted, each) for each in (np.array(list(raw.values()), np.float32), voters))
        predictions[COMMITTEE] = _predictions(after.argmax(axis=1), before.astype(np.float64), after.astype(np.float64))
    return predictions


def split_result(task: Task, part: Dataset, split: str, outputs: Outputs) -> SplitResult:
    """Score one label set on a split. Raises EmotionEdgeError if no face of the split counts."""
    _, true = truth(part, task.label_set, task.names)
    rows = np.flatnonzero(true >= 0)
    if not len(rows):
        raise EmotionEdgeError(f"label set {task.label_set}: {split} of {part.name} has no face with such a label")
    predictions = {name: one.take(rows) for name, one in predictions_of(task, outputs).items()}
    figures = {
        name: figures_of(one, true[rows], task.label_set, task.names, split, task.temperatures.get(name, 1.0))
        for name, one in predictions.items()
    }
    return SplitResult(task, split, rows, true[rows], predictions, figures)


def pixels_for(members: Sequence[Member], part: Dataset) -> tuple[Dataset, Pixels]:
    """The readable faces of a split, and their pixels in the input shape of every member."""
    loaded = in_memory(part, *members[0].shape)
    part = part.take(np.isin(part.rows, loaded.rows))
    pixels = {members[0].shape: loaded.pixels}
    for shape in {member.shape for member in members} - set(pixels):
        pixels[shape] = in_memory(part, *shape).pixels
    return part, pixels


def run_all(members: Sequence[Member], pixels: Pixels, boxes: Floats | None = None) -> dict[str, Mapping[str, Logits]]:
    """Run all members on n faces.

    Args:
        members: The networks.
        pixels: The faces in the input shapes of the members.
        boxes: Displacements of the crops from `evaluation.jitter.moves`, [n, 4]; None for unmoved crops.

    Returns:
        The logits of each member.
    """
    if boxes is not None:
        pixels = {shape: moved(images, boxes) for shape, images in pixels.items()}
    return {member.name: member.run(pixels[member.shape]) for member in members}


def jitters(members: Sequence[Member], pixels: Pixels, results: Sequence[SplitResult]) -> list[JitterFigures]:
    """Measure how much the accuracy of each voter drops when the crops are displaced like detector boxes."""
    count = len(next(iter(pixels.values())))
    right: dict[tuple[str, str], list[npt.NDArray[np.bool_]]] = {}
    for seed in range(1, JITTERS + 1):
        _log.info("faces moved as a detector would, draw %d of %d", seed, JITTERS)
        outputs = run_all(members, pixels, moves(count, seed))
        for one in results:
            for voter, predictions in predictions_of(one.task, outputs).items():
                hits = predictions.labels[one.rows] == one.true
                right.setdefault((voter, one.task.label_set), []).append(hits)
    found = []
    for one in results:
        for voter, predictions in one.predictions.items():
            hits = right[voter, one.task.label_set]
            clean = predictions.labels == one.true
            lost = clean - np.mean(hits, axis=0)
            found.append(
                JitterFigures(
                    voter,
                    one.task.label_set,
                    float(clean.mean()),
                    tuple(float(draw.mean()) for draw in hits),
                    float(lost.mean()),
                    bootstrap_rows(np.mean, lost),
                )
            )
    return found


def affects(members: Sequence[Member], part: Dataset, outputs: Outputs) -> list[AffectFigures]:
    """Score valence and arousal of each member, and of the committee, which averages its members."""
    if part.affect is None:
        return []
    known = ~np.isnan(part.affect).any(axis=1)
    if not known.any():
        return []
    predicted: dict[str, tuple[npt.NDArray[Any], bool]] = {}
    for member in members:
        head = next(iter(member.heads), None)
        if AFFECT in outputs[member.name]:
            predicted[member.name] = outputs[member.name][AFFECT], False
        elif head is not None and set(member.heads[head]) <= set(CIRCUMPLEX):
            temperature = member.card_temperatures.get(head, 1.0)
            derived = softmax(outputs[member.name][head], temperature) @ circumplex_of(member.heads[head])
            predicted[member.name] = derived, True
    if len(members) > 1 and len(predicted) == len(members):
        values = np.mean([one for one, _ in predicted.values()], axis=0)
        predicted[COMMITTEE] = np.asarray(values), any(from_scores for _, from_scores in predicted.values())
    found = []
    for voter, (values, from_scores) in predicted.items():
        for axis in (0, 1):
            pair = values[known, axis], part.affect[known, axis]
            found.append(
                AffectFigures(
                    voter,
                    axis,
                    from_scores,
                    int(known.sum()),
                    concordance(*pair),
                    bootstrap_rows(concordance, *pair),
                    rmse(*pair),
                    bootstrap_rows(rmse, *pair),
                )
            )
    return found


def missing_labels(task: Task, member: Member) -> tuple[str, ...]:
    """The labels of a task that a member cannot predict."""
    _, onto = task.heads[member.name]
    return () if onto is None else tuple(np.array(task.names)[onto.sum(axis=0) == 0])


def _head_for(member: Member, label_set: str, names: Sequence[str]) -> tuple[str, Floats | None] | None:
    """The head of a member for a label set, or the one that covers most of it; None if no head covers any."""
    if label_set in member.heads:
        return label_set, None
    onto = {head: map_matrix(labels, names).astype(np.float64) for head, labels in member.heads.items()}
    best = max(onto, key=lambda head: int(onto[head].any(axis=0).sum()), default=None)
    return None if best is None or not onto[best].any() else (best, onto[best])


def _onto(probabilities: Floats, matrix: Floats | None) -> Floats:
    """Map probabilities to another label set, and renormalise if part of the mass was dropped."""
    if matrix is None:
        return probabilities
    carried = probabilities @ matrix
    return np.asarray(carried / np.maximum(carried.sum(axis=1, keepdims=True), 1e-12))


def _predictions(labels: Labels, raw: Floats, calibrated: Floats) -> Predictions:
    each = np.arange(len(labels))
    return Predictions(labels, raw[each, labels], calibrated[each, labels])
