"""The evaluation of a network or a committee on a data set: figures, jitter, valence and arousal, slices."""

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
    """What a report is made from.

    members: the leader first. part: the faces of the last split; results[-1], affects, jitters and measures are of
    these. results: by split, one for each label set.
    """

    members: tuple[Member, ...]
    part: Dataset
    results: tuple[tuple[SplitResult, ...], ...]
    affects: tuple[AffectFigures, ...]
    jitters: tuple[JitterFigures, ...]
    measures: tuple[Measure, ...]


def find(folders: Sequence[Path], data: Dataset, final: bool = False, label_sets: Sequence[str] = ()) -> Findings:
    """Evaluate networks alone and, where there are several, as a committee that the first one leads.

    Args:
        folders: Runs or released models.
        data: The data set.
        final: Also on PrivateTest, for the final figure; else on PublicTest alone.
        label_sets: Label sets besides those of the networks and the data set.

    Raises:
        EmotionEdgeError: A folder holds no network, a split no faces, or a label set does not apply here.
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
