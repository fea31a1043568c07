"""`python -m tests.bench.arm`: instructions per frame of the pipeline on emulated Arm cores, and estimated frame rates.

Instructions are not time. The frame rates are an estimate for one core: the published clock times a conservative number
of instructions per cycle, divided by the instructions of a frame, without memory stalls, camera and outputs.
"""

import argparse
import sys
from dataclasses import dataclass
from typing import Final

import numpy as np

from edge.config import Settings
from edge.errors import EmotionEdgeError
from edge.models.runtime import choose
from edge.pipeline import open_pipeline
from edge.reading import Frame
from quantize.arm import CPUS
from quantize.instructions import count, counts
from tests.bench.clips import LENGTH, write_clips
from tests.bench.contestants import CACHE

PACKAGES: Final = "pipeline"
SHORT: Final = 12
LONG: Final = SHORT + 240
"""Frames of the longer of two runs: 8 s more at 30 frames a second, a multiple of the large network's interval."""
SPARSE: Final = 5
RATE: Final = 10.0
SCRIPT: Final = """\
import sys
from pathlib import Path
import cv2
import numpy as np
from edge.config import Settings
from edge.faces import two_sizes
from edge.pipeline import open_pipeline
from edge.reading import Frame
from edge.models.runtime import choose
path, width, height, model, every, rate, size, length, frames = sys.argv[1:]
cv2.setNumThreads(1)
two_sizes.SLOW = float("inf")  # a look takes longer in emulation
settings = Settings(detector={"every": int(every), "size": size}, emotion={"model": model, "rate": float(rate)})
pipeline = open_pipeline(settings, choose())
clip = np.fromfile(path, np.uint8).reshape(int(length), int(height), int(width), 3)
last = int(length) - 1
for number in range(int(frames)):
    image = clip[last - abs(last - number % (2 * last))]  # forwards and backwards in turn, so that nobody jumps
    faces = pipeline.analyse(Frame(image, number / 30, number / 30, number)).faces
print(len(faces))
"""

EXPOSURE_SCRIPT: Final = """\
import os
import sys
import numpy as np
from edge.faces.exposure import Exposure, brighten_crop
path, width, height = sys.argv[1:]
frame = np.fromfile(path, np.uint8, int(width) * int(height) * 3).reshape(int(height), int(width), 3)
crop, exposure = np.ascontiguousarray(frame[:64, :64, :1]) // 2 + 128, Exposure()
for part in (0, 1, 2):
    for number in range(100 * (part > 0)):
        if part == 1:
            assert exposure(frame, number / 30, (320, 256))[0] is frame
        else:
            assert brighten_crop(crop) is crop
    os.getppid()
"""
"""Counts 100 bright frames, then 100 bright crops, which pass unchanged."""


@dataclass(frozen=True, slots=True)
class Board:
    """A board's processor. clock: GHz, published. per_cycle: instructions per cycle, of 2 to 3 possible at best.

    counted_on: the emulated core; the A53 and the A72 execute the same instructions.
    """

    name: str
    cpu: str
    counted_on: str
    clock: float
    per_cycle: float


BOARDS: Final = (
    Board("Pi Zero 2 W", "Cortex-A53", "cortex-a72", 1.0, 0.6),
    Board("Pi 4", "Cortex-A72", "cortex-a72", 1.5, 1.0),
    Board("Pi 5", "Cortex-A76", "cortex-a76", 2.4, 1.5),
)


@dataclass(frozen=True, slots=True)
class Parts:
    """Millions of instructions of the parts of the pipeline.

    look: one face detection. follow: optical flow of two faces over one frame. emotion: classification of one face.
    rest: all else in a frame with two faces (tracks, smoothing, the Reading).
    """

    look: float
    follow: float
    emotion: float
    rest: float


def frame_instructions(
    cpu: str, model: str, every: int, size: str, clip: str = "two faces", rate: float = RATE
) -> float:
    """Millions of instructions per frame of 640x480: the slope between two lengths of the clip, played to and fro.

    every: frames from one detection to the next. size: input size of the detector. rate: the setting emotion.rate.
    Raises EmotionEdgeError if the emulation is not ready or fails.
    """
    path = write_clips(CACHE / "clips")[clip, 640, 480]
    words = ["-c", SCRIPT, str(path), "640", "480", model, str(every), str(rate), size, str(LENGTH)]
    short, long = (count([*words, str(frames)], cpu, PACKAGES) for frames in (SHORT, LONG))
    return (long - short) / (LONG - SHORT) / 1e6


