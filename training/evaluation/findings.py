"""Evaluation of a network or a committee on a data set: figures, jitter, valence and arousal, slices."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.datasets.dataset import FINAL, VALIDATION, Dataset
from training.evaluation.judge import (
    AffectFigures,
    JitterFigures,
    SplitResult,
    affects,
    jitters,
    pixels_for,
    run_all,
    split_result,
    tasks_for,
)
from training.evaluation.members import Member, open_members
from training.evaluation.slices import Measure, measures, original_sides

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Findings:
    """The evaluation results that a report is built from.

    members: the evaluated networks, the leader first. part: faces of the last evaluated split; results[-1], affects,
    jitters and measures refer to them. results: for each split, one result per label set.
    """

    members: tuple[Member, ...]
    part: Dataset
    results: tuple[tuple[SplitResult, ...], ...]
    affects: tuple[AffectFigures, ...]
    jitters: tuple[JitterFigures, ...]
    measures: tuple[Measure, ...]


def find(folders: Sequence[Path], data: Dataset, final: bool = False, label_sets: Sequence[str] = ()) -> Findings:
    """Evaluate networks one by one and, if there are several, also as a committee led by the first.

    Args:
        folders: Folders of runs or released models.
        data: The data set.
        final: True also evaluates on PrivateTest, for the final figure; False uses PublicTest only.
        label_sets: Further label sets, besides those of the networks and the data set.

    Raises:
        EmotionEdgeError: A folder holds no network, a split no faces, or a label set does not apply.
    """
    splits = (VALIDATION, FINAL) if final else (VALIDATION,)
    members = open_members(folders, data)
    parts, pixels, outputs = {}, {}, {}
    for split in splits:
        parts[split], pixels[split] = pixels_for(members, data.part(split))
        _log.info("%s: %d faces of %s", ", ".join(member.name for member in members), len(parts[split]), split)
        outputs[split] = run_all(members, pixels[split])
    tasks = tasks_for(members, parts[VALIDATION], label_sets, outputs[VALIDATION])
    last = splits[-1]
    results = tuple(
        tuple(split_result(task, parts[split], split, outputs[split]) for task in tasks) for split in splits
    )
    return Findings(
        members,
        parts[last],
        results,
        tuple(affects(members, parts[last], outputs[last])),
        tuple(jitters(members, pixels[last], results[-1])),
        measures(pixels[last][members[0].shape], original_sides(parts[last])),
    )
