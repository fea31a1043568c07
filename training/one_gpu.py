"""`python -m training.one_gpu`: trains the released networks from scratch on one GPU, in one run.

Five teachers that differ learn from labels; their soft labels of the labelled faces, and of faces without labels where
there are some, teach three students. Each is an ordinary run of `emotion-train fit` in runs/, saved after every epoch:
the same command carries on where it was stopped, and what is finished can be used. KERAS_BACKEND=jax or torch keeps
the faces in the GPU's memory and augments them there.
"""

import argparse
import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("KERAS_BACKEND", "jax")

from training.config import TrainingConfig
from training.datasets import read_dataset
from training.datasets.unlabelled import read_unlabelled
from training.distill import distill, distill_unlabelled
from training.fit import fit

COMMON: Final[Mapping[str, Any]] = {
    "heads": {"ferplus8": 1.0, "fer7": 2.0, "affect": 0.5},
    "batch_size": 512,
    "learning_rate": 0.005,
    "warmup_epochs": 2,
    "weight_decay": 0.05,
    "average_momentum": 0.995,
    "precision": "mixed_bfloat16",
    "licence": "Apache-2.0",
}
"""Settings of every run. Learning rate and averaging momentum suit the batch, which is large for 28,000 faces."""

ROOM: Final = {"roll": 0.2, "cover": 0.1, "motion": 0.15, "distance": 0.2, "dim": 0.4, "jpeg": 0.1}
"""Augmentation of the students, beside the defaults."""

TEACHERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "teacher-wide": {"options": {"stem": 48, "widths": [48, 96, 192], "blocks": [2, 2, 2], "dropout": 0.3}},
    "teacher-fine": {
        "options": {"stem": 48, "widths": [48, 96, 144], "blocks": [2, 2, 2], "fine": 24, "dropout": 0.3},
        "heads": {"ferplus8": 1.0, "fer7": 3.0, "affect": 0.5},
    },
    "teacher-deep": {"options": {"stem": 40, "widths": [40, 80, 120], "blocks": [3, 3, 3], "dropout": 0.3}},
    "teacher-mixed": {
        "options": {"stem": 48, "widths": [48, 96, 192], "blocks": [2, 2, 2], "dropout": 0.2},
        "mixup": 0.4,
    },
    "teacher-room": {
        "options": {"stem": 48, "widths": [48, 96, 144], "blocks": [2, 2, 2], "dropout": 0.3},
        "augment": ROOM,
    },
}
"""Settings of the teachers, which differ in size, augmentation and loss so that their errors differ."""

STUDENTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "nano": {"options": {"stem": 16, "widths": [16, 32, 44], "blocks": [2, 2, 2], "dropout": 0.05}},
    "small": {"options": {"stem": 32, "widths": [32, 48, 80], "blocks": [2, 2, 2], "dropout": 0.1}},
    "large": {"options": {"stem": 48, "widths": [48, 96, 144], "blocks": [2, 2, 2], "fine": 24, "dropout": 0.2}},
}
"""The sizes of emotion-nano, emotion-small and emotion-large."""

_log = logging.getLogger(__name__)


def train_all(
    data: Path,
    unlabelled: Path | None,
    runs: Path,
    teacher_epochs: int,
    student_epochs: int,
    teachers: Mapping[str, Mapping[str, Any]] = TEACHERS,
    students: Mapping[str, Mapping[str, Any]] = STUDENTS,
) -> list[Path]:
    """Train teachers, compute their soft labels, and train students; returns the networks of the students.

    Args:
        data: Data set with the labels fer7 and ferplus8, such as FER-2013 with FER+.
        unlabelled: Faces without labels, or None.
        runs: Folder of the runs; finished runs are kept, others are resumed.
        teacher_epochs: Number of epochs of each teacher.
        student_epochs: Number of epochs of each student.
        teachers: Settings by run, which override COMMON.
        students: Settings of the students by run, which override COMMON.

    Raises:
        EmotionEdgeError: The data set lacks a label set or a split, or a run's folder holds a run with other settings.
    """
    begun = time.monotonic()
    read = read_dataset(data)
    source = {"path": str(data)}

    def trained(name: str, settings: Mapping[str, Any], epochs: int, seed: int) -> Path:
        config = TrainingConfig.model_validate(
            {"name": name, "data": source, "epochs": epochs, "seed": seed, **COMMON, **settings}
        )
        path = fit(config, read, runs / name)
        _log.info("%s: done after %.0f s", name, time.monotonic() - begun)
        return path

    for seed, (name, settings) in enumerate(teachers.items(), 1):
        trained(name, settings, teacher_epochs, seed)
    folders = [runs / name for name in teachers]
    labelled_by, seen_by = runs / "soft_labels.npz", runs / "soft_labels_unlabelled.npz"
    if not labelled_by.exists():
        distill(folders, read, labelled_by)
    more: dict[str, Any] = {"teacher": {"soft_labels": labelled_by, "weight": 0.6}, "augment": ROOM}
    if unlabelled is not None:
        if not seen_by.exists():
            distill_unlabelled(folders, read_unlabelled(unlabelled), read, seen_by, balance=0.5)
        more["unlabelled"] = {"path": unlabelled, "soft_labels": seen_by, "weight": 0.5}
    return [
        trained(name, {**more, **settings}, student_epochs, seed)
        for seed, (name, settings) in enumerate(students.items(), 101)
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m training.one_gpu", description=__doc__)
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with fer2013.csv and fer2013new.csv")
    parser.add_argument("--unlabelled", type=Path, metavar="FACES", help="FairFace's zip or folder, or photographs")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of the runs (runs)")
    parser.add_argument("--teacher-epochs", type=int, default=40, help="(40)")
    parser.add_argument("--student-epochs", type=int, default=40, help="(40)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for path in train_all(
        options.data, options.unlabelled, options.runs, options.teacher_epochs, options.student_epochs
    ):
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
