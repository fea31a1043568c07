"""Handles differences between Keras's backends TensorFlow, JAX and PyTorch, and between one worker and several."""

import ctypes
import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import keras
import numpy as np

from edge.errors import EmotionEdgeError

CLUSTER = "TF_CONFIG"
"""Name of the environment variable that describes the cluster of workers to TensorFlow."""

# Parameter numbers of mallopt, from glibc's malloc.h.
M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Workers:
    """The processes that train one network together, each on its share of every batch.

    index: number of this process; only 0, the chief, reads and writes files. strategy: TensorFlow's distribution
    strategy; None for one worker.
    """

    index: int = 0
    count: int = 1
    strategy: Any = None

    @property
    def chief(self) -> bool:
        return self.index == 0

    def share(self, size: int) -> slice:
        """The rows of a batch for this worker. Raises EmotionEdgeError if the batch does not divide evenly."""
        if size % self.count:
            raise EmotionEdgeError(f"batches of {size}: do not divide among {self.count} workers; change `batch_size`")
        return slice(self.index, None, self.count)

    def scope(self) -> AbstractContextManager[Any]:
        """Context manager: variables created within it are mirrored on all workers."""
        return nullcontext() if self.strategy is None else self.strategy.scope()

    def join(self, model: Any) -> None:
        """Make each training step of a compiled model run on all workers together.

        Batch normalization then sees the whole batch, and the losses are those of all workers.
        """
        if self.count == 1:
            return
        import tensorflow as tf

        for layer in model._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = True

        def local(batch: Any) -> Any:
            reset_metrics()
            context = tf.distribute.get_replica_context()
            return {k: context.all_reduce(tf.distribute.ReduceOp.MEAN, v) for k, v in model.train_step(batch).items()}

        # Keras's own train function reduces over an axis that scalar losses lack, and resets the metrics before each
        # step, which costs one exchange between the workers per metric.
        step = tf.function(lambda batch: self.strategy.run(local, args=(batch,)), reduce_retracing=True)
        reset_metrics, model.reset_metrics = model.reset_metrics, lambda: None
        lost = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError)

        def together(batches: Iterator[Any]) -> Any:
            try:
                return step(next(batches))
            except lost as error:
                _log.debug("%s", error)
                raise EmotionEdgeError(
                    "a worker has stopped or cannot be reached; start all of them again: the run carries on after its "
                    "last whole epoch"
                ) from None

        model.train_function = together

    def agree(self, value: int) -> int:
        """Return the chief's (worker 0's) value on every worker."""
        return value if self.count == 1 else int(self._of_chief([np.asarray(value, np.int64)])[0])

    def spread(self, variables: Mapping[str, Sequence[Any]]) -> None:
        """Copy the values of the variables from the chief (worker 0) to every worker."""
        if self.count > 1:
            every = [variable for group in variables.values() for variable in group]
            values = self._of_chief([keras.ops.convert_to_numpy(variable) for variable in every])
            for variable, value in zip(every, values, strict=True):
                variable.assign(value)

    def _of_chief(self, values: list[Any]) -> list[Any]:
        import tensorflow as tf

        mine = [value if self.chief else np.zeros_like(value) for value in values]

        def summed() -> list[Any]:
            context = tf.distribute.get_replica_context()
            return [context.all_reduce(tf.distribute.ReduceOp.SUM, tf.constant(value)) for value in mine]

        return [value.numpy() for value in self.strategy.run(tf.function(summed))]


@cache
def workers() -> Workers:
    """Return the position of this process among the workers of a distributed training.

    There is one worker unless the environment variable TF_CONFIG describes a cluster; then the call waits for the
    others. Call it before building anything. Raises EmotionEdgeError if TensorFlow's MultiWorkerMirroredStrategy
    rejects TF_CONFIG, or the backend is not TensorFlow.
    """
    text = os.environ.get(CLUSTER)
    if not text:
        return Workers()
    try:
        told = json.loads(text)
        places = [(kind, i) for kind in ("chief", "worker") for i in range(len(told["cluster"].get(kind, [])))]
        index = places.index((told["task"]["type"], int(told["task"]["index"])))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise EmotionEdgeError(
            f"environment variable {CLUSTER}: must name a cluster of workers and which of them this is, such as "
            '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker", "index": 0}}'
        ) from None
    if len(places) == 1:
        return Workers()
    if keras.backend.backend() != "tensorflow":
        raise EmotionEdgeError(
            f"environment variable {CLUSTER}: several workers train on TensorFlow only; set KERAS_BACKEND=tensorflow"
        )
    import tensorflow as tf

    logging.getLogger("tensorflow").setLevel(logging.WARNING)
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    if strategy.num_replicas_in_sync != len(places):
        raise EmotionEdgeError("more than one GPU here: start a worker for each, and set CUDA_VISIBLE_DEVICES for it")
    return Workers(index, len(places), strategy)


