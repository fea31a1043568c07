"""The settings of one training run: a YAML file, kept with its results."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.errors import EmotionEdgeError


class TrainingConfig(BaseModel):
    """name: of the run and its folder. network, options: from the registry. augment: settings of `Augment` that differ
    from its defaults. learning_rate: the peak, reached after warmup_epochs and then lowered along a cosine.
    average_momentum: of the exponential moving average of the weights, per step. seed: of the weights and the order.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-zA-Z0-9_.-]+$")
    network: str = "plain_residual"
    options: dict[str, Any] = {}
    augment: dict[str, float] = {}
    epochs: int = Field(gt=0)
    batch_size: int = Field(128, gt=0)
    learning_rate: float = Field(2e-3, gt=0)
    warmup_epochs: float = Field(1.0, ge=0)
    weight_decay: float = Field(0.05, ge=0)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    ferplus_weight: float = Field(1.0, ge=0)
    average_momentum: float = Field(0.999, ge=0, lt=1)
    seed: int = 0


def read_config(path: Path) -> TrainingConfig:
    """Raises EmotionEdgeError for a file that is missing, is no YAML, or has a setting that is not known or out of
    range.
    """
    try:
        return TrainingConfig.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise EmotionEdgeError(f"{path}: not there") from None
    except (yaml.YAMLError, ValidationError) as error:
        raise EmotionEdgeError(f"{path}: {error}") from None


def write_config(config: TrainingConfig, path: Path) -> None:
    """Write every setting, defaults too."""
    path.write_text(yaml.safe_dump(config.model_dump(), sort_keys=False), encoding="utf-8")
