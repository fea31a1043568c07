"""The data set of finished runs, read as they read it: the same faces, labels and splits."""

import logging
from collections.abc import Sequence
from pathlib import Path

from training.config import CONFIG_FILE, DataSource, read_config
from training.datasets import read_dataset
from training.datasets.dataset import Dataset
from training.datasets.formats import MAPPED, recognise

_log = logging.getLogger(__name__)


def read_run_data(
    folders: Sequence[Path],
    path: Path | None = None,
    format: str | None = None,
    label_set: str | None = None,
    mapping: Path | None = None,
) -> Dataset:
    """The data set that runs are judged or quantized on.

    Where splits are cut, the cut depends on which faces there are and on their labels: read in another way, faces that
    a run was trained on would be among those it is judged on. So everything is as the `data` section of the first run
    says, but what is given here; a path alone is taken for the same data in another place.

    folders: of runs; of other networks, which keep no settings, nothing is known. Without any run the defaults of
    `DataSource` hold. Where the run's mapping has no use, because classes are known at the path given, it is left out.
    Raises EmotionEdgeError as `training.datasets.read_dataset` does.
    """
    sources = {folder: read_config(folder / CONFIG_FILE).data for folder in folders if (folder / CONFIG_FILE).is_file()}
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
    return read_dataset(place, layout, label_set=label_set or first.label_set, mapping=names, votes=first.votes)


def _reading(source: DataSource) -> tuple[str, str | None, Path | None]:
    """What the cut of the splits may depend on, besides the files."""
    return source.format, source.label_set, source.mapping
