"""Augmentation of a batch inside the training process, in keras.ops: it runs on any backend and costs no worker
processes.
"""

import inspect
import math
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from edge.errors import EmotionEdgeError


@keras.saving.register_keras_serializable("emotion_edge")
class Augment(keras.layers.Layer):  # type: ignore[misc]
    """Pixels to network input, varied while training.

    Input: [n, h, w, c], 0 to 255, uint8 or float. Output: float32 [n, h, w, c], 0 to 1. Outside training it only
    divides.

    While training each image gets, independently: a mirror image half of the time, one warp (shift, scale, rotation:
    what a detector's box jitters by), light (contrast, brightness, gamma, light from one side), for a part of them
    blur or noise (cheap cameras, distant or dim faces), and for a part of them an erased rectangle
    (hands, hair, glasses). Past the edge the edge pixels are repeated, as the board's crop does.

    shift: fraction of the side, either way. scale: fraction, either way. rotate: degrees, either way. contrast,
    brightness: either way, of 1. gamma: either way, of the exponent's logarithm. side_light: either way, how much one
    side is brighter. blur, noise, erase: fraction of images that get it.
    """

    def __init__(
        self,
        shift: float = 0.1,
        scale: float = 0.15,
        rotate: float = 12.0,
        contrast: float = 0.3,
        brightness: float = 0.15,
        gamma: float = 0.3,
        side_light: float = 0.2,
        blur: float = 0.2,
        noise: float = 0.15,
        erase: float = 0.3,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.settings: dict[str, float] = {
            "shift": shift, "scale": scale, "rotate": rotate, "contrast": contrast, "brightness": brightness,
            "gamma": gamma, "side_light": side_light, "blur": blur, "noise": noise, "erase": erase,
        }  # fmt: skip
        self.seed = seed
        self.random = keras.random.SeedGenerator(seed)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.settings, "seed": self.seed}

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def call(self, images: Any, training: bool = False) -> Any:
        x = ops.cast(images, "float32") / 255.0
        if not training:
            return x
        x = self._warp(x)
        x = self._soften(x)
        x = self._light(x)
        x = self._erase(x)
        return ops.clip(x, 0.0, 1.0)

    def _uniform(self, count: Any, low: float, high: float) -> Any:
        return keras.random.uniform((count,), low, high, seed=self.random)

    def _each(self, count: Any, low: float, high: float) -> Any:
        return ops.reshape(self._uniform(count, low, high), (-1, 1, 1, 1))

    def _chosen(self, count: Any, part: float) -> Any:
        """1 for a part of the images, 0 for the others: float32 [n, 1, 1, 1]."""
        return ops.cast(self._each(count, 0.0, 1.0) < part, "float32")

    def _warp(self, x: Any) -> Any:
        """Flip, scale, rotation and shift as one affine map from output to input pixels, about the middle of the
        image.
        """
        count, height, width = ops.shape(x)[0], x.shape[1], x.shape[2]
        settings = self.settings
        angle = self._uniform(count, -1.0, 1.0) * (settings["rotate"] * math.pi / 180.0)
        zoom = 1.0 / (1.0 + self._uniform(count, -1.0, 1.0) * settings["scale"])
        mirror = ops.where(self._uniform(count, 0.0, 1.0) < 0.5, -1.0, 1.0)
        shift_x = self._uniform(count, -1.0, 1.0) * (settings["shift"] * width)
        shift_y = self._uniform(count, -1.0, 1.0) * (settings["shift"] * height)
        cos, sin = ops.cos(angle) * zoom, ops.sin(angle) * zoom
        rows = ops.reshape(ops.arange(height, dtype="float32") - (height - 1) / 2.0, (1, height, 1))
        columns = ops.reshape(ops.arange(width, dtype="float32") - (width - 1) / 2.0, (1, 1, width))

        def place(along: Any, across: Any, moved: Any, middle: float) -> Any:
            a, b, c = (ops.reshape(v, (-1, 1, 1)) for v in (along, across, moved))
            return a * columns + b * rows + (c + middle)

        return sample(
            x,
            place(cos * mirror, -sin, shift_x, (width - 1) / 2.0),
            place(sin * mirror, cos, shift_y, (height - 1) / 2.0),
        )

    def _soften(self, x: Any) -> Any:
        """A part of the images blended with their 3x3 mean, or with that mean's own: as soft as half the size."""
        count = ops.shape(x)[0]
        once = mean3(x)
        softer = once + self._chosen(count, 0.5) * (mean3(once) - once)
        return x + self._chosen(count, self.settings["blur"]) * self._each(count, 0.3, 1.0) * (softer - x)

    def _light(self, x: Any) -> Any:
        """Gamma, contrast about the image's mean, brightness, light from one side, and for a part of the images sensor
        noise.
        """
        count, settings = ops.shape(x)[0], self.settings
        x = ops.power(ops.clip(x, 1e-3, 1.0), ops.exp(settings["gamma"] * self._each(count, -1.0, 1.0)))
        mean = ops.mean(x, axis=(1, 2, 3), keepdims=True)
        gain = 1.0 + settings["contrast"] * self._each(count, -1.0, 1.0)
        x = mean + gain * (x - mean) + settings["brightness"] * self._each(count, -1.0, 1.0)
        rows = ops.reshape(ops.linspace(-1.0, 1.0, x.shape[1]), (1, -1, 1, 1))
        columns = ops.reshape(ops.linspace(-1.0, 1.0, x.shape[2]), (1, 1, -1, 1))
        tilt = self._each(count, -1.0, 1.0) * rows + self._each(count, -1.0, 1.0) * columns
        x = x * (1.0 + settings["side_light"] * tilt)
        grain = self._chosen(count, settings["noise"]) * self._each(count, 0.0, 0.06)
        return x + grain * keras.random.normal(ops.shape(x), seed=self.random)

    def _erase(self, x: Any) -> Any:
        """A part of the images with a rectangle of 1/6 to 1/2 of the side replaced by a flat grey."""
        count, height, width = ops.shape(x)[0], x.shape[1], x.shape[2]
        inside = self._each(count, 0.0, 1.0) < self.settings["erase"]
        for axis, size in ((1, height), (2, width)):
            line = ops.reshape(
                ops.arange(size, dtype="float32") / size, (1, size, 1, 1) if axis == 1 else (1, 1, size, 1)
            )
            half, middle = self._each(count, 1 / 12, 1 / 4), self._each(count, 0.0, 1.0)
            inside = ops.logical_and(inside, ops.abs(line - middle) < half)
        return ops.where(inside, self._each(count, 0.0, 1.0), x)


