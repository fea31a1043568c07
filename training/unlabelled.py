"""Training on faces without labels, with the soft labels of teachers."""

import logging
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError
from edge.labels import labels_of
from training.config import AFFECT, TrainingConfig
from training.datasets.dataset import clean_training
from training.datasets.pixels import in_memory
from training.datasets.unlabelled import read_unlabelled
from training.distill import read_soft_labels
from training.objectives import Arrays

_log = logging.getLogger(__name__)


def unlabelled_faces(config: TrainingConfig) -> tuple[npt.NDArray[np.uint8], Arrays]:
    """Load the faces of the `unlabelled` section of a run, uint8 [n, h, w, c], and their targets.

    The targets, in the form of `objectives.targets`, are the teachers' probabilities with the weight of the section, or
    zeros with that weight without teachers; valence and arousal have weight 0. Raises EmotionEdgeError if the soft
    labels are of other faces or of none of the heads, or no face has enough confidence.
    """
    section = config.unlabelled
    assert section is not None
    read = read_unlabelled(section.path)
    faces = clean_training(in_memory(read, *config.input.shape))
    if section.soft_labels is None:
        images = faces.pixels.reshape(-1, *config.input.shape)
        return images, _targets(config, _nothing_said(config, len(images)), section.weight)
    soft = read_soft_labels(section.soft_labels)
    soft.check_heads(config.heads)
    said = soft.of(faces, read)
    first = said[config.primary if config.primary in said else next(iter(said))]
    kept = np.flatnonzero(first.max(axis=1) >= section.confidence)
    if section.most_per_class is not None:
        kept = few_of_each(first.argmax(axis=1), kept, section.most_per_class, config.seed)
    if not len(kept):
        raise EmotionEdgeError(f"{section.soft_labels}: no face with a confidence of {section.confidence}; lower it")
    counts = np.bincount(first[kept].argmax(axis=1), minlength=first.shape[1])
    _log.info("%s: %d faces are learned from, by class: %s", section.path, len(kept), ", ".join(map(str, counts)))
    targets = _targets(config, {head: each[kept] for head, each in said.items()}, section.weight)
    return faces.pixels[kept].reshape(-1, *config.input.shape), targets


def few_of_each(
    classes: npt.NDArray[np.int64], candidates: npt.NDArray[np.int64], most: int, seed: int
) -> npt.NDArray[np.int64]:
    """Select at most `most` candidates of each class, in ascending order.

    classes: int64 [n]. candidates: indexes into classes.
    """
    order = np.random.default_rng(seed).permutation(candidates)
    kept = [order[classes[order] == each][:most] for each in np.unique(classes[candidates])]
    return np.sort(np.concatenate(kept)) if kept else candidates


def _nothing_said(config: TrainingConfig, count: int) -> dict[str, npt.NDArray[np.float32]]:
    heads = (head for head in config.heads if head != AFFECT)
    return {head: np.zeros((count, len(labels_of(head))), np.float32) for head in heads}


def _targets(config: TrainingConfig, said: Mapping[str, npt.NDArray[np.float32]], weight: float) -> Arrays:
    count = len(next(iter(said.values())))
    sizes = {head: 2 if head == AFFECT else len(labels_of(head)) for head in config.heads}
    weights = np.full((count, 1), weight, np.float32)
    return {
        head: np.concatenate([said[head], weights], axis=1) if head in said else np.zeros((count, size + 1), np.float32)
        for head, size in sizes.items()
    }
