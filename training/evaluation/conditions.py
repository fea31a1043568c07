"""The whole product measured on faces under room conditions: distant, dim, rolled, blurred, backlit.

Each face is placed in its own frame under each condition and passes through the detector, crop, network and publishing
rule of the board. Conditions on a single frame use one image; the distance conditions use a stream of one second.
"""

import json
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from matplotlib.figure import Figure

from edge.config import Settings
from edge.emotion.classifier import Classifier, open_classifier
from edge.errors import EmotionEdgeError
from edge.faces.detector import Detector, open_detector
from edge.models.runtime import choose
from edge.pipeline import Pipeline
from edge.reading import Box, Face, Frame, Image
from training.datasets.dataset import Dataset
from training.datasets.pixels import image_of
from training.pages.plots import bars
from training.synthetic.conditions import CONDITIONS, Condition, compose

FOUND_IOU: Final = 0.3
"""Least intersection over union with the true box for a face to count as found; low, as rotated faces get larger
boxes.
"""

SECOND: Final = 10
"""Number of frames in a stream of one second."""


@dataclass(frozen=True, slots=True)
class Faces:
    """Face crops, grey or BGR uint8, with the label of each, or None where none is known."""

    name: str
    images: Sequence[Image]
    labels: Sequence[str | None]


@dataclass(frozen=True, slots=True)
class Figures:
    """Results under one condition: shares of the faces, 0 to 1; a face that was not found counts as wrong.

    found: share of faces found by the detector. same: share whose published label equals that under the first
    condition. right: share whose published label is the true one; None without labels. uncertain: share of the found
    faces published as `uncertain`. intervals: 95% intervals, by the name of the figure.
    """

    condition: str
    faces: int
    found: float
    same: float
    right: float | None
    uncertain: float
    intervals: Mapping[str, tuple[float, float]]


