"""Training as a user runs it: fit, a kill, carrying on, judging; and the augmentation."""

import csv
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.fer2013_files import TINY, pattern, write_files

pytest.importorskip("keras", reason="the training extra is not installed")


def write_config(folder: Path, **changes: object) -> Path:
    """A configuration of a network that learns the patterns in seconds."""
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump({**TINY, **changes}))
    return path


def train(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run emotion-train in a folder."""
    command = [sys.executable, "-m", "training.cli", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "runs" / "tiny" / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_two_epochs_leave_a_network_its_settings_and_its_history(tmp_path: Path) -> None:
    write_files(tmp_path / "data")
    done = train(tmp_path, "fit", str(write_config(tmp_path, epochs=2)))
    assert done.returncode == 0, done.stderr
    assert "epoch 2/2" in done.stdout
    rows = history(tmp_path)
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["loss"]) < float(rows[0]["loss"])
    assert 0 <= float(rows[1]["public_fer7"]) <= 1
    kept = yaml.safe_load((tmp_path / "runs" / "tiny" / "config.yaml").read_text())
    assert kept["options"] == TINY["options"]
    assert kept["epochs"] == 2
    judged = train(tmp_path, "evaluate", "runs/tiny")
    assert judged.returncode == 0, judged.stderr
    assert "PublicTest, fer7: accuracy" in judged.stdout
    assert "PrivateTest" not in judged.stdout
    other = train(tmp_path, "fit", str(write_config(tmp_path, epochs=2, learning_rate=0.5)))
    assert other.returncode == 2
    assert "holds a run with other settings" in other.stderr


def test_a_killed_run_carries_on_and_learns(tmp_path: Path) -> None:
    write_files(tmp_path / "data")
    config = write_config(tmp_path, epochs=16)
    command = [sys.executable, "-u", "-m", "training.cli", "fit", str(config)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any(line.startswith("epoch 2/16") for line in process.stdout)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    done = train(tmp_path, "fit", str(config))
    assert done.returncode == 0, done.stderr
    assert "carrying on after epoch" in done.stderr
    assert "epoch 1/16" not in done.stdout
    rows = history(tmp_path)
    assert [int(row["epoch"]) for row in rows] == list(range(1, 17))
    assert max(float(row["public_fer7"]) for row in rows) > 0.9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs"),
        ({"epochs": 1, "epoch": 2}, "epoch"),
        ({"epochs": 1, "network": "vgg"}, "network 'vgg': not known (known: plain_residual)"),
        ({"epochs": 1, "options": {"depth": 3}}, "network plain_residual: wrong options"),
    ],
)
def test_wrong_settings_are_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    write_files(tmp_path / "data", training=7, test=7)
    done = train(tmp_path, "fit", str(write_config(tmp_path, **changes)))
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_data_is_said(tmp_path: Path) -> None:
    done = train(tmp_path, "fit", str(write_config(tmp_path, epochs=1)))
    assert done.returncode == 2
    assert "fer2013.csv: not there" in done.stderr


def test_augmentation_varies_images_in_training_only() -> None:
    from training.augment import Augment

    generator = np.random.default_rng(2)
    images = np.stack([pattern(label, generator) for label in (0, 3, 6)])[..., None]
    augment = Augment(seed=1)
    plain = np.asarray(augment(images))
    np.testing.assert_allclose(plain, images / 255, atol=1e-6)
    varied = [np.asarray(augment(images, training=True)) for _ in range(2)]
    for batch in varied:
        assert batch.shape == images.shape
        assert batch.min() >= 0
        assert batch.max() <= 1
        assert np.abs(batch - plain).mean(axis=(1, 2, 3)).min() > 0.01
    assert np.abs(varied[0] - varied[1]).mean() > 0.01


def test_augmentation_moves_a_face_no_further_than_it_says() -> None:
    from training.augment import Augment

    image = np.zeros((200, 48, 48, 1), np.uint8)
    image[:, 21:27, 21:27] = 255
    still = {"contrast": 0.0, "brightness": 0.0, "blur": 0.0, "noise": 0.0, "erase": 0.0}
    moved = np.asarray(Augment(shift=0.1, scale=0.0, rotate=0.0, seed=3, **still)(image, training=True))[..., 0]
    mass = moved.sum(axis=(1, 2))
    columns = (moved.sum(axis=1) * np.arange(48)).sum(axis=1) / mass - 23.5
    rows = (moved.sum(axis=2) * np.arange(48)).sum(axis=1) / mass - 23.5
    for offset in (columns, rows):
        assert np.abs(offset).max() <= 4.8 + 0.01
        assert np.abs(offset).max() > 3
        assert abs(offset.mean()) < 1
