"""Differences of detection rate and label stability between the demographic groups of FairFace.

FairFace has no expression labels, so accuracy cannot be measured; detection rate and stability of the label can. Its
groups are those perceived by its annotators.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from edge.config import Settings
from edge.emotion.classifier import open_classifier
from edge.errors import EmotionEdgeError
from edge.faces.crop import face_crops
from edge.faces.detector import open_detector
from edge.models.runtime import choose
from edge.reading import Box, Image
from training.datasets.fairface import GROUPS, open_fairface
from training.evaluation.metrics import Interval, wilson

LEAST: Final = 200
"""Fewest faces of a pair of groups (such as an age and a gender) for it to get a row."""
MIDDLE: Final = 0.5
"""Side of the central square of a FairFace image, as a share of its side: detections centred in it are of its face."""
BORDER_GREY: Final = (110, 110, 110)
"""Colour, BGR, of the border around a FairFace image, half a side wide, which keeps the face off the frame's edge."""
NOTE: Final = (
    "FairFace has no expression labels: this is evenness and steadiness, not accuracy. Its groups are those its "
    "annotators saw."
)

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Row:
    """Results for one group, or one pair of groups.

    faces: number of faces. found: share that the detector finds, with its 95% interval. same: for each altered view,
    the share of the found faces that keep the label of the clean view, with its interval. confidence: mean probability
    of the predicted label. uncertain: share published as uncertain. emotions: share of each label, including uncertain
    ones.
    """

    group: str
    faces: int
    found: tuple[float, Interval]
    same: Mapping[str, tuple[float, Interval]]
    confidence: float
    uncertain: float
    emotions: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Seen:
    """Outputs of the product for n faces.

    found: bool [n]. labels: int64 [n] by view, -1 if not found. confidence: float64 [n], 0 to 1, on the clean view.
    """

    found: npt.NDArray[np.bool_]
    labels: Mapping[str, Labels]
    confidence: npt.NDArray[np.float64]


VIEWS: Final = ("mirrored", "darkened", "blurred", "small")
"""Names of the altered views of a face: mirror image; a quarter of the light, with read noise of 6 of 255; motion blur
of an eighth of the face's width; face 32 pixels wide.
"""