def over_workers(value: Any) -> Any:
    """Sum a tensor over all workers, inside a training step; gradients are passed to all of them."""
    if not workers.cache_info().currsize or workers().count == 1:
        return value
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return value if context is None else context.all_reduce(tf.distribute.ReduceOp.SUM, value)


def set_up(precision: str, seed: int) -> None:
    """Set precision and seed for models built later; on PyTorch also enable faster layers and memory reuse.

    precision: `float32`, `mixed_bfloat16` or `mixed_float16`. The same seed gives the same figures on a CPU.
    """
    keras.config.set_dtype_policy(precision)
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "torch":
        _fuse_batch_norm()
        _leave_pixels_in_place()
        _keep_memory()


def on_accelerator(array: Any) -> Any:
    """Copy an array to the GPU or TPU that PyTorch or JAX trains on, so that batches need no transfers.

    Without an accelerator the array itself is returned.
    """
    if keras.backend.backend() == "torch":
        import torch

        return keras.ops.convert_to_tensor(array) if torch.cuda.is_available() else array
    if keras.backend.backend() == "jax":
        import jax

        alone = jax.default_backend() != "cpu" and devices() == 1
        return keras.ops.convert_to_tensor(array) if alone else array
    return array


def devices() -> int:
    """Number of GPUs of this process that share each batch; 1 unless `use_all_devices` found more."""
    distribution = keras.distribution.distribution() if keras.backend.backend() == "jax" else None
    return 1 if distribution is None else int(distribution.device_mesh.devices.size)


def use_all_devices(size: int) -> None:
    """On JAX, train on all GPUs of this process: each takes its part of every batch (Keras's DataParallel).

    Call it before building anything. size: number of faces in a batch. Raises EmotionEdgeError if it does not divide
    among the GPUs.
    """
    if keras.backend.backend() != "jax":
        return
    found = keras.distribution.list_devices()
    if len(found) < 2:
        return
    if size % len(found):
        raise EmotionEdgeError(f"batches of {size}: do not divide among {len(found)} GPUs; change `batch_size`")
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=found))
    _log.info("training on %d devices: %s", len(found), ", ".join(found))


def jit_compile() -> bool | str:
    """Value of Keras's jit_compile: `auto` on JAX, else False, as XLA halves TensorFlow's speed on a CPU."""
    return "auto" if keras.backend.backend() == "jax" else False


def reseed(parts: Sequence[Any], seed: int, epoch: int, worker: int = 0) -> None:
    """Seed all random generators of layers and models by seed, epoch and worker only, so that resuming is exact."""
    generators = {
        id(value): value
        for part in parts
        for layer in part._flatten_layers()
        for value in vars(layer).values()
        if isinstance(value, keras.random.SeedGenerator)
    }
    for index, generator in enumerate(generators.values()):
        first = (seed * 1000 + worker * 100_003 + index) % 2**31
        generator.state.assign([first, epoch * 1_000_000 % 2**31])


def _fuse_batch_norm() -> None:
    """Make Keras use PyTorch's own batch normalization in training: a step is 1.3 to 1.7 times as fast.

    Figures are the same, except for the running variance, which PyTorch computes as a sample's, not a population's.
    """
    import torch
    from keras.layers import BatchNormalization

    if hasattr(BatchNormalization, "unfused_call"):
        return
    BatchNormalization.unfused_call = BatchNormalization.call

    def call(self: Any, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        last = self.axis in (-1, len(inputs.shape) - 1)
        if not (training and self.trainable and self.scale and self.center and last) or inputs.device.type == "meta":
            return self.unfused_call(inputs, training=training, mask=mask)
        out = torch.nn.functional.batch_norm(
            inputs.movedim(-1, 1),
            self.moving_mean.value,
            self.moving_variance.value,
            self.gamma.value,
            self.beta.value,
            True,
            1.0 - self.momentum,
            self.epsilon,
        )
        return out.movedim(1, -1)

    BatchNormalization.call = call


def _leave_pixels_in_place() -> None:
    """Make Keras's convolutions and poolings on PyTorch read [n, h, w, c] without copying it to [n, c, h, w].

    A step of a network of depthwise convolutions takes 0.8 of the time.
    """
    from keras.src.backend.torch import nn

    nn._transpose_spatial_inputs = lambda inputs: inputs.movedim(-1, 1)


def _keep_memory() -> None:
    """Make glibc keep freed memory for the next step; does nothing with another C library.

    PyTorch allocates each tensor anew, and clearing fresh pages takes up to a fifth of a step with large tensors.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for setting in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
            mallopt(setting, 2**31 - 1)
