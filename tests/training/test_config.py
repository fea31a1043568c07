"""The settings file of a training run: valid contents, and atomic writing."""

from pathlib import Path
from unittest.mock import Mock

import pytest

from edge.errors import EmotionEdgeError
from training.config import TrainingConfig, read_config, write_config


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    config = TrainingConfig.model_validate({"name": "small", "epochs": 3, "heads": {"affect": 0.5, "fer7": 1.0}})
    write_config(config, path)
    assert read_config(path) == config
    assert read_config(path, {"epochs": 4}).epochs == 4
    assert config.primary == "fer7"
    with pytest.raises(EmotionEdgeError, match=r"settings .*config\.yaml: .*epochs"):
        read_config(path, {"epochs": 0})


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00", b"- a list"])
def test_what_is_no_file_of_settings_is_said(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "mine.yaml"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(EmotionEdgeError, match=r"^settings .*mine\.yaml: "):
        read_config(path)


def test_a_cut_in_the_writing_of_settings_leaves_the_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.yaml"
    first = TrainingConfig.model_validate({"name": "first", "epochs": 1})
    write_config(first, path)
    monkeypatch.setattr("os.fsync", Mock(side_effect=OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        write_config(TrainingConfig.model_validate({"name": "second", "epochs": 1}), path)
    assert read_config(path) == first
