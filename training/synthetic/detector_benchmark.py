"""Recall, precision and processor time of each face detector on composed frames: the table of docs/detectors.md.

`python -m training.synthetic.detector_benchmark --data DIR` prints it as Markdown. The faces are those of FER-2013's
PublicTest, in the sizes of three ranges; calibration of the int8 networks saw Training faces only.
"""

import argparse
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge.config import DetectorSettings
from edge.errors import EmotionEdgeError
from edge.faces.detector import Detector, open_detector
from edge.models.runtime import choose
from training.synthetic.compose import Scene, read_faces, scenes

FRAMES: Final = ((640, 480), (1280, 720))
RANGES: Final = ((16, 24), (24, 48), (48, 96), (96, 200))
"""Widths of the faces in pixels of the frame."""
FOUND_IOU: Final = 0.4
"""Least intersection over union of a detector's box with the face's square for the face to count as found."""
FIRST: Final = "yunet 320"
"""The detector whose processor time is 1 in the table."""


def detectors(onnx: Path | None, res10: Path | None) -> Iterator[tuple[str, Detector]]:
    """Yield the available detectors by name. onnx, res10: files of OpenCV's YuNet and Res10 networks, if any."""
    runtime = choose()
    wanted: list[tuple[str, Mapping[str, object]]] = [
        *((f"yunet {size}", {"kind": "yunet", "size": size}) for size in (160, 320, 640)),
        *((f"opencv-yunet {size}", {"kind": "opencv-yunet", "size": size, "file": onnx}) for size in (160, 320, 640)),
        ("haar", {"kind": "haar"}),
        ("res10", {"kind": "res10", "file": res10}),
    ]
    for name, keys in wanted:
        try:
            yield name, open_detector(DetectorSettings.model_validate(keys), runtime, 1)
        except EmotionEdgeError as error:
            print(f"{name}: left out: {error}")


def measure(detector: Detector, composed: Mapping[tuple[int, int], list[Scene]]) -> tuple[list[float], float, float]:
    """Recall in each range, precision over all of them, and the median processor milliseconds of a frame.

    composed: frames by the range of their faces' widths.
    """
    recalls, times, right, wrong = [], [], 0, 0
    for frames in composed.values():
        seen = faces = 0
        for scene in frames:
            began = time.process_time()
            found = detector.detect(scene.image)
            times.append(time.process_time() - began)
            seen += sum(max((it.box.iou(box) for it in found), default=0.0) >= FOUND_IOU for box in scene.boxes)
            faces += len(scene.boxes)
            true = sum(max(it.box.iou(box) for box in scene.boxes) >= FOUND_IOU for it in found)
            right, wrong = right + true, wrong + len(found) - true
        recalls.append(seen / faces)
    return recalls, right / max(right + wrong, 1), float(np.median(times)) * 1000


def table(data: Path, onnx: Path | None, res10: Path | None, count: int) -> Iterator[str]:
    """Lines of Markdown, a table for each size of frame; count: frames of each range of widths."""
    cv2.setNumThreads(1)
    faces = read_faces(data, "PublicTest")
    found = dict(detectors(onnx, res10))
    for size in FRAMES:
        composed = {
            sides: [scene for scene in scenes(faces, count, sides, size=size, seed=17) if scene.boxes]
            for sides in RANGES
        }
        rows = {name: measure(detector, composed) for name, detector in found.items()}
        widths = [f"{low} to {high} px" for low, high in RANGES]
        yield ""
        yield f"| {size[0]}x{size[1]} | time | {' | '.join(widths)} | precision |"
        yield "|---" * (len(RANGES) + 3) + "|"
        for name, (recalls, precision, milliseconds) in rows.items():
            cells = [f"{milliseconds / rows[FIRST][2]:.2g}", *(f"{recall:.0%}" for recall in recalls)]
            yield f"| {name} | {' | '.join(cells)} | {precision:.0%} |"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m training.synthetic.detector_benchmark", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with fer2013.csv")
    parser.add_argument("--onnx", type=Path, help="OpenCV's YuNet, face_detection_yunet_2023mar.onnx")
    parser.add_argument("--res10", type=Path, help="res10_300x300_ssd_iter_140000.caffemodel")
    parser.add_argument("--frames", type=int, default=60, help="frames of each size and range (60)")
    arguments = parser.parse_args()
    try:
        for line in table(arguments.data, arguments.onnx, arguments.res10, arguments.frames):
            print(line, flush=True)
    except EmotionEdgeError as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
