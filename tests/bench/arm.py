"""`python -m tests.bench.arm`: instructions a frame of the whole pipeline on emulated Arm cores, and what that means.

Instructions are not time. The frame rates are an estimate: the published clock times a conservative number of
instructions a cycle, one core, over the instructions of a frame; memory, camera and outputs come on top.
"""

import argparse
import sys
from dataclasses import dataclass
from typing import Final

from edge.errors import EmotionEdgeError
from quantize.instructions import count
from tests.bench.clips import LENGTH, write_clips
from tests.bench.contestants import CACHE

PACKAGES: Final = "pipeline"
SHORT: Final = 12
SCRIPT: Final = """\
import sys
from pathlib import Path
import cv2
import numpy as np
from edge.config import Settings
from edge.pipeline import open_pipeline
from edge.reading import Frame
from edge.runtime import choose
path, width, height, model, every, size, frames = sys.argv[1:]
cv2.setNumThreads(1)
settings = Settings(detector={"every": int(every), "size": size}, emotion={"model": model})
pipeline = open_pipeline(settings, choose())
clip = np.fromfile(path, np.uint8, int(width) * int(height) * 3 * int(frames))
for number, image in enumerate(clip.reshape(-1, int(height), int(width), 3)):
    faces = pipeline.analyse(Frame(image, number / 30, number / 30, number)).faces
print(len(faces))
"""


@dataclass(frozen=True, slots=True)
class Board:
    """clock: GHz, published. per_cycle: instructions, stated low: these cores issue two to three at best."""

    name: str
    cpu: str
    clock: float
    per_cycle: float
    wanted: int


BOARDS: Final = (
    Board("Pi Zero 2 W", "cortex-a53", 1.0, 0.6, 10),
    Board("Pi 4", "cortex-a72", 1.5, 1.0, 30),
    Board("Pi 5", "cortex-a76", 2.4, 1.5, 30),
)


def frame_instructions(cpu: str, model: str, every: int, size: int, clip: str = "two faces") -> float:
    """Millions of instructions a frame of 640x480, the mean over the clip: the slope between two lengths of it.

    every: frames from one detection to the next. size: of the detector. Raises EmotionEdgeError as `count`.
    """
    path = write_clips(CACHE / "clips")[clip, 640, 480]
    words = ["-c", SCRIPT, str(path), "640", "480", model, str(every), str(size)]
    short, long = (count([*words, str(frames)], cpu, PACKAGES) for frames in (SHORT, LENGTH))
    return (long - short) / (LENGTH - SHORT) / 1e6


def main() -> int:
    """Gives the exit status: 0, or 2 with one line on standard error."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.arm", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="emotion-small")
    parser.add_argument("--size", type=int, default=320, help="of the detector")
    parser.add_argument("--every", type=int, nargs="+", default=[1, 3, 5], help="frames from detection to detection")
    options = parser.parse_args()
    print(f"{options.model}, yunet {options.size}, two faces, 640 x 480; one core. Frame rates are an estimate.\n")
    print("| | detection every | M instructions a frame | frames a second |\\n|---|---|---|---|")
    try:
        for board in BOARDS:
            for every in options.every:
                millions = frame_instructions(board.cpu, options.model, every, options.size)
                rate = 1000 * board.clock * board.per_cycle / millions
                facts = f"{board.name}, {board.cpu}, {board.clock} GHz at {board.per_cycle} a cycle"
                print(f"| {facts} | {every} | {millions:.1f} | {rate:.0f} |", flush=True)
    except EmotionEdgeError as error:
        print(f"tests.bench.arm: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