def other_views(frame: Image, width: float, generator: np.random.Generator) -> tuple[Image, ...]:
    """Altered copies of a frame, in the order of VIEWS.

    Args:
        frame: uint8 image.
        width: Width of the face, pixels.
        generator: Random generator of the noise.
    """
    dark = frame * np.float32(0.25) + generator.normal(0, 6, frame.shape).astype(np.float32)
    blurred = cv2.blur(frame, (max(1, round(width / 8)), 1), borderType=cv2.BORDER_REPLICATE)
    height, across = (max(1, round(side * 32 / width)) for side in frame.shape[:2])
    small = cv2.resize(frame, (across, height), interpolation=cv2.INTER_AREA)
    small = cv2.resize(small, frame.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    views = (frame[:, ::-1], np.clip(np.rint(dark), 0, 255), blurred, small)
    return tuple(np.ascontiguousarray(view, np.uint8) for view in views)


def parity(path: Path, settings: Settings, seed: int = 0) -> tuple[list[Row], tuple[str, ...]]:
    """Run the validation faces of FairFace through the detector, crop and classifier.

    Each image gets a grey border. The box found in the clean view is also used in the altered views.

    Args:
        path: FairFace's files.
        settings: Settings of the product.
        seed: Seed of the noise.

    Returns:
        A row for all faces, for each group, and for each pair of groups with at least LEAST faces; and the emotion
            names.

    Raises:
        EmotionEdgeError: There is no FairFace at the path.
    """
    faces = open_fairface(path, "val")
    if faces is None:
        raise EmotionEdgeError(
            f"{path}: no FairFace; give fairface-val.zip, or the folder with `val` and fairface_label_val.csv"
        )
    seen, labels = _seen(faces.images(), len(faces), settings, seed)
    below = settings.emotion.uncertain_below
    groups = {name: np.array(values) for name, values in faces.groups.items()}
    rows = [_row("all", np.ones(len(faces), np.bool_), seen, labels, below)]
    for number in (1, 2):
        for names in combinations(GROUPS, number):
            for values in sorted(set(zip(*(groups[name].tolist() for name in names), strict=True))):
                inside = np.all([groups[name] == value for name, value in zip(names, values, strict=True)], axis=0)
                if number == 1 or np.count_nonzero(inside) >= LEAST:
                    rows.append(_row(", ".join(values), inside, seen, labels, below))
    return rows, labels


def _seen(chips: Iterator[Image], count: int, settings: Settings, seed: int) -> tuple[Seen, tuple[str, ...]]:
    runtime, threads = choose(settings.runtime.interpreter, settings.runtime.accelerator), settings.runtime.threads
    detector = open_detector(settings.detector, runtime, threads)
    classifier = open_classifier(settings.emotion, runtime, threads)
    card, generator = classifier.card, np.random.default_rng(seed)
    found, confidence = np.zeros(count, np.bool_), np.zeros(count)
    labels = {view: np.full(count, -1, np.int64) for view in ("clean", *VIEWS)}
    for row, chip in enumerate(chips):
        height, width = chip.shape[:2]
        borders = (height // 2, height // 2, width // 2, width // 2)
        bordered = cv2.copyMakeBorder(chip, *borders, cv2.BORDER_CONSTANT, value=BORDER_GREY)
        frame: Image = np.asarray(bordered, np.uint8)
        best = _in_the_middle([detection.box for detection in detector.detect(frame)], frame, chip)
        if best is None:
            continue
        found[row] = True
        mirror = Box(frame.shape[1] - best.x - best.width, best.y, best.width, best.height)
        views = [frame, *other_views(frame, best.width, generator)]
        places = [best, *(mirror if name == "mirrored" else best for name in VIEWS)]
        crops = [face_crops(view, [box], card.crop, card.input) for view, box in zip(views, places, strict=True)]
        said = classifier.classify(np.concatenate(crops)).probabilities
        confidence[row] = said[0].max()
        for name, probabilities in zip(labels, said, strict=True):
            labels[name][row] = int(np.argmax(probabilities))
    return Seen(found, labels, confidence), classifier.labels


def _in_the_middle(boxes: Sequence[Box], frame: Image, chip: Image) -> Box | None:
    """Return the highest-scoring box whose centre is in the central square of the FairFace image, or None."""
    (height, width), (high, wide) = frame.shape[:2], chip.shape[:2]
    for box in boxes:
        right, down = box.x + box.width / 2 - width / 2, box.y + box.height / 2 - height / 2
        if abs(right) <= MIDDLE * wide / 2 and abs(down) <= MIDDLE * high / 2:
            return box
    return None


def _row(group: str, inside: npt.NDArray[np.bool_], seen: Seen, labels: tuple[str, ...], below: float) -> Row:
    there = inside & seen.found
    total, found = np.count_nonzero(inside), np.count_nonzero(there)
    clean = seen.labels["clean"][there]
    same = {}
    for view in VIEWS:
        count = int(np.count_nonzero(seen.labels[view][there] == clean))
        same[view] = (count / max(found, 1), wilson(count, found))
    counts = np.bincount(clean, minlength=len(labels)) / max(found, 1)
    confidence = seen.confidence[there]
    return Row(
        group,
        total,
        (found / total, wilson(found, total)),
        same,
        float(confidence.mean()) if found else 0.0,
        float(np.mean(confidence < below)) if found else 0.0,
        dict(zip(labels, counts.tolist(), strict=True)),
    )


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Format the rows as a Markdown table, in percent; two numbers in brackets are a 95% interval (Wilson)."""
    columns = ("group", "faces", "found", *VIEWS, "confidence", "uncertain", *rows[0].emotions)
    yield f"| {' | '.join(columns)} |"
    yield "|---|" + "---:|" * (len(columns) - 1)
    for row in rows:
        cells = [_share(row.found), *map(_share, row.same.values()), f"{row.confidence:.2f}", f"{row.uncertain:.1%}"]
        emotions = [f"{share:.1%}" for share in row.emotions.values()]
        yield f"| {row.group} | {row.faces} | {' | '.join([*cells, *emotions])} |"


def as_json(rows: Sequence[Row], model: str) -> str:
    """The results as JSON data, with a statement of their limits. Numbers have four decimals."""
    content: dict[str, Any] = {"model": model, "note": NOTE, "rows": [_rounded(asdict(row)) for row in rows]}
    return json.dumps(content, indent=2)


def from_json(content: Mapping[str, Any]) -> list[Row]:
    """The rows of `as_json`, with its four decimals."""

    def share(value: Sequence[Any]) -> tuple[float, Interval]:
        return float(value[0]), (float(value[1][0]), float(value[1][1]))

    return [
        Row(**row | {"found": share(row["found"]), "same": {view: share(same) for view, same in row["same"].items()}})
        for row in content["rows"]
    ]


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(part) for part in value]
    return round(value, 4) if isinstance(value, float) else value


def _share(of: tuple[float, Interval]) -> str:
    share, (low, high) = of
    return f"{100 * share:.1f} ({100 * low:.1f}-{100 * high:.1f})"