def read_zip(path: Path, count: int, seed: int) -> Faces:
    """Draw images at random from a zip archive; they have no labels.

    Args:
        path: The zip archive.
        count: Number of images to draw.
        seed: Seed of the draw.

    Raises:
        EmotionEdgeError: The archive holds no images.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(name for name in archive.namelist() if name.lower().endswith((".jpg", ".jpeg", ".png")))
            images = [
                cv2.imdecode(np.frombuffer(archive.read(names[row]), np.uint8), cv2.IMREAD_COLOR)
                for row in _drawn(len(names), count, seed)
            ]
    except (OSError, zipfile.BadZipFile) as error:
        raise EmotionEdgeError(f"conditions: {path} cannot be read as a zip archive: {error}") from error
    faces = [np.asarray(image, np.uint8) for image in images if image is not None]
    if not faces:
        raise EmotionEdgeError(f"conditions: {path} holds no JPEG or PNG image")
    return Faces(path.stem, faces, [None] * len(faces))


def _drawn(total: int, count: int, seed: int) -> list[int]:
    return sorted(np.random.default_rng(seed).permutation(total)[:count].tolist())


def draw_rows(labels: Sequence[str | None], count: int, seed: int) -> list[int]:
    """Draw the row indexes of `count` labelled faces, with the classes as balanced as possible."""
    rng = np.random.default_rng(seed)
    waiting: dict[str, list[int]] = {}
    for row in rng.permutation(len(labels)).tolist():
        if (label := labels[row]) is not None:
            waiting.setdefault(label, []).append(row)
    drawn: list[int] = []
    while len(drawn) < count and any(waiting.values()):
        for label in sorted(waiting):
            if waiting[label] and len(drawn) < count:
                drawn.append(waiting[label].pop())
    return sorted(drawn)


def measure(
    faces: Faces,
    settings: Settings,
    conditions: Sequence[Condition] = CONDITIONS,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Figures]:
    """Run every face through the product under every condition.

    Args:
        faces: The faces to measure on.
        settings: Settings of the product; those of the camera and the outputs are ignored.
        conditions: The conditions, one for each row of the result; labels are compared with those of the first.
        seed: Seed of noise, blur and movement.
        progress: Called with the name of each condition before it is measured.
    """
    runtime = choose(settings.runtime.interpreter, settings.runtime.accelerator)
    detector = open_detector(settings.detector, runtime, settings.runtime.threads)
    classifier = open_classifier(settings.emotion, runtime, settings.runtime.threads)
    figures: list[Figures] = []
    clean: list[str | None] = []
    for number, condition in enumerate(conditions):
        progress(condition.name)
        published = [
            _published(face, condition, detector, classifier, settings, np.random.default_rng((seed, row, number)))
            for row, face in enumerate(faces.images)
        ]
        clean = clean or published
        figures.append(_figures(condition.name, published, clean, faces.labels))
    return figures


def _published(
    face: Image,
    condition: Condition,
    detector: Detector,
    classifier: Classifier,
    settings: Settings,
    rng: np.random.Generator,
) -> str | None:
    """Run the product on a face under a condition; returns the published label, or None if no face was found."""
    if not condition.stream:
        image, box = compose(face, condition, rng)
        pipeline = Pipeline(detector, classifier, settings, confirm=1, still=True)
        return _label(pipeline.analyse(Frame(image, 0.0, 0.0, 0)).faces, box)
    pipeline = Pipeline(detector, classifier, settings)
    for number in range(SECOND):
        image, box = compose(face, condition, rng, complex(number / 2, number / 4))
        label = _label(pipeline.analyse(Frame(image, number / SECOND, 0.0, number)).faces, box)
        if label is not None:
            return label
    return None


def _label(faces: Sequence[Face], box: Box) -> str | None:
    best = max(faces, key=lambda face: face.detection.box.iou(box), default=None)
    return best.emotion if best and best.detection.box.iou(box) >= FOUND_IOU else None


def _figures(
    name: str, published: Sequence[str | None], clean: Sequence[str | None], labels: Sequence[str | None]
) -> Figures:
    total = len(published)
    counts = {
        "found": sum(label is not None for label in published),
        "same": sum(a is not None and a == b for a, b in zip(published, clean, strict=True)),
    }
    if any(labels):
        counts["right"] = sum(a is not None and a == b for a, b in zip(published, labels, strict=True))
    uncertain = sum(label == "uncertain" for label in published) / max(counts["found"], 1)
    intervals = {key: _wilson(count, total) for key, count in counts.items()}
    right = counts["right"] / total if "right" in counts else None
    return Figures(name, total, counts["found"] / total, counts["same"] / total, right, uncertain, intervals)


def _wilson(count: int, total: int) -> tuple[float, float]:
    """The 95% confidence interval of a proportion (Wilson 1927)."""
    z = 1.96
    share, spread = count / total, z * z / total
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / total + spread / total / 4)
    return max(0.0, middle - half), min(1.0, middle + half)


def table(figures: Sequence[Figures]) -> Iterator[str]:
    """Format the figures as the lines of a Markdown table."""
    labelled = figures[0].right is not None
    yield f"| condition | found | same label as clean |{' right |' if labelled else ''} uncertain |"
    yield "|---|---|---|" + ("---|" if labelled else "") + "---|"
    for row in figures:
        right = "" if row.right is None else f" {row.right:.1%} |"
        yield f"| {row.condition} | {row.found:.1%} | {row.same:.1%} |{right} {row.uncertain:.1%} |"


def as_json(faces: Faces, settings: Settings, figures: Sequence[Figures], seed: int) -> dict[str, Any]:
    """Combine figures with the faces, settings and seed of the measurement, for JSON."""
    return {
        "faces": faces.name,
        "count": len(faces.images),
        "seed": seed,
        "model": settings.emotion.model,
        "detector": settings.detector.model_dump(mode="json"),
        "conditions": [asdict(row) for row in figures],
    }


def labelled_faces(data: Dataset, label_set: str, split: str, count: int, seed: int) -> Faces:
    """Draw labelled faces from one split of a data set, with the classes as balanced as possible.

    Raises EmotionEdgeError if the data set lacks this label set or the split has no labelled faces.
    """
    if label_set not in data.labels:
        raise EmotionEdgeError(
            f"conditions: {data.name} has no labels of {label_set} (it has {', '.join(data.labels)})"
        )
    part = data.part(split)
    names, judged = part.labels[label_set].names, part.labels[label_set].judged
    labels = [names[label] if label >= 0 else None for label in judged.tolist()]
    rows = draw_rows(labels, count, seed)
    if not rows:
        raise EmotionEdgeError(f"conditions: {data.name}: no face of {split} has a label")
    return Faces(f"{data.name} {split}", [image_of(part, row) for row in rows], [labels[row] for row in rows])


def plot(before: Sequence[Figures], after: Sequence[Figures] = ()) -> Figure:
    """Plot the share found, and the share right (or unchanged), by condition; optionally for two measurements."""
    part = "right" if before[0].right is not None else "same label"
    series: dict[str, list[float]] = {}
    for suffix, figures in ((" before" if after else "", before), (" after" if after else "", after)):
        if figures:
            series["found" + suffix] = [row.found for row in figures]
            series[part + suffix] = [row.same if row.right is None else row.right for row in figures]
    return bars([row.condition for row in before], series, "share of all faces", percent=True)


def read_json(path: Path) -> list[Figures]:
    """Read figures written by `as_json`. Raises EmotionEdgeError if the file holds none."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["conditions"]
        return [Figures(**row) for row in rows]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise EmotionEdgeError(f"conditions: {path}: holds no figures of emotion-train conditions: {error}") from error
