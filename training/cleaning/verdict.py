"""Decides, from the results of `training.cleaning.scan`, which faces are kept."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.cleaning import label_errors
from training.cleaning.duplicates import (
    LIKENESS_DESPITE_LABELS,
    Pairs,
    conflicts,
    copies,
    exact_groups,
    near_pairs,
    together,
)
from training.cleaning.outliers import outliers
from training.cleaning.scan import Scan
from training.datasets.dataset import Dataset
from training.datasets.manifest import (
    CONFLICTING_LABELS,
    EXACT_DUPLICATE,
    LABEL_ISSUE,
    NEAR_DUPLICATE,
    OUTLIER,
    Verdict,
    main_labels,
)
from training.datasets.splits import TRAINING, split_anew

Indexes = npt.NDArray[np.int64]


def decide(
    data: Dataset,
    found: Scan,
    *,
    near: bool,
    split: tuple[int, ...] | None,
    judge: Path | None,
    drop_issues: bool,
    seed: int,
) -> tuple[Verdict, label_errors.Judgement]:
    """Decide which images to keep, and find the likely wrong labels among those not omitted for other reasons.

    Of duplicates the one in PrivateTest is kept, else the one in PublicTest, else the first; duplicates with
    conflicting labels (of the primary label set) are all omitted.

    Args:
        data: The data set.
        found: Results of the scan.
        near: True omits near duplicates; False omits only those across two of the data set's own splits.
        split: Shares of new splits, which keep a person and near duplicates together; None keeps the data set's splits.
        judge: Folder of a trained network that looks for wrong labels; None: a simple classifier fitted to these faces.
        drop_issues: True omits faces with likely wrong labels, in Training only: a model must not choose the faces on
            which it is evaluated.
        seed: Seed of splits and cross-validation.

    Raises:
        EmotionEdgeError: There are too few faces or people for the splits, the judge cannot be used, or `drop_issues`
            would omit too many faces.
    """
    judging = _Judging(data, found)
    judging.exact()
    pairs = judging.pairs()
    if near:
        judging.near(pairs)
    elif split is None:
        judging.near(pairs.take(~judging.two_people(pairs) & (data.split[pairs.first] != data.split[pairs.second])))
    judging.outliers()
    splits = data.split.copy()
    kept = judging.kept()
    if split is not None:
        splits[kept] = split_anew(judging.labels[kept], judging.together(pairs)[kept], split, seed)
    labels = label_errors.find(found.thumbnails[kept], kept, data, judge, seed)
    label_issue = np.where(labels.judged, 0, -1)
    label_issue[[issue.index for issue in labels.issues]] = 1
    if drop_issues:
        dropped = [issue for issue in labels.issues if splits[issue.index] == TRAINING]
        labels.check_drop(len(dropped), int((splits[kept] == TRAINING).sum()))
        for issue in dropped:
            judging.leave_out(issue.index, LABEL_ISSUE, f"rather {judging.class_name(issue.suggested)}")
    return Verdict(judging.reason, judging.detail, judging.duplicate_of, label_issue, splits), labels


class _Judging:
    """State of the decisions while `decide` runs."""

    def __init__(self, data: Dataset, found: Scan) -> None:
        self.data, self.found = data, found
        self.reason, self.detail = list(found.reason), list(found.detail)
        self.duplicate_of = np.full(len(data), -1, np.int64)
        labels = main_labels(data)
        self.classes = () if labels is None else labels.names
        self.labels = self.duplicate_of.copy() if labels is None else labels.judged
        self.people = np.full(len(data), -1, np.int64) if data.people is None else data.people

    def kept(self) -> Indexes:
        return np.flatnonzero(np.array(self.reason) == "")

    def class_name(self, label: int) -> str:
        return self.classes[label]

    def leave_out(self, index: int, reason: str, detail: str, duplicate_of: int = -1) -> None:
        self.reason[index], self.detail[index], self.duplicate_of[index] = reason, detail, duplicate_of

    def conflict(self, index: int, other: int) -> None:
        detail = f"{self.class_name(self.labels[index])} here, {self.class_name(self.labels[other])} there"
        self.leave_out(index, CONFLICTING_LABELS, detail, other)

    def exact(self) -> None:
        kept = self.kept()
        for group in exact_groups([self.found.digests[i] for i in kept]):
            members = kept[group]
            labels = self.labels[members]
            if len(np.unique(labels[labels >= 0])) > 1:
                for index, label in zip(members.tolist(), labels.tolist(), strict=True):
                    other = int(members[(labels != label) & (labels >= 0)][0])
                    if label >= 0:
                        self.conflict(index, other)
                    else:
                        self.leave_out(index, EXACT_DUPLICATE, "", other)
                continue
            original, *rest = sorted(members.tolist(), key=lambda i: (-self.data.split[i], self.labels[i] < 0, i))
            for index in rest:
                self.leave_out(index, EXACT_DUPLICATE, "", original)

    def pairs(self) -> Pairs:
        """The near duplicates among the kept images, by their indexes in the data set."""
        kept = self.kept()
        pairs = near_pairs(self.found.thumbnails[kept])
        return replace(pairs, first=kept[pairs.first], second=kept[pairs.second])

    def two_people(self, pairs: Pairs) -> npt.NDArray[np.bool_]:
        """Which pairs show two people, bool [k], by person number; not those too alike for the numbers to be right."""
        return conflicts(pairs.first, pairs.second, self.people) & (pairs.likeness < LIKENESS_DESPITE_LABELS)

    def together(self, pairs: Pairs) -> Indexes:
        """Group number of each face, int64 [n]: a person's faces and near duplicates share one; -1 for no group."""
        there = np.array(self.reason) == ""
        pairs = pairs.take(there[pairs.first] & there[pairs.second] & ~self.two_people(pairs))
        return together(pairs.first, pairs.second, self.people)

    def near(self, pairs: Pairs) -> None:
        first, second = pairs.first, pairs.second
        differ = conflicts(first, second, self.labels)
        for i in np.flatnonzero(differ & (pairs.likeness >= LIKENESS_DESPITE_LABELS)).tolist():
            self.conflict(int(first[i]), int(second[i]))
            self.conflict(int(second[i]), int(first[i]))
        gone = np.array(self.reason) != ""
        alike = ~differ & ~gone[first] & ~gone[second]
        how = {
            frozenset((int(first[i]), int(second[i]))): f"{'mirrored, ' if pairs.mirrored[i] else ''}"
            f"correlation {pairs.likeness[i]:.2f}"
            for i in np.flatnonzero(alike)
        }
        for index, original in copies(first[alike], second[alike], self.data.split).items():
            self.leave_out(index, NEAR_DUPLICATE, how[frozenset((index, original))], original)

    def outliers(self) -> None:
        kept = self.kept()
        for index, why in outliers(self.found.thumbnails[kept], self.found.sides[kept]).items():
            self.leave_out(int(kept[index]), OUTLIER, why)
