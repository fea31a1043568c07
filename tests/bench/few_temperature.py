"""Measures how many faces suffice to fit a temperature: the source of `training.evaluation.metrics.ENOUGH`.

    python -m tests.bench.few_temperature --data DATA

DATA holds fer2013.csv and fer2013new.csv. For each line, some faces of PublicTest are drawn and the temperature of a
released model is fitted on them. It is evaluated on all others by their negative log-likelihood (nats), compared with
that at temperature 1, which suits this model's logits well.
"""

import argparse
from pathlib import Path

import numpy as np

from edge.models.released import model_dir
from training.datasets import read_dataset
from training.datasets.dataset import VALIDATION
from training.datasets.pixels import in_memory
from training.evaluation.members import open_members
from training.evaluation.metrics import Labels, Logits, golden_temperature, softmax

SIZES = (3, 6, 12, 25, 50, 100, 200)
DRAWS = 200


def loss(logits: Logits, labels: Labels, temperature: float) -> float:
    return float(-np.mean(np.log(softmax(logits, temperature)[np.arange(len(labels)), labels])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="emotion-small")
    options = parser.parse_args()
    data = read_dataset(options.data).part(VALIDATION)
    member = open_members([model_dir(options.model)], data)[0]
    head = next(iter(member.heads))
    faces = in_memory(data.take(data.labels[head].judged >= 0), *member.shape)
    logits, labels = member.run(faces.pixels)[head], faces.labels[head].judged
    print(f"{options.model}, {head}, {len(labels)} faces; all of them: {golden_temperature(logits, labels):.2f}")
    print("| faces | fitted temperature, 5% to 95% of draws | worse than none | by how much, mean | worst of 20 |")
    print("|---|---|---|---|---|")
    for size in SIZES:
        fitted, worse = [], []
        for seed in range(DRAWS):
            order = np.random.default_rng(seed).permutation(len(labels))
            here, there = order[:size], order[size:]
            fitted.append(golden_temperature(logits[here], labels[here]))
            worse.append(loss(logits[there], labels[there], fitted[-1]) - loss(logits[there], labels[there], 1.0))
        low, high = np.quantile(fitted, (0.05, 0.95))
        print(
            f"| {size} | {low:.2f} to {high:.2f} | {np.mean(np.array(worse) > 0):.0%} | {np.mean(worse):+.3f} | "
            f"{np.quantile(worse, 0.95):+.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
