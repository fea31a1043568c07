"""Networks that decide together: the majority of their labels, and in a tie what the leader thinks likelier."""

from collections.abc import Sequence

import numpy as np

from training.scores import Floats, Labels


def vote(labels: Sequence[Labels], leader: Floats) -> Labels:
    """What a committee says of n faces, int64 [n].

    labels: of each member, int64 [n]. leader: the first member's probabilities, float64 [n, classes]. The label with
    the most votes wins; of several with the most it is the one that the leader gives the highest probability: its own
    label, where that is among them.
    """
    classes = np.arange(leader.shape[1])
    votes = sum((one[:, None] == classes).astype(int) for one in labels)
    most = votes == np.max(votes, axis=1, keepdims=True)
    return np.asarray(np.where(most, leader, -1.0).argmax(axis=1), np.int64)
