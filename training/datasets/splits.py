"""Which faces are learned from, and which are kept aside: by the source's own word, else cut with a fixed seed."""

import logging
import re
import warnings
from typing import Final

import numpy as np
import numpy.typing as npt

from training.datasets.dataset import SPLITS

SHARE: Final = 0.1
"""Of Training, what is cut off for a split that the source does not have."""

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
_TRAINING, _PUBLIC, _PRIVATE = range(len(SPLITS))
_log = logging.getLogger(__name__)

Integers = npt.NDArray[np.int64]


def split_of(word: str) -> int | None:
    """The split, an index into SPLITS, that the name of a folder or file means (`train`, `val_set`), or None."""
    letters = re.sub(r"[^a-z]", "", word.casefold())
    name = _WORDS.get(letters) or _WORDS.get(letters.removesuffix("set"))
    return None if name is None else SPLITS.index(name)


def complete(split: Integers, classes: Integers, people: Integers | None, seed: int) -> Integers:
    """The splits with PrivateTest and then PublicTest cut from Training where they are missing, SHARE of it each.

    split: int64 [n], index into SPLITS; all 0 where nothing is said. classes: int64 [n], kept in proportion; a class
    of fewer than three faces stays in Training. people: int64 [n], who it is, or -1: a person's faces stay together.
    The same seed gives the same cut.
    """
    split = split.copy()
    for held_out in (_PRIVATE, _PUBLIC):
        training = np.flatnonzero(split == _TRAINING)
        if len(training) and not (split == held_out).any():
            known = people is not None and bool((people[training] >= 0).any())
            if known and people is not None and len(np.unique(people[training])) > 1:
                cut = _by_person(classes[training], people[training], seed)
            else:
                if known:
                    _log.warning("one person only: %s holds the same face as Training", SPLITS[held_out])
                cut = _by_class(classes[training], seed)
            split[training[cut]] = held_out
    return split


def _by_class(classes: Integers, seed: int) -> Integers:
    generator = np.random.default_rng(seed)
    cuts = []
    for label in np.unique(classes):
        members = generator.permutation(np.flatnonzero(classes == label))
        cuts.append(members[: max(1, round(SHARE * len(members))) if len(members) > 2 else 0])
    return np.concatenate(cuts)


def _by_person(classes: Integers, people: Integers, seed: int) -> Integers:
    from sklearn.model_selection import StratifiedGroupKFold

    # Who nobody knows is a person each.
    groups = np.where(people >= 0, people, people.max() + 1 + np.arange(len(people)))
    largest = np.unique(classes, return_counts=True)[1].max()
    folds = min(round(1 / SHARE), len(np.unique(groups)), int(largest))
    if folds < 2:
        return np.empty(0, np.int64)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # That a class has fewer faces than there are folds: it is where its people are.
        warnings.simplefilter("ignore", UserWarning)
        return np.asarray(next(iter(splitter.split(classes, classes, groups)))[1], np.int64)
