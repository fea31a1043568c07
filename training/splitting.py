"""New splits: stratified by class and, where people are known, with nobody on both sides."""

import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError
from training.datasets.dataset import SPLITS

Indexes = npt.NDArray[np.int64]

TRAINING = SPLITS.index("Training")


def split_anew(labels: Indexes, people: Indexes | None, shares: tuple[float, ...], seed: int) -> Indexes:
    """A split for each of n faces, int64 [n], as an index into SPLITS.

    labels: int64 [n], the class or -1. people: int64 [n], who it is or -1, or None. shares: of the splits, in the order
    of SPLITS, in any unit. Where people are known the shares hold as nearly as whole people allow. Raises
    EmotionEdgeError where there are too few faces or people.
    """
    split = np.full(len(labels), TRAINING, np.int64)
    total = sum(shares)
    for index in range(len(SPLITS) - 1, TRAINING, -1):
        if shares[index]:
            left = np.flatnonzero(split == TRAINING)
            share = shares[index] / total
            split[left[_part(labels[left], None if people is None else people[left], share, seed)]] = index
            total -= shares[index]
    return split


def _part(labels: Indexes, people: Indexes | None, share: float, seed: int) -> Indexes:
    """Indexes of a share of the faces."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedShuffleSplit

    try:
        if people is not None:
            # Whoever is not known is taken to be somebody else each time.
            groups = np.where(people >= 0, people, people.max() + 1 + np.arange(len(people)))
            folds = StratifiedGroupKFold(round(1 / share), shuffle=True, random_state=seed)
            _, part = next(folds.split(np.zeros(len(labels)), labels, groups))
            return np.asarray(part, np.int64)
        # A class with one face cannot be on two sides.
        classes, counts = np.unique(labels, return_counts=True)
        common = np.flatnonzero(np.isin(labels, classes[counts > 1]))
        once = StratifiedShuffleSplit(1, test_size=share, random_state=seed)
        _, part = next(once.split(np.zeros(len(common)), labels[common]))
    except ValueError as error:
        raise EmotionEdgeError(f"splits: too few faces or people for a part of {share:.0%}: {error}") from None
    return np.asarray(common[part], np.int64)
