"""Initialises the heads of a network from the heads of a trained one, for the classes that both have."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.labels import LABEL_SETS, map_matrix
from training.config import AFFECT

Head = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""Kernel [features, classes] and bias [classes]."""

_log = logging.getLogger(__name__)


def carry_heads(network: Any, heads: Sequence[str], trained: Mapping[str, Head]) -> dict[str, tuple[str, ...]]:
    """Initialise a network's heads with weights from trained heads.

    A trained head of the same name is copied whole. Otherwise each class is copied from the trained head that has most
    of the classes; a merged class (`negative`) gets the mean of its parts. Classes in no trained head start at zero.

    Args:
        network: The network; changed in place.
        heads: Names of its heads, which are those of its layers.
        trained: The trained heads by name.

    Returns:
        The classes that were copied, by head; none if no trained head fits.
    """
    carried = {}
    for head in heads:
        layer = network.get_layer(head)
        shape = tuple(layer.weights[0].shape)
        fitting = {name: one for name, one in trained.items() if one[0].ndim == 2 and one[0].shape[0] == shape[0]}
        if head in fitting and fitting[head][0].shape == shape:
            layer.set_weights(list(fitting[head]))
            carried[head] = _names(head)
        elif head != AFFECT:
            carried[head] = _carry(layer, _names(head), fitting)
    for head, names in carried.items():
        if names:
            _log.info("head %s: begins with the trained rows of %s", head, ", ".join(names))
    return carried


def _names(head: str) -> tuple[str, ...]:
    return LABEL_SETS.get(head, tuple(head.split("-")))


def _carry(layer: Any, names: tuple[str, ...], trained: Mapping[str, Head]) -> tuple[str, ...]:
    if len(names) != layer.weights[0].shape[1]:
        return ()
    source = _source(names, trained)
    if source is None:
        return ()
    layer.set_weights(list(start_of(names, {source: trained[source]})))
    known = map_matrix(_names(source), names).any(axis=0)
    return tuple(name for name, part in zip(names, known, strict=True) if part)


def _source(names: tuple[str, ...], trained: Mapping[str, Head]) -> str | None:
    """Return the trained head that has most of the classes, of several the one with the most classes; None if none."""
    known = {
        head: int(map_matrix(_names(head), names).any(axis=0).sum())
        for head, (kernel, _) in trained.items()
        if head != AFFECT and kernel.shape[1] == len(_names(head))
    }
    best = max(known, key=lambda head: (known[head], len(_names(head))), default=None)
    return best if best is not None and known[best] else None


def start_of(names: tuple[str, ...], trained: Mapping[str, Head]) -> Head:
    """Initial weights of a head, from the trained head with most of its classes; missing classes are zeros.

    Args:
        names: The classes, in the order of the new head.
        trained: Trained heads by label set, all on the same features.
    """
    source = _source(names, trained)
    kernel, bias = trained[source or next(iter(trained))]
    matrix = map_matrix(_names(source), names) if source else np.zeros((kernel.shape[1], len(names)), np.float32)
    shares = matrix / np.maximum(matrix.sum(axis=0), 1)
    # The merged probability of n classes with equal logits is n times that of one, so its logit is larger by log(n).
    parts = np.log(np.maximum(matrix.sum(axis=0), 1))
    return (kernel @ shares).astype(np.float32), (bias @ shares + parts).astype(np.float32)
