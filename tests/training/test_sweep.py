"""Sweeps: settings drawn from ranges, a run for each trial, and resuming."""

from pathlib import Path

import pytest
import yaml

from edge.errors import EmotionEdgeError
from tests.support.fer2013_files import TINY

pytest.importorskip("keras", reason="the training extra is not installed")
pytest.importorskip("optuna", reason="the sweep extra is not installed")

from training import sweep as sweeping
from training.config import TrainingConfig
from training.history import write_history
from training.sweep import read_sweep, sweep

SWEEP = {
    "config": "tiny.yaml",
    "trials": 4,
    "settings": {
        "learning_rate": {"low": 0.001, "high": 0.1, "log": True},
        "augment.erase": [0.0, 0.3],
        "batch_size": {"low": 8, "high": 32},
    },
}


def settings(**changes: object) -> sweeping.Sweep:
    Path("sweep.yaml").write_text(yaml.safe_dump({**SWEEP, **changes}))
    return read_sweep(Path("sweep.yaml"))


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(yaml.safe_dump({**TINY, "epochs": 2, "augment": {"shift": 0.05}}))


def test_a_stopped_sweep_goes_on_with_the_run_that_was_not_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training is replaced by a function of the learning rate, as only the choices are tested."""
    seen: list[tuple[Path, TrainingConfig]] = []

    def fit(config: TrainingConfig, _: object, run: Path) -> Path:
        seen.append((run, config))
        if len(seen) == 3:
            raise KeyboardInterrupt
        run.mkdir(parents=True, exist_ok=True)
        write_history(run, 0, {"public": 0.5 - abs(config.learning_rate - 0.01), "public_loss": 1.0})
        return run

    monkeypatch.setattr(sweeping, "fit", fit)
    with pytest.raises(KeyboardInterrupt):
        sweep(settings(), None, Path("runs/sweep"))  # type: ignore[arg-type]
    runs = sweep(settings(), None, Path("runs/sweep"))  # type: ignore[arg-type]
    assert len(runs) == 4
    assert seen[2] == seen[3], "the run that was stopped is the next"
    assert len({run for run, _ in seen}) == 4
    best = min(seen, key=lambda it: abs(it[1].learning_rate - 0.01))
    assert runs[0] == best[0]
    for run, config in seen:
        assert 0.001 <= config.learning_rate <= 0.1
        assert 8 <= config.batch_size <= 32
        assert config.augment["erase"] in (0.0, 0.3)
        assert config.augment["shift"] == 0.05, "what the sweep does not name stays"
        assert config.name == f"sweep-{run.name}"
    assert sweep(settings(), None, Path("runs/sweep")) == runs, "finished"  # type: ignore[arg-type]
    assert len(sweep(settings(trials=5), None, Path("runs/sweep"))) == 5  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"settings": {"learnin_rate": [1, 2]}}, "learnin_rate: is no setting; did you mean 'learning_rate'"),
        ({"settings": {"batch_size": {"low": 0, "high": 4}}}, "batch_size: 0: should be greater than 0"),
        ({"settings": {"mixup": {"low": 1, "high": 1}}}, "`low` must be below `high`"),
        ({"settings": {"mixup": {"low": 0, "high": 1, "log": True}}}, "with `log`, `low` must be above 0"),
        ({"settings": {"mixup": 0.2}}, "wanted are `config: mine.yaml`, `trials: 20` and `settings:`"),
        ({"config": "other.yaml"}, "other.yaml: not there"),
    ],
)
def test_what_is_wrong_is_said_before_the_first_run(changes: dict[str, object], message: str) -> None:
    with pytest.raises(EmotionEdgeError, match=message):
        sweep(settings(**changes), None, Path("runs/sweep"))  # type: ignore[arg-type]
    assert not Path("runs").exists()
