"""Training as a user runs it: fit, kill, resume, evaluate; and the augmentation."""

import csv
import logging
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import yaml

from edge.labels import labels_of
from tests.conftest import ROOT
from tests.support.fer2013_files import TINY, pattern, write_files

pytest.importorskip("keras", reason="the training extra is not installed")

from training.cli import main
from training.config import TrainingConfig
from training.distill import read_soft_labels


def write_config(folder: Path, **changes: object) -> Path:
    """Write a configuration of a network that learns the test patterns in seconds."""
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump({**TINY, **changes}))
    return path


@dataclass(frozen=True, slots=True)
class Done:
    """Exit status and terminal output of a command."""

    returncode: int
    stdout: str
    stderr: str


Train = Callable[..., Done]


@pytest.fixture
def train(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> Train:
    """Function that runs emotion-train in a folder, in this process, as starting Keras takes long."""

    def run(folder: Path, *arguments: str) -> Done:
        caplog.clear()
        with monkeypatch.context() as there, caplog.at_level(logging.INFO):
            there.chdir(folder)
            code = main(arguments)
        out, err = capsys.readouterr()
        return Done(code, out, err + caplog.text)

    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with data, configuration and the finished run runs/tiny, which learned the patterns."""
    folder = tmp_path_factory.mktemp("whole")
    write_files(folder / "data")
    write_config(folder, epochs=12, mixup=0.2)
    with pytest.MonkeyPatch.context() as there:
        there.chdir(folder)
        assert main(["fit", "tiny.yaml"]) == 0
    return folder


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "runs" / "tiny" / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def run_state(folder: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Read all weights and the optimizer's state from a run."""
    with np.load(folder / "runs" / "tiny" / "state.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


def test_two_epochs_leave_a_network_its_settings_and_its_history(train: Train, tmp_path: Path) -> None:
    write_files(tmp_path / "data")
    done = train(tmp_path, "fit", str(write_config(tmp_path, epochs=2)))
    assert done.returncode == 0, done.stderr
    assert "epoch 2/2" in done.stdout
    rows = history(tmp_path)
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["loss"]) < float(rows[0]["loss"])
    assert 0 <= float(rows[1]["public_fer7"]) <= 1
    assert any((tmp_path / "runs" / "tiny" / "tensorboard").iterdir())
    kept = yaml.safe_load((tmp_path / "runs" / "tiny" / "config.yaml").read_text())
    assert kept["options"] == TINY["options"]
    assert kept["epochs"] == 2
    judged = train(tmp_path, "evaluate", "runs/tiny")
    assert "fer7" in judged.stdout
    assert judged.returncode == 0, judged.stderr
    other = train(tmp_path, "fit", str(write_config(tmp_path, epochs=2, learning_rate=0.5)))
    assert other.returncode == 2
    assert "holds a run with other settings" in other.stderr


def test_a_killed_run_ends_as_one_that_was_not(train: Train, whole: Path, tmp_path: Path) -> None:
    write_files(tmp_path / "data")
    config = write_config(tmp_path, epochs=12, mixup=0.2)
    command = [sys.executable, "-u", "-m", "training.cli", "fit", str(config)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any(line.startswith("epoch 2/12") for line in process.stdout)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    done = train(tmp_path, "fit", str(config))
    assert done.returncode == 0, done.stderr
    assert "resuming after epoch" in done.stderr
    assert "epoch 1/12" not in done.stdout
    killed = run_state(tmp_path)
    for name, values in run_state(whole).items():
        np.testing.assert_allclose(killed[name], values, atol=1e-5, err_msg=name)
    rows = [history(folder) for folder in (whole, tmp_path)]
    for row, other in zip(*rows, strict=True):
        row.pop("seconds"), other.pop("seconds")
        assert row == other
    assert max(float(row["public_fer7"]) for row in rows[1]) > 0.8


def test_a_run_stops_when_it_no_longer_gains(train: Train, tmp_path: Path) -> None:
    write_files(tmp_path / "data")
    # The first epochs do nothing at this learning rate, so the first one stays the best.
    done = train(tmp_path, "fit", str(write_config(tmp_path, epochs=9, patience=2, learning_rate=1e-9)))
    assert done.returncode == 0, done.stderr
    assert "no better epoch in the last 2" in done.stderr
    assert len(history(tmp_path)) < 9


def test_a_student_learns_from_a_committee_of_teachers(train: Train, whole: Path, tmp_path: Path) -> None:
    write_files(tmp_path / "data")
    taught = train(tmp_path, "fit", str(write_config(tmp_path, name="second", epochs=8)))
    assert taught.returncode == 0, taught.stderr
    made = train(tmp_path, "distill", str(whole / "runs/tiny"), "runs/second", "--out", "soft.npz")
    assert made.returncode == 0, made.stderr
    assert re.search(r"mean of 2 .* PublicTest: ferplus8 \d+\.\d\d%, fer7 \d+\.\d\d%", made.stdout)
    soft = read_soft_labels(tmp_path / "soft.npz")
    assert set(soft.heads) == {"ferplus8", "fer7"}
    assert soft.rows.tolist() == list(range(140))
    np.testing.assert_allclose(soft.heads["fer7"].sum(axis=1), 1, atol=1e-5)
    assert np.mean(soft.heads["fer7"].argmax(axis=1) == np.arange(140) % 7) > 0.8
    # FER's own labels are removed, so the student can only learn from its teachers.
    teacher = {"soft_labels": "soft.npz", "weight": 1.0}
    done = train(tmp_path, "fit", str(write_config(tmp_path, epochs=12, teacher=teacher)))
    assert done.returncode == 0, done.stderr
    assert max(float(row["public_fer7"]) for row in history(tmp_path)) > 0.7
    other = write_files(tmp_path / "larger", training=150)
    refused = train(
        tmp_path, "fit", str(write_config(tmp_path, epochs=1, name="x", teacher=teacher)), "--data", str(other)
    )
    assert refused.returncode == 2
    assert "no soft labels of 10 training faces" in refused.stderr


@pytest.mark.slow
def test_a_student_learns_from_a_teacher_that_sees_what_it_sees(
    train: Train, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path / "data")
    # Blended faces without labels: only a teacher that sees the blended images can label them.
    live = {"models": [str(whole / "runs/tiny")], "weight": 1.0}
    settings = {"teacher": live, "mixup": 2.0, "epochs": 12}
    done = train(tmp_path, "fit", str(write_config(tmp_path, **settings)))
    assert done.returncode == 0, done.stderr
    assert max(float(row["public_fer7"]) for row in history(tmp_path)) > 0.7
    # Stopped after a whole epoch, the run resumes to the same result.
    stopped = write_files(tmp_path / "stopped/data").parent
    monkeypatch.setattr("training.fit.say_epoch", stop_after(5))
    train(stopped, "fit", str(write_config(stopped, **settings)))
    monkeypatch.undo()
    assert len(history(stopped)) == 5
    train(stopped, "fit", str(write_config(stopped, **settings)))
    for name, values in run_state(tmp_path).items():
        np.testing.assert_allclose(run_state(stopped)[name], values, atol=1e-5, err_msg=name)
    small = train(tmp_path, "fit", str(write_config(tmp_path, **settings, name="x", input={"height": 24, "width": 24})))
    assert small.returncode == 2
    assert "tiny: sees images of (48, 48, 1), the student of (24, 24, 1)" in small.stderr


def stop_after(epochs: int) -> Callable[..., None]:
    """Replacement for the function that prints an epoch, which raises KeyboardInterrupt after `epochs`."""

    def say(*said: object) -> None:
        if said[1] == epochs:
            raise KeyboardInterrupt

    return say


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs"),
        ({"epochs": 1, "epoch": 2}, "epoch"),
        ({"epochs": 1, "network": "vgg"}, "network 'vgg': not known (known: "),
        ({"epochs": 1, "options": {"depth": 3}}, "network plain_residual: wrong options"),
        ({"epochs": 1, "heads": {"compact4": 1.0}}, "has no such labels (it has fer7, ferplus8, affect)"),
        ({"epochs": 1, "heads": {}}, "heads"),
        (
            {"epochs": 1, "heads": {"affect": 1.0}, "sampling": "balanced"},
            "sampling: balanced: needs a head with labels beside `affect`",
        ),
        ({"epochs": 1, "name": ".."}, "name"),
        ({"epochs": 1, "augment": {"shfit": 0.1}}, "augment: shfit: not known (known: shift, scale, "),
        ({"epochs": 1, "teacher": {"soft_labels": "none.npz"}}, "none.npz: not there; make it with"),
        ({"epochs": 1, "teacher": {"models": ["none"]}}, "none: holds neither a run"),
        ({"epochs": 1, "teacher": {"weight": 0.5}}, "teacher: takes either `soft_labels` or `models`"),
        ({"epochs": 4, "learning_rate": 1e30}, "is no number; lower `learning_rate`"),
    ],
)
def test_wrong_settings_are_refused(train: Train, tmp_path: Path, changes: dict[str, object], message: str) -> None:
    write_files(tmp_path / "data", training=7, test=7)
    done = train(tmp_path, "fit", str(write_config(tmp_path, **changes)))
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_settings_may_be_mended_until_something_is_trained(train: Train, tmp_path: Path) -> None:
    write_files(tmp_path / "data", training=28, test=7)
    wrong = train(tmp_path, "fit", str(write_config(tmp_path, epochs=1, options={"weights": "none.keras"})))
    assert "weights none.keras: not there" in wrong.stderr
    assert (tmp_path / "runs/tiny/config.yaml").exists()
    mended = train(tmp_path, "fit", str(write_config(tmp_path, epochs=1)))
    assert mended.returncode == 0, mended.stderr


