"""What each epoch of a run came to: history.csv, and the same for TensorBoard."""

import csv
import math
from collections.abc import Mapping
from pathlib import Path

from tensorboard.summary import Writer

HISTORY_FILE = "history.csv"
BOARD_FOLDER = "tensorboard"
CHOSEN_BY = "public"
"""The figure that decides which epoch's network is kept: the higher, the better."""
TRAINING = "training"
"""What the columns begin with that are measured on Training as PublicTest's are, without augmentation."""
LEARNING_RATE = "learning_rate"
"""The column of the learning rate at the end of an epoch."""
TIES_BY = f"{CHOSEN_BY}_loss"
"""Decides between epochs that are equally good: the lower, the better. Runs of earlier versions have none."""


def read_history(run: Path, epochs: int | None = None) -> list[dict[str, str]]:
    """The rows of history.csv: of the first `epochs` epochs, or of all; an empty list before the first epoch."""
    path = run / HISTORY_FILE
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [row for row in csv.DictReader(file) if epochs is None or int(row["epoch"]) <= epochs]


def write_history(run: Path, epoch: int, figures: Mapping[str, float]) -> None:
    """Add the row of an epoch, counted from 0; rows of this and later epochs, from before a resume, go."""
    rows = read_history(run, epoch)
    written = {name: f"{value:.3g}" if name == LEARNING_RATE else f"{value:.5f}" for name, value in figures.items()}
    rows.append({"epoch": str(epoch + 1), **written})
    partial = run / f"partial-{HISTORY_FILE}"
    with partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[-1].keys())
        writer.writeheader()
        writer.writerows(rows)
    partial.replace(run / HISTORY_FILE)


def in_short(figures: Mapping[str, float]) -> dict[str, float]:
    """The figures of an epoch for a terminal: without F1 and loss of each head, and the learning rate."""
    wanted = {f"{CHOSEN_BY}_loss", f"{TRAINING}_loss"}
    measured = (f"{CHOSEN_BY}_", f"{TRAINING}_")
    return {
        name: value
        for name, value in figures.items()
        if name in wanted
        or not (name == LEARNING_RATE or (name.startswith(measured) and name.endswith(("_f1", "_loss"))))
    }


def best_epoch(run: Path, epochs: int) -> int:
    """The best of the first epochs, counted from 0: by CHOSEN_BY, then TIES_BY, then the first. -1 before the first."""
    rows = read_history(run, epochs)
    ranks = [(-float(row[CHOSEN_BY]), float(row.get(TIES_BY) or 0.0)) for row in rows]
    return ranks.index(min(ranks)) if ranks else -1


def stale(run: Path, epochs: int, patience: int, warmup_epochs: float = 0.0) -> bool:
    """Whether CHOSEN_BY has not risen for so long that a run should stop.

    Args:
        run: Folder of the run.
        epochs: How many are done.
        patience: Epochs without a rise after which to stop. They count from the end of the warm-up on: before it the
            learning rate is too low to tell.
        warmup_epochs: Length of the warm-up.
    """
    figures = [float(row[CHOSEN_BY]) for row in read_history(run, epochs)]
    rose = figures.index(max(figures)) if figures else 0
    return epochs > 0 and epochs - 1 - max(rose, math.ceil(warmup_epochs) - 1) >= patience


def board(run: Path) -> Writer:
    """A writer of TensorBoard's files."""
    return Writer(str(run / BOARD_FOLDER))
