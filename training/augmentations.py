"""`python -m training.augmentations CONFIG.yaml`: measures the effect of each augmentation that imitates a room.

Trains the run of the settings without the augmentations of `ROOM`, with each of them alone, and with all, with the same
seed, and prints a table of accuracy on PublicTest's faces as they are and degraded (`training.evaluation.degraded`).
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from edge.errors import EmotionEdgeError
from training.config import TrainingConfig, read_config
from training.datasets.dataset import Dataset
from training.evaluation.degraded import table
from training.evaluation.members import open_members
from training.fit import fit
from training.run_data import read_source

ROOM: Final = ("roll", "cover", "motion", "distance", "dim", "jpeg")
"""The settings of `training.augment.Augment` that are off by default."""


def variants(config: TrainingConfig) -> dict[str, TrainingConfig]:
    """The settings of each run by its name: `none`, each augmentation of ROOM that the settings have on, and `all`."""
    chosen = {name: value for name in ROOM if (value := config.augment.get(name))}
    if not chosen:
        raise EmotionEdgeError(f"{config.name}: has none of {', '.join(ROOM)} in `augment`; set those to be compared")
    parts: Mapping[str, Mapping[str, float]] = {
        "none": {},
        **{name: {name: value} for name, value in chosen.items()},
        "all": chosen,
    }
    common = {name: value for name, value in config.augment.items() if name not in ROOM}
    return {
        name: config.model_copy(update={"name": name, "augment": {**common, **part}}) for name, part in parts.items()
    }


def compare(config: TrainingConfig, data: Dataset, out: Path) -> list[Path]:
    """Train the run of each variant in a folder of its own below `out`, and return the folders.

    Finished runs are kept, a stopped one continues.
    """
    runs = []
    for name, settings in variants(config).items():
        fit(settings, data, out / name)
        runs.append(out / name)
    return runs


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m training.augmentations", description=__doc__)
    parser.add_argument("config", type=Path, metavar="CONFIG.yaml", help="settings of a short run, with augmentations")
    parser.add_argument("--out", type=Path, default=Path("runs/augmentations"), help="(runs/augmentations)")
    options = parser.parse_args(arguments)
    config = read_config(options.config)
    data = read_source(config.data)
    runs = compare(config, data, options.out)
    print(*table(open_members(runs, data), data), sep="\n")


if __name__ == "__main__":
    main()
