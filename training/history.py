"""What each epoch of a run came to: history.csv, and the same for TensorBoard."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tensorboard.summary import Writer

HISTORY_FILE = "history.csv"
BOARD_FOLDER = "tensorboard"
CHOSEN_BY = "public"
"""The figure that decides which epoch's network is kept: the higher, the better."""


def read_history(run: Path, epochs: int | None = None) -> list[dict[str, str]]:
    """The lines of history.csv, of the first `epochs` epochs or all; none before the first epoch."""
    path = run / HISTORY_FILE
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [row for row in csv.DictReader(file) if epochs is None or int(row["epoch"]) <= epochs]


def write_history(run: Path, epoch: int, figures: Mapping[str, float]) -> None:
    """Add the epoch's line, counted from 0; lines of epochs that are now done again, after a kill, are dropped."""
    rows = read_history(run, epoch)
    rows.append({"epoch": str(epoch + 1), **{name: f"{value:.5f}" for name, value in figures.items()}})
    partial = run / f"partial-{HISTORY_FILE}"
    with partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[-1].keys())
        writer.writeheader()
        writer.writerows(rows)
    partial.replace(run / HISTORY_FILE)


def best_epoch(run: Path, epochs: int) -> int:
    """Which of the first epochs, counted from 0, is the best; of equal ones the first. -1 before the first."""
    figures = [float(row[CHOSEN_BY]) for row in read_history(run, epochs)]
    return int(np.argmax(figures)) if figures else -1


def stale(run: Path, epochs: int, patience: int) -> bool:
    """Whether the best of the first epochs is at least `patience` epochs ago."""
    return epochs > 0 and epochs - 1 - best_epoch(run, epochs) >= patience


def board(run: Path) -> Writer:
    """A writer of TensorBoard's files."""
    return Writer(str(run / BOARD_FOLDER))
