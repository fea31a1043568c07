"""YuNet (Wu, Peng and Yu, "YuNet: A Tiny Millisecond-level Face Detector", 2023) as an int8 TFLite network.

`python -m quantize.detector` makes the file. Its outputs, for the cells of the grids of stride 8, 16 and 32, row by
row, one grid after the other:

- `scores` [1, cells, 2]: logits of class and objectness, as `max(logit, LOGIT_FLOOR) - LOGIT_FLOOR`, so that the int8
  range covers the logits that matter (those of plain background go down to -47);
- `geometry` [1, cells, 14]: centre of the box (x, y) from the cell's corner and the logarithms of its width and height,
  in strides; then x and y of the five landmarks, in strides divided by LANDMARK_SCALE.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError
from edge.models.card import MODEL_FILE, Card, read_card
from edge.models.runtime import Network, Runtime
from edge.reading import Box, Detection, Image

STRIDES: Final = (8, 16, 32)
SIZES: Final[Mapping[int, tuple[int, int]]] = {160: (160, 128), 320: (320, 256), 640: (640, 480)}
"""Input width and height of each network, by its width: 4:3, rounded up to a multiple of the largest stride."""
AUTO: Final = "auto"
SMALL: Final = 320
LARGE: Final = 640
"""Widths of the two networks of `detector.size: auto`."""
LOGIT_FLOOR: Final = -6.0
LANDMARK_SCALE: Final = 2.0
OVERLAP: Final = 0.3
"""IoU threshold of non-maximum suppression; OpenCV's default for YuNet."""

Bytes = npt.NDArray[np.int8]
_LANDMARKS: Final = 5


def model_name(size: int | str) -> str:
    """Return the name of the released model for a width in SIZES; for `auto`, of the smaller one."""
    return f"yunet-{SMALL if size == AUTO else size}"


def letterbox(image: Image, canvas: Image) -> float:
    """Resize an image into the upper left of a canvas at its own aspect ratio; the rest becomes black.

    Args:
        image: BGR uint8 [H, W, 3] or grey [H, W].
        canvas: BGR uint8 [h, w, 3], written to.

    Returns:
        The scale: canvas pixels = scale * image pixels.
    """
    height, width = image.shape[:2]
    canvas_height, canvas_width = canvas.shape[:2]
    scale = min(canvas_width / width, canvas_height / height)
    right, bottom = max(1, round(width * scale)), max(1, round(height * scale))
    if scale < 0.4:
        # INTER_AREA takes 1.7 ms for 1920x1080; the mean of four samples takes 0.3 ms, with the same recall.
        image = np.asarray(cv2.resize(image, (2 * right, 2 * bottom), interpolation=cv2.INTER_NEAREST), np.uint8)
    if image.ndim == 2:
        image = np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
    # Bilinear shrinking to a half is the mean of 2x2 pixels.
    cv2.resize(image, (right, bottom), dst=canvas[:bottom, :right], interpolation=cv2.INTER_LINEAR)
    canvas[bottom:] = 0
    canvas[:bottom, right:] = 0
    return float(scale)


def _cells(height: int, width: int) -> Iterator[npt.NDArray[np.float32]]:
    """Yield for each grid an array [cells, 3]: x and y of the cells' corners in strides, and the stride in pixels."""
    for stride in STRIDES:
        y, x = np.mgrid[: height // stride, : width // stride]
        yield np.stack([x, y, np.full_like(x, stride)], -1).reshape(-1, 3).astype(np.float32)


def _logit(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


class YuNet:
    """The int8 YuNet detector; images are letterboxed to its input size."""

    def __init__(self, folder: Path, score: float, runtime: Runtime, threads: int = 1) -> None:
        """Load a model folder.

        Args:
            folder: with `card.json` and `model.tflite`.
            score: least detection score, 0 to 1.
            runtime: interpreter.
            threads: of the interpreter.

        Raises:
            EmotionEdgeError: the model is missing, damaged or no YuNet.
        """
        card = read_card(Card, folder)
        self._network = Network(folder / MODEL_FILE, runtime, threads)
        height, width = card.input.height, card.input.width
        pixels = np.arange(256, dtype=np.uint8)
        as_stored = (pixels ^ 0x80).view(np.int8)
        named = {name: tensor.dtype for name, tensor in self._network.outputs.items()}
        if named != {"scores": np.int8, "geometry": np.int8} or not np.array_equal(card.input.lookup(), as_stored):
            raise EmotionEdgeError(f"model {folder}: is no YuNet as `python -m quantize.detector` makes it")
        self.size = width, height
        self._cells = np.concatenate(list(_cells(height, width)))
        self._units = np.array([1.0] * 4 + [LANDMARK_SCALE] * 2 * _LANDMARKS, np.float32)
        self._canvas = np.zeros((height, width, 3), np.uint8)
        self._score = min(max(score, 0.01), 0.999)
        logits = self._network.outputs["scores"].dequantize(pixels.view(np.int8)) + LOGIT_FLOOR
        # The probability that each stored byte stands for.
        self._probabilities = 1 / (1 + np.exp(-logits))
        # score = sqrt(class * objectness) is at least the limit only if both factors are at least its square.
        self._least = int(pixels.view(np.int8)[logits >= _logit(self._score**2)].min(initial=127))

    def detect(self, image: Image) -> list[Detection]:
        """Detect the faces of an image of any size, best score first, in its pixels, each with five landmarks."""
        scale = letterbox(image, self._canvas)
        # The input is int8: pixel - 128, which is the pixel with its highest bit flipped.
        np.bitwise_xor(self._canvas, 0x80, out=self._canvas)
        outputs = self._network.stored(self._canvas.view(np.int8)[None])
        return self._decode(outputs["scores"][0], outputs["geometry"][0], scale)

    def _decode(self, scores: Bytes, geometry: Bytes, scale: float) -> list[Detection]:
        """Decode quantized scores [cells, 2] and geometry [cells, 14]; only likely cells are dequantized."""
        likely = np.flatnonzero((scores[:, 0] >= self._least) & (scores[:, 1] >= self._least))
        if not likely.size:
            return []
        probabilities = self._probabilities[scores[likely].view(np.uint8)]
        score = np.sqrt(probabilities[:, 0] * probabilities[:, 1]).tolist()
        corners, strides = self._cells[likely, :2], self._cells[likely, 2:] / scale
        places = self._network.outputs["geometry"].dequantize(geometry[likely]) * self._units
        sizes = np.exp(places[:, 2:4]) * strides
        places[:, :2] += corners
        places[:, 4:] += np.tile(corners, _LANDMARKS)
        places *= strides
        places[:, :2] -= sizes / 2
        places[:, 2:4] = sizes
        boxes = places[:, :4].tolist()
        kept = np.asarray(cv2.dnn.NMSBoxes(boxes, score, self._score, OVERLAP), np.intp).reshape(-1)
        landmarks = places[:, 4:].reshape(-1, _LANDMARKS, 2)
        return [Detection(Box(*boxes[at]), score[at], landmarks[at]) for at in kept]
