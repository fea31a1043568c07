"""What each augmentation of a room does by itself: the runs that are compared, and the command's table."""

from pathlib import Path

import pytest
import yaml

from edge.errors import EmotionEdgeError
from tests.conftest import ROOT
from tests.support.fer2013_files import TINY, write_files

pytest.importorskip("keras", reason="the training extra is not installed")

from training.augmentations import ROOM, main, variants
from training.config import TrainingConfig, read_config


def test_each_run_has_one_augmentation_of_a_room_alone() -> None:
    found = variants(read_config(ROOT / "training" / "configs" / "augmentations.yaml"))
    assert list(found) == ["none", *ROOM, "all"]
    on = {name: {each for each in ROOM if config.augment.get(each)} for name, config in found.items()}
    assert on == {"none": set(), **{name: {name} for name in ROOM}, "all": set(ROOM)}
    others = [{key: value for key, value in each.augment.items() if key not in ROOM} for each in found.values()]
    assert all(other == others[0] and other for other in others)
    assert len({(each.seed, each.epochs, each.learning_rate) for each in found.values()}) == 1


def test_settings_without_such_an_augmentation_are_refused() -> None:
    config = TrainingConfig.model_validate({"name": "plain", "epochs": 1, "augment": {"shift": 0.1, "dim": 0.0}})
    with pytest.raises(EmotionEdgeError, match="has none of roll, cover"):
        variants(config)


def test_the_command_prints_a_column_a_run_and_keeps_finished_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = write_files(tmp_path / "data", training=7, test=28), tmp_path / "runs"
    settings = {**TINY, "data": {"path": str(data)}, "epochs": 1, "augment": {"dim": 1.0}}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    main([str(tmp_path / "tiny.yaml"), "--out", str(out)])
    first = capsys.readouterr().out.splitlines()
    table = first[next(row for row, line in enumerate(first) if line.startswith("| ferplus8 / fer7 |")) :]
    assert table[0].split(" | ")[1:] == ["none", "dim", "all |"]
    assert table[2].startswith("| as they are | ")
    written = (out / "dim" / "network.keras").stat().st_mtime_ns
    main([str(tmp_path / "tiny.yaml"), "--out", str(out)])
    assert (out / "dim" / "network.keras").stat().st_mtime_ns == written
    assert capsys.readouterr().out.splitlines()[-len(table) :] == table
