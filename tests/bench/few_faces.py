"""Measures what training on some dozens of photographs gains: the table in docs/training.md.

    python -m tests.bench.few_faces --data DATA

DATA holds fer2013.csv. Faces of four classes are drawn from PublicTest, on which the released networks were not
trained; the head is fitted to them like in `emotion-quantize mine`, and evaluated on 1,000 others of PublicTest.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from edge.models.released import model_dir
from training.datasets import read_dataset
from training.datasets.dataset import SPLITS, Dataset
from training.few_faces import fit_few

LABEL_SET = "happy-neutral-sad-surprise"
SIZES = (40, 80, 160)
DRAWS = 10
JUDGED = 1000


def drawn(faces: Dataset, size: int, seed: int) -> Dataset:
    """Draw equally many faces of each class as Training, and JUDGED others as PublicTest."""
    order = np.random.default_rng(seed).permutation(len(faces))
    classes = faces.labels[LABEL_SET].judged[order]
    learn = np.concatenate([order[classes == one][: size // 4] for one in range(4)])
    check = np.setdiff1d(order, learn, assume_unique=True)[:JUDGED]
    chosen = faces.take(np.concatenate([learn, check]))
    split = np.repeat([SPLITS.index("Training"), SPLITS.index("PublicTest")], [len(learn), len(check)])
    return replace(chosen, split=split)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="emotion-small")
    options = parser.parse_args()
    data = read_dataset(options.data, label_set=LABEL_SET).part("PublicTest")
    faces = data.take(data.labels[LABEL_SET].judged >= 0)
    print("| photographs | released | fitted | gain, least to most of ten draws |\n|---|---|---|---|")
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            found = [
                fit_few(drawn(faces, size, seed), options.data, model_dir(options.model), Path(folder) / str(seed))
                for seed in range(DRAWS)
            ]
        released, fitted = (np.array([getattr(one, name) for one in found]) for name in ("released", "fitted"))
        gains = 100 * (fitted - released)
        reach = f"{gains.min():+.1f} to {gains.max():+.1f} points"
        print(f"| {size} | {released.mean():.1%} | {fitted.mean():.1%} | {reach} |", flush=True)


if __name__ == "__main__":
    main()
