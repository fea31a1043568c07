"""`python -m training.synthetic.crop_framing --data DIR`: fits the crop of a YuNet box to the framing of FER-2013.

Training faces are pasted into frames with their whole 48x48 square, so the square that a crop should give back is
known.
"""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from edge.config import DetectorSettings
from edge.errors import EmotionEdgeError
from edge.faces.detector import open_detector
from edge.models.runtime import choose
from edge.reading import Box, Detection
from training.synthetic.compose import read_faces, scenes

SIDES: Final = (64, 200)
SCENES: Final = 1000
SEED: Final = 48
MATCH: Final = 0.25
"""Least intersection over union of a detection with a pasted face's square to be of that face; low, as the framing is
yet to be fitted.
"""

Floats = npt.NDArray[np.float64]


def pairs(data: Path) -> Iterator[tuple[Detection, Box]]:
    """Yield pairs of a detection (yunet, 320) and the square into which its face was pasted, in pixels of the frame.

    Squares without a detection at an intersection over union of MATCH or more are left out.
    """
    detector = open_detector(DetectorSettings(size="320"), choose(), 1)
    for scene in scenes(read_faces(data, "Training"), SCENES, SIDES, seed=SEED):
        found = detector.detect(scene.image)
        for square in scene.boxes:
            best = max(found, key=lambda detection: detection.box.iou(square), default=None)
            if best is not None and best.box.iou(square) > MATCH:
                yield best, square


def formulas(found: list[Detection]) -> Mapping[str, tuple[Floats, Floats]]:
    """Candidate crops by name: centre [n, 2], and a length [n] that the side of the square is proportional to."""
    boxes = np.array([(it.box.x, it.box.y, it.box.width, it.box.height) for it in found])
    marks = np.array([it.landmarks for it in found], np.float64)
    sizes = boxes[:, 2:]
    centre = boxes[:, :2] + sizes / 2
    eyes, mouth = marks[:, :2].mean(1), marks[:, 3:].mean(1)
    spread = np.sqrt(marks.var(1).sum(1))
    return {
        "box, sqrt(w h)": (centre, np.sqrt(sizes.prod(1))),
        "box, max(w, h)": (centre, sizes.max(1)),
        "box, w": (centre, sizes[:, 0]),
        "landmarks, spread": (marks.mean(1), spread),
        "landmarks, eyes to mouth": ((eyes + mouth) / 2, np.linalg.norm(eyes - mouth, axis=1)),
        "landmarks, sqrt(w h)": (marks.mean(1), np.sqrt(sizes.prod(1))),
    }


def fit(centre: Floats, length: Floats, squares: Floats) -> tuple[float, Floats, float, Floats]:
    """The scale and shift (x, y, in sides) that fit best, both medians, for squares [n, 3] of x, y and side.

    Returns them, the standard deviation of the logarithm of the true scale, and the intersection over union [n] of the
    fitted and the true squares.
    """
    side = squares[:, 2]
    scale = float(np.median(side / length))
    fitted = scale * length
    shift = np.median((squares[:, :2] + side[:, None] / 2 - centre) / fitted[:, None], axis=0)
    corner = centre + (shift - 0.5) * fitted[:, None]
    low = np.maximum(corner, squares[:, :2])
    high = np.minimum(corner + fitted[:, None], squares[:, :2] + side[:, None])
    shared = np.clip(high - low, 0, None).prod(1)
    return scale, shift, float(np.std(np.log(side / length))), shared / (fitted**2 + side**2 - shared)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m training.synthetic.crop_framing", description="Measure the face crop's defaults."
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with fer2013.csv")
    data = parser.parse_args().data
    try:
        found, known = zip(*pairs(data), strict=True)
    except EmotionEdgeError as error:
        parser.exit(2, f"{error}\n")
    squares = np.array([(box.x, box.y, box.width) for box in known])
    print(f"{len(known)} faces, {SIDES[0]} to {SIDES[1]} px")
    print(f"{'centre, length':26}{'scale':>7}{'spread':>8}{'shift x':>9}{'shift y':>9}{'IoU':>7}{'p10':>7}")
    for name, (centre, length) in formulas(list(found)).items():
        scale, shift, spread, iou = fit(centre, length, squares)
        print(
            f"{name:26}{scale:7.3f}{spread:8.3f}{shift[0]:+9.3f}{shift[1]:+9.3f}"
            f"{iou.mean():7.3f}{np.percentile(iou, 10):7.3f}"
        )


if __name__ == "__main__":
    main()
