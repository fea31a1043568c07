"""`python -m training.evaluation.degraded RUN_OR_MODEL ...`: accuracy on PublicTest faces degraded as in a room.

Works on float runs too, before a model file exists; `emotion-train conditions` measures the whole product.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from training.datasets.dataset import VALIDATION, Dataset
from training.datasets.pixels import in_memory
from training.evaluation.members import Member, open_members
from training.evaluation.metrics import accuracy
from training.run_data import read_run_data

EVERY: Final = 4
"""One in EVERY faces of PublicTest is degraded; the undegraded accuracy is measured on all of them."""

Images = npt.NDArray[np.uint8]


def conditions(images: Images, seed: int = 0) -> Mapping[str, Images]:
    """Degraded copies of images, by the name of the condition.

    Args:
        images: Faces, uint8 [n, h, w] or [n, h, w, 3].
        seed: Seed of the noise.
    """
    generator = np.random.default_rng(seed)
    height, width = images.shape[1:3]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 30, 1.0)
    few, length = (round(18 * width / 48), round(18 * height / 48)), max(1, round(7 * width / 48))

    def dark(light: float, noise: float) -> Images:
        return _bytes(light * images.astype(np.float32) + generator.normal(0, noise, images.shape))

    def each(change: Callable[[Images], Any]) -> Images:
        return np.stack([change(image) for image in images])

    def small(image: Images) -> Images:
        shrunk = cv2.resize(image, few, interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)

    return {
        "mirrored": images[:, :, ::-1],
        "a quarter of the light, noise 3": dark(0.25, 3),
        "a tenth, noise 2, brightened": _bytes(10 * dark(0.1, 2).astype(np.float32)),
        "18 pixels": each(small),
        "rolled by 30 degrees": each(
            lambda image: cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
        ),
        "moved by 7 pixels": each(lambda image: cv2.blur(image, (length, 1), borderType=cv2.BORDER_REPLICATE)),
    }


def table(members: Sequence[Member], data: Dataset) -> Iterator[str]:
    """Lines of a Markdown table: accuracy of each network's emotion heads under each condition, in percent."""
    heads = [head for head in members[0].heads if head in data.labels]
    yield f"| {' / '.join(heads)} | {' | '.join(member.name for member in members)} |"
    yield "|---" * (len(members) + 1) + "|"
    rows: dict[str, list[str]] = {}
    for member in members:
        part = in_memory(data.part(VALIDATION), *member.shape)
        some = part.take(np.arange(0, len(part), EVERY))
        for name, images in {"as they are": part.pixels, **conditions(some.pixels)}.items():
            faces = part if name == "as they are" else some
            outputs = member.run(np.ascontiguousarray(images))
            figures = [100 * accuracy(outputs[head], faces.labels[head].judged) for head in heads]
            rows.setdefault(name, []).append(" / ".join(f"{figure:.1f}" for figure in figures))
    for name, cells in rows.items():
        yield f"| {name} | {' | '.join(cells)} |"


def _bytes(values: npt.NDArray[np.floating[Any]]) -> Images:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluation.degraded", description=__doc__)
    parser.add_argument("networks", type=Path, nargs="+", metavar="RUN_OR_MODEL", help="folders")
    parser.add_argument("--data", type=Path, help="the data set (the first run's; else data)")
    options = parser.parse_args(arguments)
    data = read_run_data(options.networks, options.data)
    print(*table(open_members(options.networks, data), data), sep="\n")


if __name__ == "__main__":
    main()