def exposure_instructions(cpu: str) -> tuple[float, float]:
    """Millions of instructions by which the exposure is judged in bright light: per frame, and per face crop.

    Raises EmotionEdgeError if the emulation is not ready or fails.
    """
    path = write_clips(CACHE / "clips")["two faces", 640, 480]
    begin, frames, crops, _ = counts(["-c", EXPOSURE_SCRIPT, str(path), "640", "480"], cpu, PACKAGES)
    return (frames - begin) / 1e8, (crops - frames) / 1e8


def parts(cpu: str, model: str, size: str, whole: float, sparse: float) -> Parts:
    """Divide the instructions of a frame among parts, from the slopes between variants of the pipeline.

    whole: millions of instructions per frame with detection in every frame. sparse: with detection in every SPARSE-th.
    """
    look = frame_instructions(cpu, model, 1, size, "no face")
    always = frame_instructions(cpu, model, 1, size, rate=0)
    looked, classified = _shares(model, SPARSE, size), _shares(model, 1, size)
    emotion = (always - whole) / (1 - classified["classify"]) / 2
    rest = whole - look - 2 * emotion * classified["classify"]
    follow = look - (whole - sparse) / (1 - looked["detect"])
    return Parts(look, follow, emotion, rest)


def _shares(model: str, every: int, size: str) -> dict[str, float]:
    """Share of the counted frames in which each stage runs; the same on every machine."""
    settings = Settings.model_validate({"detector": {"every": every, "size": size}, "emotion": {"model": model}})
    pipeline = open_pipeline(settings, choose())
    clip = np.fromfile(write_clips(CACHE / "clips")["two faces", 640, 480], np.uint8).reshape(-1, 480, 640, 3)
    stages = [pipeline.analyse(Frame(image, at / 30, at / 30, at)).stages for at, image in enumerate(clip)][SHORT:]
    return {name: sum(name in stage for stage in stages) / len(stages) for name in ("detect", "classify")}


def main() -> int:
    """Run the command; returns 0, or 2 after an error of the user, printed as one line on standard error."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.arm", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="emotion-small")
    parser.add_argument("--size", default="auto", help="of the detector: auto, 160, 320 or 640 (auto)")
    options = parser.parse_args()
    model, size = options.model, options.size
    print(f"{model}, yunet {size}, two faces, 640 x 480; one core. Frame rates are an estimate.\n")
    try:
        table = {(cpu, every): frame_instructions(cpu, model, every, size) for cpu in CPUS for every in (1, SPARSE)}
        print("| | clock, instructions a cycle | faces looked for in | M instructions a frame | frames a second |")
        print("|---|---|---|---|---|")
        for board in BOARDS:
            for every, often in ((1, "every frame"), (SPARSE, f"every {SPARSE}th")):
                millions = table[board.counted_on, every]
                rate = 1000 * board.clock * board.per_cycle / millions
                clock = f"{board.clock} GHz, {board.per_cycle}"
                print(f"| {board.name}, {board.cpu} | {clock} | {often} | {millions:.1f} | {rate:.0f} |", flush=True)
        print("\n| M instructions | one look for faces | following two | one face's emotion | all else |")
        print("|---|---|---|---|---|")
        for cpu in CPUS:
            it = parts(cpu, model, size, table[cpu, 1], table[cpu, SPARSE])
            print(f"| {cpu} | {it.look:.1f} | {it.follow:.1f} | {it.emotion:.1f} | {it.rest:.1f} |", flush=True)
        for cpu in CPUS:
            frame, crop = exposure_instructions(cpu)
            share = (frame + 2 * crop * RATE / 30) / table[cpu, 1]
            print(
                f"\n{cpu}, exposure of a bright frame {frame:.3f} M, of a bright crop {crop:.3f} M: {share:.2%}",
                flush=True,
            )
    except EmotionEdgeError as error:
        print(f"tests.bench.arm: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
