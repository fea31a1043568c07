"""Magnitude pruning and weight clustering: fewer distinct weights, so that the file compresses better.

The .tflite itself gets neither smaller nor faster, but it is smaller in a compressed package or transfer.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow_model_optimization as tfmot
import tf_keras

from edge.errors import EmotionEdgeError
from quantize.fine_tune import Lesson, teach
from training.config import TrainingConfig
from training.datasets.dataset import Dataset

SLIM_EPOCHS, SLIM_LEARNING_RATE = 2, 3e-4


def pruned(twin: Any, sparsity: float, data: Dataset, config: TrainingConfig, lesson: Lesson) -> Any:
    """Set the smallest weights of each layer to zero, and fine-tune the network (Zhu and Gupta 2017).

    sparsity: share of weights that are zero, 0 to 1.
    """
    schedule = tfmot.sparsity.keras.ConstantSparsity(sparsity, begin_step=0, frequency=1)
    student = tfmot.sparsity.keras.prune_low_magnitude(_copy(twin), schedule)
    update = tfmot.sparsity.keras.UpdatePruningStep()
    update.set_model(student)
    student.optimizer = tf_keras.optimizers.Adam()  # the callback reads its step
    update.on_train_begin()
    teach(student, twin, data, config, lesson, _stepped(update))
    update.on_epoch_end(-1)  # sets weights to zero again that the last step changed
    return tfmot.sparsity.keras.strip_pruning(student)


def clustered(twin: Any, clusters: int, data: Dataset, config: TrainingConfig, lesson: Lesson) -> Any:
    """Restrict each layer's weights to `clusters` shared values, and fine-tune the network (Han et al. 2016).

    Raises EmotionEdgeError if a layer has fewer weights than `clusters`.
    """
    for layer in twin.layers:
        if (kernel := getattr(layer, "kernel", None)) is not None and np.size(kernel) < clusters:
            raise EmotionEdgeError(f"--cluster {clusters}: layer {layer.name} has only {np.size(kernel)} weights")
    kind = tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS
    student = tfmot.clustering.keras.cluster_weights(
        _copy(twin), number_of_clusters=clusters, cluster_centroids_init=kind
    )
    teach(student, twin, data, config, lesson)
    return tfmot.clustering.keras.strip_clustering(student)


def _copy(twin: Any) -> Any:
    copy = tf_keras.models.clone_model(twin)
    copy.set_weights(twin.get_weights())
    return copy


def _stepped(update: Any) -> Callable[[], None]:
    def before_step() -> None:
        update.on_train_batch_begin(batch=-1)

    return before_step


def lesson_of(prune: float | None) -> Lesson:
    """Return the settings with which a pruned or clustered network is fine-tuned."""
    return Lesson(
        "pruning" if prune is not None else "clustering", SLIM_EPOCHS, SLIM_LEARNING_RATE, {}, keep_best=False
    )


def slimmed(
    twin: Any, prune: float | None, clusters: int, data: Dataset, config: TrainingConfig, lesson: Lesson
) -> Any:
    """Prune the network to a share `prune` of zeros, or if that is None cluster its weights to `clusters` values."""
    if prune is not None:
        return pruned(twin, prune, data, config, lesson)
    return clustered(twin, clusters, data, config, lesson)
