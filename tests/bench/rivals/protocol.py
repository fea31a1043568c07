"""Command line of every contestant: reads frames and times each call, or classifies faces; prints a line of JSON.

`SCRIPT frames FILE WIDTH HEIGHT COUNT` times frames (BGR uint8, one after the other in the file); `SCRIPT faces FILE
COUNT` classifies grey faces of 48x48.
"""

import json
import time
from pathlib import Path

import numpy as np

STARTED = time.perf_counter()
FER7 = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""FER-2013's classes in its order, by the names most of the packages use."""
WARM_UP = 3


def resident_at_most():
    """Peak resident memory in bytes (VmHWM of proc(5), as getrusage also counts the parent process)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def serve(analyse, classify, arguments):
    """Run the command line. analyse: BGR uint8 [H, W, 3] to number of faces. classify: grey uint8 [48, 48] to class."""
    if arguments[1] == "frames":
        width, height, count = map(int, arguments[3:6])
        frames = np.fromfile(arguments[2], np.uint8).reshape(-1, height, width, 3)
        for frame in frames[:WARM_UP]:
            analyse(frame)
        load = time.perf_counter() - STARTED
        seconds, faces = [], 0
        for number in range(count):
            frame = frames[number % len(frames)]
            began = time.perf_counter()
            faces += analyse(frame)
            seconds.append(time.perf_counter() - began)
        memory = (resident_at_most() - frames.nbytes) / 1e6
        print(json.dumps({"seconds": seconds, "faces": faces / count, "load": load, "megabytes": memory}))
    else:
        faces = np.fromfile(arguments[2], np.uint8).reshape(-1, 48, 48)[: int(arguments[3])]
        print(json.dumps({"labels": [int(classify(face)) for face in faces]}))
