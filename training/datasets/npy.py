"""Pairs of NumPy files: `X_train.npy` and `Y_train.npy`, `X_test.npy` and `Y_test.npy`, or `X.npy` and `Y.npy`."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError
from edge.labels import LABEL_SETS, labels_of, map_matrix, set_name
from training.datasets.assemble import Choices, with_splits
from training.datasets.dataset import Dataset, Labels, one_hot
from training.datasets.names import emotions_of, read_mapping
from training.datasets.splits import split_of

_log = logging.getLogger(__name__)

Array = npt.NDArray[Any]


def npy_pairs(path: Path) -> Mapping[Path, tuple[Path, int | None]]:
    """Find the image arrays in a folder, each with its label file and the split that the file name gives, if any."""
    files = {file.name.casefold(): file for file in sorted(path.glob("*.npy"))}
    pairs = {}
    for name, images in files.items():
        labels = files.get("y" + name[1:])
        split = split_of(name[1:].removesuffix(".npy"))
        if name.startswith("x") and labels is not None and (split is not None or name == "x.npy"):
            pairs[images] = labels, split
    return pairs


def read_npy(path: Path, choices: Choices) -> Dataset:
    """Read the faces of all pairs in a folder, in the order Training, PublicTest, PrivateTest; missing splits are cut.

    Images: [n, h, w] or [n, h, w, 1] grey, or [n, h, w, 3] RGB (converted to BGR); integers of 0 to 255, or floats of 0
    to 1 (of 0 to 255 if any exceeds 1). Labels: class numbers from 0, [n] or [n, 1]; or one-hot rows or distributions
    that sum to 1, [n, classes]. Class numbers index `choices.label_set`, or are named by the mapping (`0: happy`); else
    the only label set with as many classes is taken, and logged.

    Raises:
        EmotionEdgeError: A file has other contents (with its name).
    """
    pairs = npy_pairs(path)
    if not pairs:
        raise EmotionEdgeError(f"{path}: no X_train.npy with Y_train.npy, nor X.npy with Y.npy")
    ordered = sorted(pairs.items(), key=lambda it: (it[1][1] or 0, it[0]))
    images = [_images(file) for file, _ in ordered]
    labels = [_load(file) for _, (file, _) in ordered]
    for (file, (other, _)), pixels, classes in zip(ordered, images, labels, strict=True):
        if len(pixels) != len(classes):
            raise EmotionEdgeError(f"{other}: {len(classes)} labels, but {file.name} has {len(pixels)} images")
        if pixels.shape[1:] != images[0].shape[1:]:
            raise EmotionEdgeError(
                f"{file}: images of {pixels.shape[1:]}, but {ordered[0][0].name} has {images[0].shape[1:]}"
            )
    files = [file for _, (file, _) in ordered]
    splits = [
        np.full(len(pixels), split or 0, np.int64) for pixels, (_, (_, split)) in zip(images, ordered, strict=True)
    ]
    split = np.concatenate(splits)
    name = path.resolve().name
    data = Dataset(
        name, np.concatenate(images), _labels(path, files, labels, choices), None, False, split, np.arange(len(split))
    )
    return with_splits(data, path, choices.seed)


def _load(file: Path) -> Array:
    try:
        array = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise EmotionEdgeError(f"{file}: cannot be read as an array of NumPy ({error})") from None
    if array.ndim == 0 or not len(array) or array.dtype.kind not in "uifb":
        raise EmotionEdgeError(f"{file}: no array of numbers, a row a face ({array.dtype}, {array.shape})")
    return np.asarray(array)


def _images(file: Path) -> npt.NDArray[np.uint8]:
    array = _load(file)
    if array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]
    if array.ndim != 3 and not (array.ndim == 4 and array.shape[3] == 3):
        raise EmotionEdgeError(f"{file}: shape {array.shape}, but images are [n, h, w], [n, h, w, 1] or [n, h, w, 3]")
    low, high = float(array.min()), float(array.max())
    if not 0 <= low <= high <= 255:
        raise EmotionEdgeError(f"{file}: pixels from {low:g} to {high:g} instead of 0 to 255 or 0 to 1")
    if array.dtype.kind == "f":
        array = np.rint(array * 255 if high <= 1 else array)
    pixels = array.astype(np.uint8)
    return np.ascontiguousarray(pixels[..., ::-1]) if pixels.ndim == 4 else pixels


def _labels(path: Path, files: list[Path], arrays: list[Array], choices: Choices) -> Mapping[str, Labels]:
    arrays = [array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array for array in arrays]
    widths = {array.shape[1] if array.ndim == 2 else 0 for array in arrays}
    if len(widths) > 1 or any(array.ndim > 2 for array in arrays):
        raise EmotionEdgeError(f"{path}: labels are neither all class numbers [n] nor all [n, classes]")
    for file, array in zip(files, arrays, strict=True):
        whole = array.ndim == 2 or np.array_equal(array, np.rint(array))
        if not np.isfinite(array).all() or array.min() < 0 or not whole:
            raise EmotionEdgeError(f"{file}: labels are class numbers from 0, or rows of probabilities")
        if array.ndim == 2 and not np.allclose(array.sum(axis=1), 1, atol=1e-3):
            raise EmotionEdgeError(f"{file}: the labels of a face do not sum to 1")
    values = np.concatenate(arrays)
    count = widths.pop() or int(values.max()) + 1
    names, emotions = _classes(path, count, values.ndim == 2, choices)
    numbers = values.ndim == 1
    own = np.eye(count, dtype=np.float32)[values.astype(np.int64)] if numbers else values.astype(np.float32)
    matrix = np.zeros((count, len(names)), np.float32)
    for row, emotion in enumerate(emotions[:count]):
        if emotion is not None:
            matrix[row] = map_matrix((emotion,), names)[0]
    probabilities = own @ matrix
    total = probabilities.sum(axis=1, keepdims=True)
    probabilities = np.divide(probabilities, total, out=np.zeros_like(probabilities), where=total > 0)
    judged = np.where(probabilities.any(axis=1), probabilities.argmax(axis=1), -1)
    return {set_name(names): one_hot(names, judged) if numbers else Labels(names, probabilities, judged)}


def _classes(path: Path, count: int, exact: bool, choices: Choices) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
    """Return the class names of the label set, and the emotion that each class number stands for.

    exact: True if `count` is the number of all classes, False if there may be further classes without faces.
    """
    mapping = read_mapping(choices.mapping)
    if mapping:
        emotions = emotions_of([str(number) for number in range(count)], mapping, str(path))
        own = tuple(emotions[str(number)] for number in range(count))
        names = tuple(dict.fromkeys(name for name in own if name is not None))
        return (labels_of(choices.label_set) if choices.label_set else labels_of(set_name(names))), own
    label_set = choices.label_set
    if label_set is None:
        fitting = [name for name, classes in LABEL_SETS.items() if len(classes) == count]
        if len(fitting) != 1:
            known = ", ".join(sorted(f"{len(classes)} as {name}" for name, classes in LABEL_SETS.items()))
            raise EmotionEdgeError(
                f"{path}: {count} classes, which {'several label sets have' if fitting else 'no label set has'} "
                f"({known}): choose one, such as happy-sad-neutral"
            )
        label_set = fitting[0]
        _log.warning("%s: %d classes are taken for %s", path, count, label_set)
    names = labels_of(label_set)
    if count != len(names) if exact else count > len(names):
        raise EmotionEdgeError(f"{path}: {count} classes, but the label set {set_name(names)} has {len(names)}")
    return names, names
