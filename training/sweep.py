"""`emotion-train sweep`: hyperparameter search with Optuna over a few settings of a run.

Every trial is a run of its own, and the trials are recorded in a file beside the runs, so that a stopped sweep is
resumed, with its unfinished run.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Self

import keras
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge.config.yaml_file import read_yaml
from edge.errors import EmotionEdgeError, in_one_line
from training.config import TrainingConfig, read_config
from training.datasets.dataset import Dataset
from training.fit import DivergedError, fit
from training.history import CHOSEN_BY, best_epoch, read_history

TRIALS_FILE: Final = "trials.log"
_log = logging.getLogger(__name__)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Range(_Part):
    """Range of numbers from low to high, integers if both are integers. log: True draws evenly in the logarithm."""

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if not self.low < self.high:
            raise ValueError("`low` must be below `high`")
        if self.log and self.low <= 0:
            raise ValueError("with `log`, `low` must be above 0")
        return self


class Sweep(_Part):
    """The settings of a sweep.

    config: settings file of a run. trials: number of runs. settings: a range or a list of values by name of the
    setting, with dots for nested ones (`augment.erase`). seed: seed of the choices.
    """

    config: Path
    trials: int = Field(gt=0)
    settings: dict[str, Range | Annotated[list[Any], Field(min_length=2)]] = Field(min_length=1)
    seed: int = 0


def read_sweep(path: Path) -> Sweep:
    """Read the settings of a sweep. Raises EmotionEdgeError for a file that is missing, not YAML, or invalid."""
    if not path.exists():
        raise EmotionEdgeError(f"{path}: not there")
    try:
        return Sweep.model_validate(read_yaml(path, "sweep"))
    except ValidationError as error:
        raise EmotionEdgeError(
            f"sweep {path}: {in_one_line(error)}; wanted are `config: mine.yaml`, `trials: 20` and `settings:` with "
            "lines such as `learning_rate: {low: 0.0001, high: 0.01, log: true}` or `mixup: [0.0, 0.2]`"
        ) from None


def sweep(settings: Sweep, data: Dataset, out: Path) -> list[Path]:
    """Run the trials that are not finished yet.

    Args:
        settings: Settings of the sweep.
        data: The data set.
        out: Folder of the runs and of trials.log.

    Returns:
        The runs of all finished trials, the one of the best PublicTest accuracy first.

    Raises:
        EmotionEdgeError: Optuna is not installed, a setting is unknown or out of range, or a run cannot be trained.
    """
    try:
        import optuna
    except ModuleNotFoundError:
        raise EmotionEdgeError("sweep: needs Optuna: pip install 'optuna>=4'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for name, values in settings.settings.items():  # a wrong name or range fails before any training
        for value in (values.low, values.high) if isinstance(values, Range) else values:
            with_settings(settings.config, {name: value}, "try")
    out.mkdir(parents=True, exist_ok=True)
    from optuna.storages.journal import JournalFileBackend

    storage = optuna.storages.JournalStorage(JournalFileBackend(str(out / TRIALS_FILE)))
    study = optuna.create_study(
        storage=storage, study_name="sweep", direction="maximize", load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=settings.seed),
    )  # fmt: skip
    state = optuna.trial.TrialState
    complete = (state.COMPLETE,)
    finished = [trial.params for trial in study.get_trials(deepcopy=False, states=complete)]
    waiting = [trial.system_attrs["fixed_params"] for trial in study.get_trials(states=(state.WAITING,))]
    for trial in study.get_trials(deepcopy=False, states=(state.RUNNING, state.FAIL)):
        if trial.state == state.RUNNING:  # its process was killed
            study.tell(trial.number, state=state.FAIL)
        if trial.params not in (*finished, *waiting):
            study.enqueue_trial(trial.params)
            waiting.append(trial.params)
    done = len(finished)
    # A resumed sweep uses another seed, so as not to repeat its first choices.
    study.sampler = optuna.samplers.TPESampler(seed=settings.seed + done)

    def objective(trial: Any) -> float:
        chosen = {name: _suggested(trial, name, values) for name, values in settings.settings.items()}
        _log.info("trial %d of %d: %s", trial.number + 1, settings.trials, _words(chosen))
        run = _folder(out, chosen)
        trial.set_user_attr("run", run.name)
        try:
            fit(with_settings(settings.config, chosen, f"{out.name}-{run.name}"), data, run)
        except DivergedError as error:
            _log.warning("%s; such settings count as 0", error)
            return 0.0
        keras.utils.clear_session()
        rows = read_history(run)
        return float(rows[best_epoch(run, len(rows))][CHOSEN_BY])

    if done < settings.trials:
        study.optimize(objective, n_trials=settings.trials - done)
    trials = sorted(study.get_trials(deepcopy=False, states=complete), key=lambda it: -it.value)
    return list(dict.fromkeys(out / one.user_attrs["run"] for one in trials))


def with_settings(path: Path, chosen: Mapping[str, Any], name: str) -> TrainingConfig:
    """Read the settings of a run and replace some, given by dotted names."""
    changes: dict[str, Any] = {"name": name}
    base = read_config(path).model_dump(mode="json")
    for dotted, value in chosen.items():
        first, *rest = dotted.split(".")
        if not rest:
            changes[first] = value
            continue
        inner = changes.setdefault(first, dict(base.get(first) or {}))
        for key in rest[:-1]:
            inner = inner.setdefault(key, {})
        inner[rest[-1]] = value
    return read_config(path, changes)


def _suggested(trial: Any, name: str, values: Range | list[Any]) -> Any:
    if isinstance(values, list):
        # Optuna stores only plain values, so lists and mappings are chosen by their index.
        return values[trial.suggest_categorical(name, range(len(values)))]
    if isinstance(values.low, int) and isinstance(values.high, int):
        return trial.suggest_int(name, values.low, values.high, log=values.log)
    return trial.suggest_float(name, values.low, values.high, log=values.log)


def _folder(out: Path, chosen: Mapping[str, Any]) -> Path:
    """Return the folder of the run with these settings; it depends only on them, so that a stopped run is resumed."""
    digest = hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()
    return out / f"trial-{digest[:8]}"


def _words(chosen: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in chosen.items()
    )
