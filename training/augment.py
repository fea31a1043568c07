"""Augmentation of a batch inside the training process, in keras.ops: it runs on any backend and costs no worker
processes.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from edge.errors import EmotionEdgeError

ROLL = 30.0
"""Largest rotation in either direction of a face rolled by `roll` (a tilted head), degrees."""
MOTION = 0.15
"""Longest motion blur, as a share of the image's side."""
MOTION_STEPS = 5
FEWEST_PIXELS = 16
"""Smallest side, in pixels, to which `distance` shrinks a face."""
DARKEST = 0.1
"""Smallest exposure that `dim` draws, as a share of a well exposed face's."""
READ_NOISE = 6 / 255
"""Largest standard deviation of the read noise of `dim`, as a share of full scale: a cheap camera's in the dark."""

# ITU-T T.81, table K.1: quantization steps of luminance.
_LUMINANCE_STEPS = (
    16, 11, 10, 16, 24, 40, 51, 61,
    12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77,
    24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip


@keras.saving.register_keras_serializable("emotion_edge")
class Augment(keras.layers.Layer):  # type: ignore[misc]
    """Layer that augments images in training, and scales pixels to the network's input.

    Input: [n, h, w, c], 0 to 255, uint8 or float. Output: float32 [n, h, w, c], 0 to 1. Outside training it only
    divides by 255.

    In training each image is changed independently of the others: half of the images are mirrored; all are shifted,
    scaled and rotated, as a detector's box varies, and differ in light (contrast, brightness, gamma, light from one
    side); some are blurred or get noise (cheap cameras, distant or dim faces), and some lose a rectangle (hands, hair,
    glasses). Past the edge the edge pixels are repeated, as in the crop on the board.

    Effects of a room are off by default: large roll, an occluding ellipse, motion blur, distance (few pixels), low
    light with read noise, and JPEG.

    Args:
        shift: largest shift in each direction, as a fraction of the side.
        scale: largest change of the size, larger or smaller, as a fraction of it.
        rotate: largest rotation in either direction, degrees.
        contrast: largest change of the factor of the contrast from 1.
        brightness: largest amount added to or subtracted from all pixels of 0 to 1.
        gamma: largest absolute logarithm of the exponent.
        side_light: largest relative change of brightness at the edges, along each axis.
        blur: fraction of images blended with their 3x3 mean.
        noise: fraction of images with Gaussian noise of up to 0.06.
        erase: fraction of images with an erased rectangle.
        roll: fraction of images rotated by up to ROLL degrees, in place of `rotate`.
        cover: fraction of images with an ellipse of one shade over a part of the face.
        motion: fraction of images blurred along a line of up to MOTION of the side.
        distance: fraction of images shrunk to between FEWEST_PIXELS and the full size, and enlarged again.
        dim: fraction of images exposed DARKEST to 1 times as long, with read noise of up to READ_NOISE; half of them
            multiplied back to their brightness, as exposure correction on the board does.
        jpeg: fraction of images with the quantized 8x8 blocks of JPEG, of quality 20 to 80.
        seed: seed of the random numbers.
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
        roll: float = 0.0,
        cover: float = 0.0,
        motion: float = 0.0,
        distance: float = 0.0,
        dim: float = 0.0,
        jpeg: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.settings: dict[str, float] = {
            "shift": shift, "scale": scale, "rotate": rotate, "contrast": contrast, "brightness": brightness,
            "gamma": gamma, "side_light": side_light, "blur": blur, "noise": noise, "erase": erase,
            "roll": roll, "cover": cover, "motion": motion, "distance": distance, "dim": dim, "jpeg": jpeg,
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
        x = self._on_part(x, "cover", self._cover)
        x = self._on_part(x, "motion", self._motion)
        x = self._on_part(x, "distance", self._distance)
        x = self._on_part(x, "dim", self._dim)
        x = self._on_part(x, "jpeg", self._jpeg)
        return ops.clip(x, 0.0, 1.0)

    def _on_part(self, x: Any, name: str, step: Callable[[Any], Any]) -> Any:
        """Apply a step to a random share of the batch, given by the setting `name`; other images take no time.

        A step that is off draws no random numbers, so that runs without it stay reproducible.
        """
        if not self.settings[name]:
            return x
        count = ops.shape(x)[0]
        part = ops.cast(ops.round(ops.cast(count, "float32") * self.settings[name]), "int32")
        part = part if keras.backend.backend() == "tensorflow" else int(part)
        order = ops.argsort(self._uniform(count, 0.0, 1.0))
        shuffled = ops.take(x, order, axis=0)
        changed = ops.concatenate([step(shuffled[:part]), shuffled[part:]], axis=0)
        return ops.take(changed, ops.argsort(order), axis=0)

    def _uniform(self, count: Any, low: float, high: float) -> Any:
        return keras.random.uniform((count,), low, high, seed=self.random)

    def _each(self, count: Any, low: float, high: float) -> Any:
        return ops.reshape(self._uniform(count, low, high), (-1, 1, 1, 1))

    def _chosen(self, count: Any, part: float) -> Any:
        """Draw a random mask float32 [n, 1, 1, 1]: 1 with probability `part`, else 0."""
        return ops.cast(self._each(count, 0.0, 1.0) < part, "float32")

    def _warp(self, x: Any) -> Any:
        """Flip, scale, rotate and shift images by one affine map from output to input pixels, about the centre."""
        count, height, width = ops.shape(x)[0], x.shape[1], x.shape[2]
        settings = self.settings
        angle = self._uniform(count, -1.0, 1.0) * (settings["rotate"] * math.pi / 180.0)
        if settings["roll"]:
            rolled = self._uniform(count, -1.0, 1.0) * (ROLL * math.pi / 180.0)
            angle = ops.where(self._uniform(count, 0.0, 1.0) < settings["roll"], rolled, angle)
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
        """Blend a part of the images with their 3x3 mean, or with that mean applied twice (half the resolution)."""
        count = ops.shape(x)[0]
        once = mean3(x)
        softer = once + self._chosen(count, 0.5) * (mean3(once) - once)
        return x + self._chosen(count, self.settings["blur"]) * self._each(count, 0.3, 1.0) * (softer - x)

    def _light(self, x: Any) -> Any:
        """Vary gamma, contrast, brightness and side light, and add sensor noise to a part of the images."""
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
        """Replace a rectangle of 1/6 to 1/2 of the side by flat grey, in a part of the images."""
        count, height, width = ops.shape(x)[0], x.shape[1], x.shape[2]
        inside = self._each(count, 0.0, 1.0) < self.settings["erase"]
        for axis, size in ((1, height), (2, width)):
            line = ops.reshape(
                ops.arange(size, dtype="float32") / size, (1, size, 1, 1) if axis == 1 else (1, 1, size, 1)
            )
            half, middle = self._each(count, 1 / 12, 1 / 4), self._each(count, 0.0, 1.0)
            inside = ops.logical_and(inside, ops.abs(line - middle) < half)
        return ops.where(inside, self._each(count, 0.0, 1.0), x)

    def _cover(self, x: Any) -> Any:
        """Draw an ellipse of one shade, as an occlusion by a hand, a mask or glasses."""
        count, height, width = ops.shape(x)[0], x.shape[1], x.shape[2]
        rows = ops.reshape(ops.linspace(0.0, 1.0, height), (1, -1, 1, 1)) - self._each(count, 0.0, 1.0)
        columns = ops.reshape(ops.linspace(0.0, 1.0, width), (1, 1, -1, 1)) - self._each(count, 0.0, 1.0)
        rows, columns = rows / self._each(count, 0.08, 0.3), columns / self._each(count, 0.08, 0.3)
        shade = ops.mean(x, axis=(1, 2, 3), keepdims=True) * self._each(count, 0.3, 1.7)
        return ops.where(rows * rows + columns * columns < 1.0, shade, x)

    def _motion(self, x: Any) -> Any:
        """Motion blur: the mean of MOTION_STEPS samples along a line of random direction and length."""
        count, height, width = ops.shape(x)[0], x.shape[1], x.shape[2]
        angle = self._uniform(count, 0.0, math.pi)
        length = self._uniform(count, 0.0, MOTION) * width
        right, down = (ops.reshape(each, (-1, 1, 1)) for each in (ops.cos(angle) * length, ops.sin(angle) * length))
        rows = ops.reshape(ops.arange(height, dtype="float32"), (1, height, 1))
        columns = ops.reshape(ops.arange(width, dtype="float32"), (1, 1, width))
        total = ops.zeros_like(x)
        for step in range(MOTION_STEPS):
            part = step / (MOTION_STEPS - 1) - 0.5
            total = total + sample(x, columns + part * right + 0.0 * rows, rows + part * down + 0.0 * columns)
        return total / MOTION_STEPS

    def _distance(self, x: Any) -> Any:
        """Shrink by area averaging to a random size and enlarge linearly, as the crop on the board enlarges."""
        count, height, width = ops.shape(x)[0], x.shape[1], x.shape[2]
        part = self._uniform(count, FEWEST_PIXELS / min(height, width), 1.0)
        x = ops.einsum("nij,njwc->niwc", resampling(ops.floor(part * height), height), x)
        return ops.einsum("nij,nhjc->nhic", resampling(ops.floor(part * width), width), x)

    def _dim(self, x: Any) -> Any:
        """Short exposure: less light, read noise, and a gain that restores the brightness of half of the images."""
        count = ops.shape(x)[0]
        light = ops.exp(self._each(count, math.log(DARKEST), 0.0))
        noise = self._each(count, 0.0, READ_NOISE) * keras.random.normal(ops.shape(x), seed=self.random)
        seen = ops.clip(light * x + noise, 0.0, 1.0)
        return ops.where(self._each(count, 0.0, 1.0) < 0.5, seen / light, seen)

    def _jpeg(self, x: Any) -> Any:
        """Quantize 8x8 blocks as JPEG does (ITU-T T.81, annex A.3.3, table K.1), with steps scaled as in libjpeg.

        Pixels outside whole blocks are unchanged.
        """
        count, channels = ops.shape(x)[0], x.shape[3]
        high, wide = x.shape[1] // 8, x.shape[2] // 8
        if not (high and wide):
            return x
        quality = self._each(count, 20.0, 80.0)
        scaling = ops.where(quality < 50.0, 50.0 / quality, 2.0 - quality / 50.0) / 255.0
        table = ops.convert_to_tensor(np.array(_LUMINANCE_STEPS, np.float32).reshape(1, 1, 8, 1, 8, 1))
        steps = ops.maximum(table * ops.reshape(scaling, (-1, 1, 1, 1, 1, 1)), 1.0 / 255.0)
        cosines = ops.convert_to_tensor(_cosines())
        blocks = ops.reshape(x[:, : high * 8, : wide * 8], (-1, high, 8, wide, 8, channels))
        found = ops.einsum("ui,nyixjc,vj->nyuxvc", cosines, blocks - 0.5, cosines)
        coded = ops.einsum("ui,nyuxvc,vj->nyixjc", cosines, ops.round(found / steps) * steps, cosines)
        whole = ops.reshape(coded + 0.5, (-1, high * 8, wide * 8, channels))
        whole = ops.concatenate([whole, x[:, : high * 8, wide * 8 :]], axis=2)
        return ops.concatenate([whole, x[:, high * 8 :]], axis=1)


def augmentation(settings: Mapping[str, float], seed: int) -> Augment:
    """The augmentation layer with the settings of a run. Raises EmotionEdgeError for an unknown setting."""
    parameters = inspect.signature(Augment.__init__).parameters
    known = [name for name, parameter in parameters.items() if isinstance(parameter.default, float)]
    if unknown := [name for name in settings if name not in known]:
        raise EmotionEdgeError(f"augment: {', '.join(unknown)}: not known (known: {', '.join(known)})")
    return Augment(**settings, seed=seed)


def resampling(small: Any, size: int) -> Any:
    """Matrices [n, size, size] that shrink `size` pixels to `small` [n] by areas, and enlarge them again linearly."""
    pixels = ops.arange(size, dtype="float32")
    small = ops.reshape(small, (-1, 1, 1))
    into, source = ops.reshape(pixels, (1, -1, 1)), ops.reshape(pixels, (1, 1, -1))
    overlap = ops.minimum(source + 1.0, (into + 1.0) * size / small) - ops.maximum(source, into * size / small)
    down = ops.maximum(overlap, 0.0) * small / size
    place = ops.clip((ops.reshape(pixels, (1, -1, 1)) + 0.5) * small / size - 0.5, 0.0, small - 1.0)
    up = ops.maximum(1.0 - ops.abs(place - source), 0.0)
    return ops.matmul(up, down)


def _cosines() -> npt.NDArray[np.float32]:
    """The orthonormal cosine transform of 8 values (DCT-II), [frequency, place]."""
    places, frequencies = np.arange(8), np.arange(8)[:, None]
    basis = np.cos((2 * places + 1) * frequencies * np.pi / 16) / 2
    basis[0] /= math.sqrt(2)
    return np.asarray(basis, np.float32)


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
