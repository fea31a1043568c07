"""Splits of a data set: recognised by name, or cut from Training with a given seed."""

import logging
import re
import warnings
from typing import Final

import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError
from training.datasets.dataset import SPLITS

SHARE: Final = 0.1
"""Share of Training that is cut off for each split that the source lacks."""

_WORDS: Final = {
    "train": "Training",
    "training": "Training",
    "val": "PublicTest",
    "valid": "PublicTest",
    "validation": "PublicTest",
    "publictest": "PublicTest",
    "test": "PrivateTest",
    "testing": "PrivateTest",
    "privatetest": "PrivateTest",
}
TRAINING, _PUBLIC, _PRIVATE = range(len(SPLITS))
_log = logging.getLogger(__name__)

Integers = npt.NDArray[np.int64]


def split_of(word: str) -> int | None:
    """Return the split (index into SPLITS) that a folder or file name stands for (`train`, `val_set`), or None."""
    letters = re.sub(r"[^a-z]", "", word.casefold())
    name = _WORDS.get(letters) or _WORDS.get(letters.removesuffix("set"))
    return None if name is None else SPLITS.index(name)


def complete(split: Integers, classes: Integers, people: Integers | None, seed: int) -> Integers:
    """Cut missing splits (PrivateTest, then PublicTest) from Training, a share SHARE each; deterministic for a seed.

    Args:
        split: int64 [n], index into SPLITS; all 0 if the source defines no splits.
        classes: Class of each face, int64 [n]; their proportions are kept. A class with fewer than three faces stays in
            Training.
        people: int64 [n], person number or -1; the faces of a person stay together. None if unknown.
        seed: Seed of the cut.
    """
    split = split.copy()
    for held_out in (_PRIVATE, _PUBLIC):
        training = np.flatnonzero(split == TRAINING)
        if len(training) and not (split == held_out).any():
            split[training[_part(classes[training], _of(people, training), SHARE, seed)]] = held_out
    return split


def split_anew(classes: Integers, people: Integers | None, shares: tuple[float, ...], seed: int) -> Integers:
    """Assign new splits to n faces, ignoring existing ones.

    Args:
        classes: Class of each face, int64 [n]; their proportions are kept.
        people: int64 [n], person number or -1; None if unknown. Faces of a person stay together, so the shares are
            approximate.
        shares: Relative sizes in the order of SPLITS, in any unit.
        seed: Seed of the cut.

    Returns:
        Index into SPLITS, int64 [n].

    Raises:
        EmotionEdgeError: There are too few faces or people.
    """
    split, total = np.full(len(classes), TRAINING, np.int64), sum(shares)
    for held_out in (_PRIVATE, _PUBLIC):
        if shares[held_out]:
            left = np.flatnonzero(split == TRAINING)
            cut = _part(classes[left], _of(people, left), shares[held_out] / total, seed)
            alone = people is not None and len(np.unique(people[left])) == 1 and people[left][0] >= 0
            if alone or not len(cut):
                raise EmotionEdgeError(
                    f"splits: too few faces or people for {SPLITS[held_out]} (a person's faces, and near duplicates, "
                    "stay together); add faces of others, or keep the data set's own splits"
                )
            split[left[cut]] = held_out
            total -= shares[held_out]
    return split


def _of(people: Integers | None, index: Integers) -> Integers | None:
    return None if people is None else people[index]


def _part(classes: Integers, people: Integers | None, share: float, seed: int) -> Integers:
    """Draw a share of the faces, with a person's faces kept together if two or more people are known; gives indexes."""
    known = people is not None and bool((people >= 0).any())
    if known and people is not None and len(np.unique(people)) > 1:
        return _by_person(classes, people, share, seed)
    if known:
        _log.warning("one person only: every split holds the same face")
    return _by_class(classes, share, seed)


def _by_class(classes: Integers, share: float, seed: int) -> Integers:
    generator = np.random.default_rng(seed)
    labels, sizes = np.unique(classes, return_counts=True)
    wanted = np.where(sizes < 3, 0, share * sizes)
    counts = np.maximum(np.floor(wanted), sizes >= 3)
    # The remainder goes to the classes with the largest fractional parts.
    left = max(0, round(wanted.sum()) - int(counts.sum()))
    counts[np.argsort(counts - wanted, kind="stable")[:left]] += 1
    members = [generator.permutation(np.flatnonzero(classes == label)) for label in labels]
    return np.concatenate([of[: int(count)] for of, count in zip(members, counts, strict=True)])


def groups_of(people: Integers) -> Integers:
    """Group number of each face, int64 [n]: one group a person; a face of an unknown person (-1) is a group alone."""
    return np.where(people >= 0, people, people.max() + 1 + np.arange(len(people)))


def _by_person(classes: Integers, people: Integers, share: float, seed: int) -> Integers:
    from sklearn.model_selection import StratifiedGroupKFold

    groups = groups_of(people)
    largest = np.unique(classes, return_counts=True)[1].max()
    folds = min(round(1 / share), len(np.unique(groups)), int(largest))
    if folds < 2:
        return np.empty(0, np.int64)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # scikit-learn warns of classes with fewer faces than folds, which does not matter for a split by person.
        warnings.simplefilter("ignore", UserWarning)
        parts = [np.asarray(part, np.int64) for _, part in splitter.split(classes, classes, groups)]
    # A person with more faces than a fold should have is mostly put into the first fold, which then exceeds the share
    # by far; so the first fold of acceptable size is taken.
    return next((part for part in parts if len(part) <= 2 * share * len(classes)), min(parts, key=len))
