"""The data set of finished runs, read with the settings of the run: the same faces, labels and splits."""

import logging
from collections.abc import Sequence
from pathlib import Path

from training.config import AFFECT, CONFIG_FILE, DataSource, read_config
from training.datasets import read_dataset
from training.datasets.dataset import Dataset
from training.datasets.derived_affect import with_derived_affect
from training.datasets.formats import MAPPED, recognise

_log = logging.getLogger(__name__)


def read_source(source: DataSource, path: Path | None = None) -> Dataset:
    """Read the data set that a run's settings name. path: the same data in another place.

    Raises EmotionEdgeError if the format was not recognised, or a file has an error.
    """
    place = source.path if path is None else path
    return read_dataset(place, source.format, label_set=source.label_set, mapping=source.mapping, votes=source.votes)


def read_run_data(
    folders: Sequence[Path],
    path: Path | None = None,
    format: str | None = None,
    label_set: str | None = None,
    mapping: Path | None = None,
) -> Dataset:
    """The data set that runs are evaluated or quantized on, read as the first run read it.

    Splits that are cut depend on the faces and their labels, so a data set read with other settings could put Training
    faces into the evaluation. Arguments replace the run's settings; a path alone means the same data in another place.
    The run's mapping is ignored for a format whose classes are fixed.

    Args:
        folders: Folders of runs; without any, the defaults of `DataSource` are used.
        path: Place of the data set.
        format: Its layout.
        label_set: The primary label set.
        mapping: YAML file of class names.

    Raises:
        EmotionEdgeError: The format was not recognised, or a file has an error.
    """
    configs = {folder: read_config(folder / CONFIG_FILE) for folder in folders if (folder / CONFIG_FILE).is_file()}
    sources = {folder: config.data for folder, config in configs.items()}
    first = next(iter(sources.values()), DataSource())
    for folder, source in sources.items():
        if _reading(source) != _reading(first):
            _log.warning(
                "%s: read its data otherwise than %s (see %s in both); where splits were cut, it may be judged on "
                "faces it was trained on",
                folder,
                next(iter(sources)),
                CONFIG_FILE,
            )
    place, layout, names = path or first.path, format or first.format, mapping or first.mapping
    if path is not None and names is not None and mapping is None and place.exists():
        if layout == "auto":
            layout, place = recognise(place)
        names = names if layout in MAPPED else None
    data = read_dataset(place, layout, label_set=label_set or first.label_set, mapping=names, votes=first.votes)
    learned = any(AFFECT in config.heads for config in configs.values())
    return with_derived_affect(data) if learned and data.affect is None else data


def _reading(source: DataSource) -> tuple[str, str | None, Path | None]:
    """Return the settings on which the cut of the splits depends: format, label set, mapping."""
    return source.format, source.label_set, source.mapping
