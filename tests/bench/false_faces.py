"""`python -m tests.bench.false_faces FOLDER...`: faces that are found in pictures without people.

Each picture of the folders and of scikit-image gives five views of 1280x720: the whole of it and its quarters. A view
is searched as a single image, and as a video of it with read noise, in which a face counts if it is confirmed.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge.config import Settings
from edge.models.runtime import choose
from edge.pipeline import open_pipeline
from edge.reading import Frame, Image
from training.synthetic.compose import backgrounds

SIZE: Final = (1280, 720)
SECONDS: Final = 2.0
RATE: Final = 10
NOISE: Final = 2.0
SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".webp")


def pictures(folders: list[Path]) -> Iterator[Image]:
    """Yield the pictures of the folders and their subfolders, then those of scikit-image."""
    for folder in folders:
        for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES):
            image = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if image is not None:
                yield np.asarray(image, np.uint8)
    yield from backgrounds()


def views(image: Image) -> Iterator[Image]:
    """Yield the whole image and its quarters, each scaled and cut to SIZE."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    yield _filled(image)
    for top in (0, height):
        for left in (0, width):
            yield _filled(image[top : top + height, left : left + width])


def _filled(image: Image) -> Image:
    scale = max(SIZE[0] / image.shape[1], SIZE[1] / image.shape[0])
    area = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    size = (max(SIZE[0], round(image.shape[1] * scale)), max(SIZE[1], round(image.shape[0] * scale)))
    scaled = cv2.resize(image, size, interpolation=area)
    left, top = (size[0] - SIZE[0]) // 2, (size[1] - SIZE[1]) // 2
    return np.asarray(scaled[top : top + SIZE[1], left : left + SIZE[0]], np.uint8)


def found(view: Image, settings: Settings) -> tuple[bool, bool]:
    """Whether a face is found in a view as a single image, and in a video of it."""
    runtime = choose()
    single = open_pipeline(settings, runtime, confirm=1).analyse(Frame(view, 0.0, 0.0, 0))
    pipeline, generator = open_pipeline(settings, runtime), np.random.default_rng(0)
    noise = generator.normal(0, NOISE, (2 * SIZE[1], *SIZE[:1], 3)).astype(np.int16)
    video = False
    for number in range(round(SECONDS * RATE)):
        start = int(generator.integers(SIZE[1]))
        image = np.clip(view + noise[start : start + SIZE[1]], 0, 255).astype(np.uint8)
        video |= bool(pipeline.analyse(Frame(image, number / RATE, 0.0, number)).faces)
    return bool(single.faces), video


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.false_faces", description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="*", metavar="FOLDER", help="of pictures without people")
    parser.add_argument("--sizes", default="320,640,auto", help="of the detector, separated by commas")
    options = parser.parse_args()
    shown = [view for image in pictures(options.folders) for view in views(image)]
    print(f"| views with a face, of {len(shown)} without any | single image | video of {SECONDS:g} s |\n|---|---|---|")
    for size in options.sizes.split(","):
        settings = Settings.model_validate({"detector": {"size": size}})
        results = [found(view, settings) for view in shown]
        single, video = (sum(result[kind] for result in results) for kind in (0, 1))
        print(f"| detector.size: {size} | {single} | {video} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
