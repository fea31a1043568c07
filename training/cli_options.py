"""Arguments shared by several subcommands of `emotion-train`: data set and network."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from edge.emotion.committee import installed_committees
from edge.models.released import model_dir
from training.datasets import read_dataset
from training.datasets.dataset import Dataset
from training.datasets.formats import FORMATS
from training.run_data import read_run_data


def add_data(parser: argparse.ArgumentParser, option: bool = False) -> None:
    """Add arguments for the data set and its layout. option: make them optional; the run's settings are the default."""
    if option:
        parser.add_argument("--data", type=Path, help="folder or file of the data set (the first run's; else data)")
    else:
        parser.add_argument("data", type=Path, metavar="DATA", help="folder or file of the data set")
    layouts = ("auto", *FORMATS)
    parser.add_argument(
        "--format", default=None if option else "auto", choices=layouts, help="layout of the data set (auto)"
    )
    parser.add_argument(
        "--label-set",
        metavar="SET",
        help="fer7, ferplus8, skillbox9, compact4, happy-sad-neutral, or own: class names as they are",
    )
    parser.add_argument(
        "--mapping",
        type=Path,
        help="YAML file of `own class name: label` lines; fer2013 or raf-db: folders of its numbers",
    )


def read(options: argparse.Namespace) -> Dataset:
    """Read the data set that the arguments name."""
    return read_dataset(options.data, options.format, label_set=options.label_set, mapping=options.mapping)


def read_for(runs: Sequence[Path], options: argparse.Namespace) -> Dataset:
    """Read the data set that the arguments name, with the first run's settings for what they leave out."""
    return read_run_data(runs, options.data, options.format, options.label_set, options.mapping)


def network_folder(text: str) -> Path:
    """Return the folder for a path, or for the name of a released model or committee; a missing path is unchanged."""
    path = Path(text)
    if path.exists() or len(path.parts) > 1:
        return path
    return installed_committees().get(text) or model_dir(text)