def test_a_head_that_cannot_be_judged_is_refused_before_training(train: Train, tmp_path: Path) -> None:
    votes = write_files(tmp_path / "data", training=7, test=7) / "fer2013new.csv"
    lines = votes.read_text().splitlines()
    unknown = [f"{line.rsplit(',', 10)[0]},0,0,0,0,0,0,0,0,10,0" if "PublicTest" in line else line for line in lines]
    votes.write_text("\n".join(unknown) + "\n")
    done = train(tmp_path, "fit", str(write_config(tmp_path, epochs=1, heads={"fer7": 1.0, "ferplus8": 1.0})))
    assert done.returncode == 2
    assert "head 'ferplus8': no face of PublicTest of FER-2013 has such a label" in done.stderr


def test_of_equal_epochs_the_first_is_the_best_and_stays(tmp_path: Path) -> None:
    from training.history import best_epoch, stale, write_history

    # 15 of 19, written as 0.78947, is a little more than what is written.
    for epoch, public in enumerate((0.5, 15 / 19, 15 / 19, 0.6)):
        write_history(tmp_path, epoch, {"public": public})
    assert [best_epoch(tmp_path, epochs) for epochs in range(5)] == [-1, 0, 1, 1, 1]
    assert [stale(tmp_path, epochs, 2) for epochs in range(5)] == [False, False, False, False, True]


