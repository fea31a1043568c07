"""All that is found out about a network or a committee on a data set."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.datasets.dataset import FINAL, VALIDATION, Dataset
from training.evaluation.judge import (
    Affect,
    Jitter,
    Sheet,
    affects,
    ask,
    jitters,
    pixels_for,
    run_all,
    sheet,
)
from training.evaluation.members import Member, open_members
from training.evaluation.slices import Measure, measures, original_sides

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Findings:
    """All that a report says. members: the leader first. part: the faces of the last split, which the details are of;
    that is what sheets[-1], affects, jitters and measures are of, too. sheets: by split, a sheet a label set.
    """

    members: tuple[Member, ...]
    part: Dataset
    sheets: tuple[tuple[Sheet, ...], ...]
    affects: tuple[Affect, ...]
    jitters: tuple[Jitter, ...]
    measures: tuple[Measure, ...]


def find(folders: Sequence[Path], data: Dataset, final: bool = False, label_sets: Sequence[str] = ()) -> Findings:
    """Judge the networks of folders, alone and, where there are several, as a committee that the first one leads.

    final: on PrivateTest too, for the last figure of all; else on PublicTest alone. label_sets: besides those of the
    networks and the data set. Raises EmotionEdgeError where a folder holds no network, a split no faces, or a label
    set means nothing here.
    """
    splits = (VALIDATION, FINAL) if final else (VALIDATION,)
    members = open_members(folders, data)
    parts, pixels, outputs = {}, {}, {}
    for split in splits:
        parts[split], pixels[split] = pixels_for(members, data.part(split))
        _log.info("%s: %d faces of %s", ", ".join(member.name for member in members), len(parts[split]), split)
        outputs[split] = run_all(members, pixels[split])
    questions = ask(members, parts[VALIDATION], label_sets, outputs[VALIDATION])
    last = splits[-1]
    sheets = tuple(
        tuple(sheet(question, parts[split], split, outputs[split]) for question in questions) for split in splits
    )
    return Findings(
        members,
        parts[last],
        sheets,
        tuple(affects(members, parts[last], outputs[last])),
        tuple(jitters(members, pixels[last], sheets[-1])),
        measures(pixels[last][members[0].shape], original_sides(parts[last])),
    )
