"""Runs are evaluated on faces that they were not trained on, whatever options read the data."""

import logging
from pathlib import Path

import numpy as np
import pytest
import yaml

from edge.errors import EmotionEdgeError
from tests.support.fer2013_files import write_files
from tests.training.test_datasets_layouts import write_classes
from training.config import CONFIG_FILE, read_config
from training.datasets import read_dataset
from training.run_data import read_run_data

NAMES = ("grumpy", "happy", "sad", "fear")


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Folders of photographs, one with an unknown class name, and names.yaml."""
    (tmp_path / "names.yaml").write_text("grumpy: angry\nfear: null\n")
    return write_classes(tmp_path / "photographs", NAMES, 20, ".png")


def write_run(folder: Path, **data: object) -> Path:
    """Write the settings of a run like `emotion-train fit`."""
    folder.mkdir()
    lines = {"name": folder.name, "data": data, "heads": {"happy-sad": 1.0}, "epochs": 1, "seed": 7}
    (folder / CONFIG_FILE).write_text(yaml.safe_dump(lines))
    return folder


def test_a_run_is_judged_on_the_cut_it_was_trained_with(tmp_path: Path, photographs: Path) -> None:
    names = str(tmp_path / "names.yaml")
    run = write_run(tmp_path / "run", path=str(photographs), label_set="happy-sad", mapping=names)
    source = read_config(run / CONFIG_FILE).data
    trained = read_dataset(source.path, label_set="happy-sad", mapping=source.mapping)
    moved = photographs.rename(tmp_path / "elsewhere")
    judged = read_run_data([run], moved)
    assert list(judged.labels) == ["happy-sad"]
    assert np.array_equal(judged.rows, trained.rows)
    assert np.array_equal(judged.split, trained.split)
    assert list(read_run_data([run], moved, label_set="compact4").labels) == ["compact4"]
    # The mapping in a run's settings applies only to its own data, so without a run the names are unknown.
    with pytest.raises(EmotionEdgeError, match="no known emotion: grumpy"):
        read_run_data([], moved)


def test_a_run_with_names_of_its_own_can_be_judged_where_classes_are_known(tmp_path: Path, photographs: Path) -> None:
    run = write_run(tmp_path / "run", path=str(photographs), mapping=str(tmp_path / "names.yaml"))
    other = write_files(tmp_path / "other", training=14, test=7)
    assert list(read_run_data([run], other).labels) == ["fer7", "ferplus8"]


def test_runs_that_read_their_data_otherwise_are_named(
    tmp_path: Path, photographs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mapping = str(tmp_path / "names.yaml")
    first = write_run(tmp_path / "first", path=str(photographs), mapping=mapping)
    second = write_run(tmp_path / "second", path=str(photographs), mapping=mapping, label_set="happy-sad")
    with caplog.at_level(logging.WARNING):
        assert list(read_run_data([tmp_path, first, first]).labels) == ["angry-happy-sad"]
        assert "otherwise" not in caplog.text
        read_run_data([first, second])
    assert f"{second}: read its data otherwise than {first}" in caplog.text