def test_the_settings_in_the_documentation_build_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    from training.networks import build_network

    monkeypatch.chdir(ROOT)
    blocks = (ROOT / "docs/training.md").read_text().split("\n\n")
    settings = [yaml.safe_load(block) for block in blocks if block.lstrip().startswith("# mine.yaml")]
    assert len(settings) == 1
    config = TrainingConfig.model_validate(settings[0])
    heads = {head: len(labels_of(head)) for head in config.heads}
    network = build_network(config.network, keras, config.input.shape, heads, config.options)
    assert {head: output.shape[1] for head, output in network.output.items()} == {"happy-neutral-sad-surprise": 4}


def test_a_released_model_is_judged_by_its_name(train: Train, tmp_path: Path) -> None:
    data = str(write_files(tmp_path / "data", training=7, test=14))
    done = train(tmp_path, "evaluate", "emotion-small", "--data", data)
    assert done.returncode == 0, done.stderr
    assert "14" in done.stdout
    together = train(tmp_path, "evaluate", "committee", "--data", data)
    assert "emotion-extra" in together.stdout
    wrong = train(tmp_path, "evaluate", "emotion-tiny", "--data", data)
    assert wrong.returncode == 2
    assert "model 'emotion-tiny': not there, neither by name nor as a folder (models here: " in wrong.stderr


def test_missing_data_is_said(train: Train, tmp_path: Path) -> None:
    done = train(tmp_path, "fit", str(write_config(tmp_path, epochs=1)))
    assert done.returncode == 2
    assert "data: not there" in done.stderr


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
    still = dict.fromkeys(("contrast", "brightness", "gamma", "side_light", "blur", "noise", "erase"), 0.0)
    moved = np.asarray(Augment(shift=0.1, scale=0.0, rotate=0.0, seed=3, **still)(image, training=True))[..., 0]
    mass = moved.sum(axis=(1, 2))
    columns = (moved.sum(axis=1) * np.arange(48)).sum(axis=1) / mass - 23.5
    rows = (moved.sum(axis=2) * np.arange(48)).sum(axis=1) / mass - 23.5
    for offset in (columns, rows):
        assert np.abs(offset).max() <= 4.8 + 0.01
        assert np.abs(offset).max() > 3
        assert abs(offset.mean()) < 1
