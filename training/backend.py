"""What differs between Keras's backends: TensorFlow, JAX and PyTorch."""

from typing import Any

import keras


def set_up(precision: str, seed: int) -> None:
    """The precision and the seed of what is built next; on PyTorch a faster batch normalization.

    precision: `float32` or `mixed_bfloat16`. The same seed gives the same figures on a CPU.
    """
    keras.config.set_dtype_policy(precision)
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "torch":
        _fuse_batch_norm()


def jit_compile() -> bool | str:
    """XLA halves the speed of small networks on a CPU with TensorFlow; on JAX there is nothing else."""
    return "auto" if keras.backend.backend() == "jax" else False


def reseed(model: Any, seed: int, epoch: int) -> None:
    """Put every random generator of a model's layers to a place that depends on the seed and the epoch alone, so that
    a run that was stopped carries on as if it had not been.
    """
    generators = [
        value
        for layer in model._flatten_layers()
        for value in vars(layer).values()
        if isinstance(value, keras.random.SeedGenerator)
    ]
    for index, generator in enumerate(generators):
        generator.state.assign([(seed * 1000 + index) % 2**31, epoch * 1_000_000 % 2**31])


def _fuse_batch_norm() -> None:
    """Let Keras's layer call PyTorch's own batch normalization while training: the same figures (but for the running
    variance, which PyTorch takes of a sample instead of a population), and 1.3 to 1.7 times the speed of a step.
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