def augmentation(settings: Mapping[str, float], seed: int) -> Augment:
    """The layer with a run's settings. Raises EmotionEdgeError for a name that is none of them."""
    parameters = inspect.signature(Augment.__init__).parameters
    known = [name for name, parameter in parameters.items() if isinstance(parameter.default, float)]
    if unknown := [name for name in settings if name not in known]:
        raise EmotionEdgeError(f"augment: {', '.join(unknown)}: not known (known: {', '.join(known)})")
    return Augment(**settings, seed=seed)


def sample(images: Any, x: Any, y: Any) -> Any:
    """Pixels of images [n, h, w, c] at places x, y [n, h', w'] in pixels, bilinear, edge pixels repeated outside.

    Four gathers from one flat list: on PyTorch an order of magnitude faster than keras.ops.image.affine_transform.
    """
    height, width, channels = images.shape[1:]
    count = ops.shape(images)[0]
    x, y = ops.clip(x, 0.0, width - 1.0), ops.clip(y, 0.0, height - 1.0)
    left, top = ops.floor(x), ops.floor(y)
    right_part, lower_part = ops.expand_dims(x - left, -1), ops.expand_dims(y - top, -1)
    x0, y0 = ops.cast(left, "int32"), ops.cast(top, "int32")
    x1, y1 = ops.minimum(x0 + 1, width - 1), ops.minimum(y0 + 1, height - 1)
    flat = ops.reshape(images, (-1, channels))
    first = ops.cast(ops.reshape(ops.arange(count) * (height * width), (-1, 1, 1)), "int32")

    def at(row: Any, column: Any) -> Any:
        return ops.take(flat, first + row * width + column, axis=0)

    upper = at(y0, x0) * (1.0 - right_part) + at(y0, x1) * right_part
    lower = at(y1, x0) * (1.0 - right_part) + at(y1, x1) * right_part
    return upper * (1.0 - lower_part) + lower * lower_part


def mean3(x: Any) -> Any:
    """The 3x3 mean of images [n, h, w, c], edge pixels repeated: sums of slices, which every backend does fast."""
    for axis in (1, 2):
        size = x.shape[axis]
        before = ops.concatenate([_slice(x, axis, 0, 1), _slice(x, axis, 0, size - 1)], axis=axis)
        after = ops.concatenate([_slice(x, axis, 1, size), _slice(x, axis, size - 1, size)], axis=axis)
        x = (before + x + after) / 3.0
    return x


def _slice(x: Any, axis: int, start: int, stop: int) -> Any:
    return x[:, start:stop] if axis == 1 else x[:, :, start:stop]
