"""Measures memory and speed of training on images that do not fit into memory: the table in docs/training.md.

    python -m tests.bench.large_images --images 36000 --read-only --disk
    python -m tests.bench.large_images --images 3000

Generates JPEG files of 224x224 colour pixels, reads them like `emotion-train fit`, into memory and onto the disk, and
unless --read-only trains an epoch. Each way runs in a process of its own. Peak memory is the largest anonymous memory
of the process; pages of the mapped file are not counted, as the system can reclaim them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import cv2
import numpy as np

SIDE = 224
CLASSES = ("happy", "sad")


def make(folder: Path, count: int) -> None:
    generator = np.random.default_rng(0)
    for number in range(count):
        coarse = generator.integers(0, 256, (14, 14, 3), np.uint8)
        path = folder / CLASSES[number % 2] / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC))


class Peak:
    """The largest anonymous memory of this process, in bytes, sampled ten times a second."""

    def __init__(self) -> None:
        self.bytes = 0
        threading.Thread(target=self._sample, daemon=True).start()

    def _sample(self) -> None:
        while True:
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("RssAnon:"):
                    self.bytes = max(self.bytes, 1024 * int(line.split()[1]))
            time.sleep(0.1)


def one_way(data: Path, run: Path, disk: bool, read_only: bool) -> dict[str, float]:
    from training.batches import Batches
    from training.config import TrainingConfig
    from training.datasets import pixels, read_dataset
    from training.datasets.dataset import clean_training
    from training.fit import fit
    from training.history import read_history

    peak = Peak()
    pixels.memory_limit = (lambda: 0) if disk else (lambda: 2**60)  # type: ignore[attr-defined]
    settings = {
        "name": "large", "network": "mobilenet_v2", "options": {"alpha": 0.35, "stem_stride": 2}, "epochs": 1,
        "input": {"height": SIDE, "width": SIDE, "channels": 3}, "heads": {"happy-sad": 1.0}, "batch_size": 32,
    }  # fmt: skip
    config = TrainingConfig.model_validate(settings)
    faces = read_dataset(data)
    begun = time.monotonic()
    if not read_only:
        fit(config, faces, run)
        seconds = float(read_history(run)[0]["seconds"])
        return {"seconds": seconds, "images": 0.8 * len(faces) / seconds, "peak": peak.bytes}
    training = clean_training(pixels.in_memory_or_on_disk(faces, *config.input.shape, folder=run)).part("Training")
    assert not isinstance(training.images, tuple)
    loaded = time.monotonic() - begun
    begun, count = time.monotonic(), 0
    for images, _ in Batches(training.images, {}, 32, 0).epoch(0):
        count += len(images)
    return {"seconds": loaded, "images": count / (time.monotonic() - begun), "peak": peak.bytes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--read-only", action="store_true", help="make and read batches, without a network")
    parser.add_argument("--disk", action="store_true", help="on the disk alone")
    parser.add_argument("--folder", type=Path, help="where to put the images (a temporary folder)")
    parser.add_argument("--way", choices=("memory", "disk"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        run = options.folder / f"run-{options.way}"
        print(json.dumps(one_way(options.folder / "data", run, options.way == "disk", options.read_only)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        make(Path(name) / "data", options.images)
        print(f"{options.images} images of {SIDE}x{SIDE}x3: {options.images * SIDE * SIDE * 3 / 1e9:.1f} GB")
        what = "to read" if options.read_only else "an epoch"
        print(f"| kept | peak memory, GB | seconds {what} | images a second |\n|---|---|---|---|")
        for way in ("disk",) if options.disk else ("disk", "memory"):
            command = [sys.executable, "-m", "tests.bench.large_images", "--folder", name, "--way", way]
            command += ["--read-only"] if options.read_only else []
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"| {way} | ended with status {done.returncode}: {done.stderr.strip()[-200:]} | | |")
                continue
            found = json.loads(done.stdout.splitlines()[-1])
            print(f"| {way} | {found['peak'] / 1e9:.2f} | {found['seconds']:.0f} | {found['images']:.0f} |", flush=True)


if __name__ == "__main__":
    main()
