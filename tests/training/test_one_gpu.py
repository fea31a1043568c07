"""The run for one GPU, at toy size on the processor: teachers, soft labels, students, and carrying on."""

import logging
from pathlib import Path

import pytest

from tests.support.fer2013_files import TINY, write_files
from tests.training.test_unlabelled import packed

pytest.importorskip("keras", reason="the training extra is not installed")

from training.config import TrainingConfig, read_config
from training.one_gpu import COMMON, STUDENTS, TEACHERS, train_all

OWN = {name: TINY[name] for name in ("options", "batch_size", "learning_rate", "average_momentum")}
TOY = {**OWN, "precision": "float32", "warmup_epochs": 0}


@pytest.mark.slow
def test_teachers_teach_students_and_a_second_call_trains_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path / "data")
    unlabelled = packed(tmp_path / "fairface-train.zip")
    teachers = {"first": TOY, "second": {**TOY, "mixup": 0.2}}
    caplog.set_level(logging.INFO)

    def run() -> list[Path]:
        return train_all(Path("data"), unlabelled, Path("runs"), 2, 1, teachers, {"student": {**TOY, "augment": {}}})

    (path,) = run()
    assert path == Path("runs/student/network.keras")
    assert "student: done after" in caplog.text
    kept = read_config(Path("runs/student/config.yaml"))
    assert kept.unlabelled is not None
    assert kept.teacher is not None
    changed = {file: file.stat().st_mtime_ns for file in Path("runs").rglob("*.keras")}
    assert run() == [path]
    assert {file: file.stat().st_mtime_ns for file in Path("runs").rglob("*.keras")} == changed


def test_the_real_settings_are_valid_and_the_teachers_differ() -> None:
    every = [
        TrainingConfig.model_validate({"name": name, "epochs": 1, **COMMON, **settings})
        for name, settings in {**TEACHERS, **STUDENTS}.items()
    ]
    assert len({config.model_dump_json(exclude={"name"}) for config in every}) == 8
