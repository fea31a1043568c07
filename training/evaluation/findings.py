"""Evaluation of a network or a committee on a data set: figures, jitter, valence and arousal, slices."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from training.datasets.dataset import FINAL, VALIDATION, Dataset
from training.evaluation.judge import (
    AffectFigures,
    JitterFigures,
    Pixels,
    SplitResult,
    affects,
    jitters,
    pixels_for,
    run_all,
    split_result,
    tasks_for,
)
from training.evaluation.members import Member, open_members
from training.evaluation.metrics import softmax
from training.evaluation.occlusion import occlusion
from training.evaluation.slices import Measure, measures, original_sides

_log = logging.getLogger(__name__)


MISTAKES: Final = 6
"""Number of wrong predictions for which the report shows the regions they depend on."""


@dataclass(frozen=True, slots=True)
class Attention:
    """How much covering each part of a face changes the prediction of the leader, the first network evaluated.

    rows: int64 [n], indexes into the rows of the first result of the last split. drops: by how much the probability of
    the leader's prediction falls if a pixel is covered, [n, h, w] at its input size. probabilities: of the leader for
    these faces, [n, classes].
    """

    rows: npt.NDArray[np.int64]
    drops: npt.NDArray[np.float64]
    probabilities: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Findings:
    """The evaluation results that a report is built from.

    members: the evaluated networks, the leader first. part: faces of the last evaluated split, to which results[-1],
    affects, jitters and measures refer. results: for each split, one result per label set. attention: None if it was
    not computed.
    """

    members: tuple[Member, ...]
    part: Dataset
    results: tuple[tuple[SplitResult, ...], ...]
    affects: tuple[AffectFigures, ...]
    jitters: tuple[JitterFigures, ...]
    measures: tuple[Measure, ...]
    attention: Attention | None = None


def find(
    folders: Sequence[Path],
    data: Dataset,
    final: bool = False,
    label_sets: Sequence[str] = (),
    attention: bool = False,
) -> Findings:
    """Evaluate networks one by one and, if there are several, also as a committee led by the first.

    Args:
        folders: Folders of runs or released models.
        data: The data set.
        final: True also evaluates on PrivateTest, for the final figure; False uses PublicTest only.
        label_sets: Further label sets, besides those of the networks and the data set.
        attention: True also measures on which regions of a face the leader's predictions depend, which takes some
            hundreds of forward passes.

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
        _attention(members[0], pixels[last], results[-1][0]) if attention else None,
    )


def _attention(leader: Member, pixels: Pixels, result: SplitResult) -> Attention:
    """Measure attention on one correctly classified face per class and on the most confident mistakes.

    The face of a class is the one of median confidence: at a confidence near 1, covering a part changes little.
    """
    head, onto = result.task.heads[leader.name]
    predictions, true = result.predictions[leader.name], result.true
    images = pixels[leader.shape][result.rows]
    if onto is not None:  # the leader's classes are of another label set
        nothing = np.empty((0, len(result.task.names)))
        return Attention(np.empty(0, np.int64), np.empty((0, *images.shape[1:3])), nothing)
    surest = np.argsort(-predictions.confidence, kind="stable")
    right = predictions.labels[surest] == true[surest]
    found = [surest[right & (true[surest] == one)] for one in range(len(result.task.names))]
    rows = np.concatenate([*(of[len(of) // 2 :][:1] for of in found), surest[~right][:MISTAKES]])
    temperature = result.task.temperatures[leader.name]
    drops = occlusion(leader.run, images[rows], head, predictions.labels[rows], temperature)
    return Attention(rows, drops, softmax(leader.run(images[rows])[head], temperature))
