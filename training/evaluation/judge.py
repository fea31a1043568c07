"""Members and their committee judged on a data set: every label set, every split, the same faces moved by jitter."""

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
"""Times that every face is moved; the seeds are 1 to this number."""

Outputs = Mapping[str, Mapping[str, Logits]]
"""By member, by label set."""
Pixels = Mapping[tuple[int, int, int], npt.NDArray[np.uint8]]
"""By height, width and channels, uint8 [n, h, w] or [n, h, w, 3]: the same n faces for networks of different inputs."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Task:
    """What the voters are asked of a data set: one label set.

    names: of its classes. protocol: in words, which faces count, and what their true label is. heads: of each member,
    the head that answers and the matrix onto the label set, None for a head of its own. temperatures: by member.
    rule: by which a committee decides.
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

    rows: int64 [n], which faces of the split count. true: int64 [n], their labels. predictions, figures: by voter, the
    members and then the committee where there are several.
    """

    task: Task
    split: str
    rows: Labels
    true: Labels
    predictions: Mapping[str, Predictions]
    figures: Mapping[str, Figures]

    @property
    def main_voter(self) -> str:
        """The committee where there is one, else the only member."""
        return list(self.predictions)[-1]


@dataclass(frozen=True, slots=True)
class AffectFigures:
    """Valence (0) or arousal (1) as a voter says it, over the faces where it is known.

    derived: computed from class scores on the circumplex, as the board does without a head for it. intervals:
    95%, bootstrap over the faces.
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
    """A voter on faces moved by jitter. clean: accuracy before. moved: after, one a draw. drop: clean less the mean of
    moved, 0 to 1, with its 95% interval over the faces.
    """

    voter: str
    label_set: str
    clean: float
    moved: tuple[float, ...]
    drop: float
    interval: Interval


def tasks_for(members: Sequence[Member], part: Dataset, wanted: Sequence[str], outputs: Outputs) -> list[Task]:
    """The label sets under which members can be evaluated on a data set, the data set's most important one first.

    part, outputs: the validation split and the members' logits for it, on which the temperatures are fitted. wanted:
    label sets besides the data set's and the heads' own. Raises EmotionEdgeError where a wanted label set means
    nothing on this data set or to a member, and where there is none that all understand.
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
    """Views that members take of each face: 1, or 2 with its mirror image; 0 where members differ."""
    views = {member.views for member in members}
    return views.pop() if len(views) == 1 else 0


def truth(part: Dataset, label_set: str, names: Sequence[str], views: int = 1) -> tuple[str, Labels]:
    """The protocol in words and the true labels int64 [n], -1 where a face does not count. views: of each face.

    What a data set has no labels of is carried over from the one of its label sets that covers most of it.
    """
    if label_set in part.labels:
        return protocol(label_set, part.name, views), part.labels[label_set].judged
    reach = {own: map_matrix(labels.names, names).any(axis=0).sum() for own, labels in part.labels.items()}
    source = max(reach, key=lambda own: int(reach[own]))
    carried = relabel(replace(part, labels={source: part.labels[source]}), label_set)
    described = f"{protocol(source, part.name, views)}; carried over from {source} to {label_set}"
    return described, carried.labels[label_set].judged


def predictions_of(task: Task, outputs: Outputs) -> dict[str, Predictions]:
    """Predictions of the members, and then of the committee where there are several, for the faces of the outputs."""
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
    """Predictions and figures under one label set on a split. Raises EmotionEdgeError where no face counts."""
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
    """The faces of a part that can be read, and their pixels in every member's shape."""
    loaded = in_memory(part, *members[0].shape)
    part = part.take(np.isin(part.rows, loaded.rows))
    pixels = {members[0].shape: loaded.pixels}
    for shape in {member.shape for member in members} - set(pixels):
        pixels[shape] = in_memory(part, *shape).pixels
    return part, pixels


def run_all(members: Sequence[Member], pixels: Pixels, boxes: Floats | None = None) -> dict[str, Mapping[str, Logits]]:
    """Logits of each member for n faces, each moved to its box [n, 4] of `evaluation.jitter.moves` where given."""
    if boxes is not None:
        pixels = {shape: moved(images, boxes) for shape, images in pixels.items()}
    return {member.name: member.run(pixels[member.shape]) for member in members}


def jitters(members: Sequence[Member], pixels: Pixels, results: Sequence[SplitResult]) -> list[JitterFigures]:
    """How much worse each voter gets when the faces of the results' split are moved as a detector's boxes are."""
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
    """Valence and arousal of each member, and of the committee as their mean, against the data set's."""
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
    """The labels that a member cannot predict."""
    _, onto = task.heads[member.name]
    return () if onto is None else tuple(np.array(task.names)[onto.sum(axis=0) == 0])


def _head_for(member: Member, label_set: str, names: Sequence[str]) -> tuple[str, Floats | None] | None:
    """The member's own head for a label set, else the head that covers most of it; None where none covers any."""
    if label_set in member.heads:
        return label_set, None
    onto = {head: map_matrix(labels, names).astype(np.float64) for head, labels in member.heads.items()}
    best = max(onto, key=lambda head: int(onto[head].any(axis=0).sum()), default=None)
    return None if best is None or not onto[best].any() else (best, onto[best])


def _onto(probabilities: Floats, matrix: Floats | None) -> Floats:
    """Probabilities carried to another label set, and divided by their sum where a part of them was lost."""
    if matrix is None:
        return probabilities
    carried = probabilities @ matrix
    return np.asarray(carried / np.maximum(carried.sum(axis=1, keepdims=True), 1e-12))


def _predictions(labels: Labels, raw: Floats, calibrated: Floats) -> Predictions:
    each = np.arange(len(labels))
    return Predictions(labels, raw[each, labels], calibrated[each, labels])
