"""Lists, for a card, the commands that make a model file, from the first training run to the file."""

import argparse
from pathlib import Path

from quantize.calibration import SAMPLES
from training.config import CONFIG_FILE, TrainingConfig, read_config


def commands_of_file(options: argparse.Namespace, config: TrainingConfig) -> str:
    """Return the shell commands that reproduce a model file, one per line, with the data set at its default path."""
    parts = ["emotion-quantize", options.command, f"runs/{config.name}", f"--out models/{options.out.resolve().name}"]
    if options.command == "qat":
        parts.append(f"--epochs {options.epochs} --learning-rate {options.learning_rate:g}")
        parts += [f"--soft-labels {options.soft_labels}"] if options.soft_labels else []
    if options.command == "ptq":
        parts += [f"--{name} {value}" for name in ("prune", "cluster") if (value := getattr(options, name)) is not None]
    if options.command == "float":
        parts.append(f"--precision {options.precision}")
    elif options.calibration:
        parts.append(f"--calibration {options.calibration}")
    elif options.samples != SAMPLES:
        parts.append(f"--samples {options.samples}")
    parts.append(f"--model-version {options.model_version}")
    parts += [f"--{name}" for name in ("mirror", "final", "arm") if getattr(options, name)]
    parts += [f"--fairface {options.fairface.name}"] if options.fairface else []
    return "\n".join([*made_by(config), " ".join(parts)])


def _fit(run: str) -> str:
    """Return the command that trains a run, from its file in training/configs or from the settings in its folder."""
    released = Path(f"training/configs/{run}.yaml")
    return f"emotion-train fit {released if released.exists() else Path('runs', run, CONFIG_FILE)}"


def made_by(config: TrainingConfig) -> list[str]:
    """List the commands that make a run, after those for the runs it starts from, as far as these exist here."""
    if config.mean_of:
        last = f"emotion-train soup {' '.join(map(str, config.mean_of))} --out runs/{config.name}"
        return [*dict.fromkeys(command for run in config.mean_of for command in _commands_of(run)), last]
    start = config.continue_from or Path(str(config.options.get("weights", "")))
    earlier = _commands_of(start.parent) if start.parts[:1] == ("runs",) else []
    return [*earlier, _fit(config.name)]


def _commands_of(run: Path) -> list[str]:
    settings = run / CONFIG_FILE
    return made_by(read_config(settings)) if settings.exists() else [_fit(run.name)]
