"""Figures of each epoch of a run: history.csv, and TensorBoard's files."""

import csv
import math
from collections.abc import Mapping
from pathlib import Path

from tensorboard.summary import Writer

HISTORY_FILE = "history.csv"
BOARD_FOLDER = "tensorboard"
CHOSEN_BY = "public"
"""Column of the figure by which the best epoch is selected; higher is better."""
TRAINING = "training"
"""Prefix of the columns measured on Training faces without augmentation, like those of PublicTest."""
LEARNING_RATE = "learning_rate"
"""Column of the learning rate at the end of each epoch."""
TIES_BY = f"{CHOSEN_BY}_loss"
"""Column that decides between equally good epochs; lower is better. Runs of earlier versions lack it."""


def read_history(run: Path, epochs: int | None = None) -> list[dict[str, str]]:
    """The rows of history.csv: of the first `epochs` epochs, or of all; an empty list before the first epoch."""
    path = run / HISTORY_FILE
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [row for row in csv.DictReader(file) if epochs is None or int(row["epoch"]) <= epochs]


def write_history(run: Path, epoch: int, figures: Mapping[str, float]) -> None:
    """Add the row of an epoch (from 0) to history.csv; older rows of this and later epochs are replaced."""
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
    """Select the figures of an epoch to print: all but F1 and loss of each head and the learning rate."""
    wanted = {f"{CHOSEN_BY}_loss", f"{TRAINING}_loss"}
    measured = (f"{CHOSEN_BY}_", f"{TRAINING}_")
    return {
        name: value
        for name, value in figures.items()
        if name in wanted
        or not (name == LEARNING_RATE or (name.startswith(measured) and name.endswith(("_f1", "_loss"))))
    }


def best_epoch(run: Path, epochs: int) -> int:
    """The best of the first `epochs` epochs (from 0) by CHOSEN_BY, TIES_BY, then the earliest; -1 if none."""
    rows = read_history(run, epochs)
    ranks = [(-float(row[CHOSEN_BY]), float(row.get(TIES_BY) or 0.0)) for row in rows]
    return ranks.index(min(ranks)) if ranks else -1


def stale(run: Path, epochs: int, patience: int, warmup_epochs: float = 0.0) -> bool:
    """Return True if CHOSEN_BY has not risen for `patience` epochs, so that the run should stop early.

    Args:
        run: Folder of the run.
        epochs: Number of finished epochs.
        patience: Epochs without a rise after which to stop, counted from the end of the warm-up, before which the
            learning rate is too low to tell.
        warmup_epochs: Length of the warm-up.
    """
    figures = [float(row[CHOSEN_BY]) for row in read_history(run, epochs)]
    rose = figures.index(max(figures)) if figures else 0
    return epochs > 0 and epochs - 1 - max(rose, math.ceil(warmup_epochs) - 1) >= patience


def board(run: Path) -> Writer:
    """Open a writer of TensorBoard files in the folder of a run."""
    return Writer(str(run / BOARD_FOLDER))
