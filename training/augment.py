"""Augmentation of a batch inside the training process, in keras.ops: it runs on any backend and costs no worker
processes.
"""

import math
from typing import Any

import keras
from keras import ops

FILL = 0.0


@keras.saving.register_keras_serializable("emotion_edge")
class Augment(keras.layers.Layer):  # type: ignore[misc]
    """Pixels to network input, varied while training.

    Input: [n, h, w, 1], 0 to 255, uint8 or float. Output: float32 [n, h, w, 1], 0 to 1. Outside training it only
    divides.

    While training each image gets, independently: a mirror image half of the time, one warp (shift, scale, rotation:
    what a detector's box jitters by), contrast and brightness (the light of a room), for a part of them blur or noise
    (small or dim faces), and for a part of them an erased rectangle (hands, hair, glasses).

    shift: fraction of the side, either way. scale: fraction, either way. rotate: degrees, either way. contrast,
    brightness: either way, of 1. blur, noise, erase: fraction of images that get it.
    """

    def __init__(
        self,
        shift: float = 0.1,
        scale: float = 0.15,
        rotate: float = 12.0,
        contrast: float = 0.3,
        brightness: float = 0.15,
        blur: float = 0.15,
        noise: float = 0.15,
        erase: float = 0.3,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.settings: dict[str, float] = {
            "shift": shift, "scale": scale, "rotate": rotate, "contrast": contrast, "brightness": brightness,
            "blur": blur, "noise": noise, "erase": erase,
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
        x = self._blur(x)
        x = self._light(x)
        x = self._erase(x)
        return ops.clip(x, 0.0, 1.0)

    def _uniform(self, count: Any, low: float, high: float) -> Any:
        return keras.random.uniform((count,), low, high, seed=self.random)

    def _each(self, count: Any, low: float, high: float) -> Any:
        return ops.reshape(self._uniform(count, low, high), (-1, 1, 1, 1))

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
        middle_x, middle_y = (width - 1) / 2.0, (height - 1) / 2.0
        a, b, d, e = cos * mirror, -sin, sin * mirror, cos
        c = middle_x + shift_x - a * middle_x - b * middle_y
        f = middle_y + shift_y - d * middle_x - e * middle_y
        zero = ops.zeros_like(a)
        matrix = ops.stack([a, b, c, d, e, f, zero, zero], axis=1)
        return ops.image.affine_transform(x, matrix, interpolation="bilinear", fill_mode="constant", fill_value=FILL)

    def _blur(self, x: Any) -> Any:
        """A part of the images blended with their 3x3 mean."""
        count = ops.shape(x)[0]
        chosen = ops.cast(self._each(count, 0.0, 1.0) < self.settings["blur"], "float32")
        weight = chosen * self._each(count, 0.3, 1.0)
        soft = ops.average_pool(x, 3, strides=1, padding="same")
        return x + weight * (soft - x)

    def _light(self, x: Any) -> Any:
        """Contrast about the image's mean, brightness, and for a part of the images sensor noise."""
        count, settings = ops.shape(x)[0], self.settings
        mean = ops.mean(x, axis=(1, 2, 3), keepdims=True)
        gain = 1.0 + settings["contrast"] * self._each(count, -1.0, 1.0)
        x = mean + gain * (x - mean) + settings["brightness"] * self._each(count, -1.0, 1.0)
        chosen = ops.cast(self._each(count, 0.0, 1.0) < settings["noise"], "float32")
        return x + chosen * self._each(count, 0.0, 0.06) * keras.random.normal(ops.shape(x), seed=self.random)

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
