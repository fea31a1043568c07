"""The settings of one training run: a YAML file, kept with its results."""

import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge.config.yaml_file import read_yaml
from edge.errors import EmotionEdgeError, reason_of

CONFIG_FILE = "config.yaml"
NETWORK_FILE = "network.keras"
"""Files in the folder of a run: its settings (CONFIG_FILE), and the float network of the selected epoch."""

AFFECT = "affect"
"""The head of valence and arousal; every other head is named after its label set."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSource(_Part):
    """The data set of a run, and how to read it.

    path: a file or folder, relative to the working directory. format: `auto` recognises the layout. label_set: the
    primary label set; null: the data set's own. mapping: a YAML file of `own class name: emotion` lines. votes: how
    FER+'s votes become targets.
    """

    path: Path = Path("data")
    format: str = "auto"
    label_set: str | None = None
    mapping: Path | None = None
    votes: str = "distribution"


class InputSize(_Part):
    """The network's input size. channels: 1 for grey, 3 for BGR."""

    height: int = Field(default=48, gt=0)
    width: int = Field(default=48, gt=0)
    channels: Literal[1, 3] = 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.height, self.width, self.channels


class Teacher(_Part):
    """Distillation from other networks, in one of two ways.

    soft_labels: probabilities for each face as it is, a file of `emotion-train distill`. models: folders of released
    models, a committee or runs, which are run in each step on the batch as the student sees it, mixed and augmented
    (Beyer et al. 2022). weight: weight of the teacher in each target, 0 to 1; the rest is the label.
    """

    soft_labels: Path | None = None
    models: tuple[Path, ...] = ()
    weight: float = Field(0.7, ge=0, le=1)

    @model_validator(mode="after")
    def _is_one_of_two(self) -> Self:
        if (self.soft_labels is None) == (not self.models):
            raise ValueError("takes either `soft_labels` or `models`")
        return self


class Unlabelled(_Part):
    """Faces without labels, learned from teachers' soft labels beside the data set.

    path: as for `training.datasets.unlabelled.read_unlabelled`. soft_labels: file of `emotion-train distill
    --unlabelled` for these faces; null: the faces are used only for `consistency`. weight: weight of each such face in
    the loss; labelled faces have 1. confidence: least probability of the teachers' most likely class for a face to be
    used. most_per_class: largest number of faces of each most likely class (primary head), drawn by the run's seed;
    null: all.
    """

    path: Path
    soft_labels: Path | None = None
    weight: float = Field(0.5, gt=0)
    confidence: float = Field(0.0, ge=0, le=1)
    most_per_class: int | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _is_chosen_by_soft_labels(self) -> Self:
        if self.soft_labels is None and (self.confidence or self.most_per_class):
            raise ValueError("`confidence` and `most_per_class` need `soft_labels`")
        return self


class Consistency(_Part):
    """Consistency regularisation: altered copies of a face should get the same probabilities (mean teachers, 2017).

    The target of each face is mixed with the probabilities of the averaged network for the face without augmentation,
    the mean over it and its mirror image.

    weight: weight of these probabilities in each target, 0 to 1. ramp_epochs: epochs over which the weight rises to
    that; needed by a run that starts from random weights.
    """

    weight: float = Field(0.5, gt=0, le=1)
    ramp_epochs: int = Field(0, ge=0)

    def weight_in(self, epoch: int) -> float:
        """The weight in an epoch, counted from 0."""
        return self.weight * min(1.0, (epoch + 1) / (self.ramp_epochs + 1))


class TrainingConfig(_Part):
    """The settings of a run.

    Args:
        name: name of the run and its folder.
        data: the labelled faces to train on.
        unlabelled: faces without labels to train on as well.
        consistency: consistency regularisation; null: none.
        network, options: name of the architecture in the registry, and its options.
        continue_from: the `network.keras` of a run or released model with the same network and heads, from whose
            weights training starts, those of its heads included.
        heads: the label sets the network learns, and `affect`, each with the weight of its loss; the first emotion is
            the primary one. `affect` alone makes a network of valence and arousal, which no board runs: it names
            emotions.
        label_smoothing: label smoothing of labels that are one class; votes are soft already.
        class_balance: weight of a row by how many its class has: `none`, `inverse` (1 / count) or `effective` (Cui et
            al. 2019, beta 0.999).
        focal_gamma: 0 is cross-entropy (Lin et al. 2017).
        sampling: which faces an epoch has: each once, or by `balanced` as many of each class of the primary head, rare
            ones several times; faces without a label stay as they are.
        mixup: alpha of its Beta distribution, 0 is none (Zhang et al. 2018).
        cutmix: alpha of its Beta distribution, 0 is none (Yun et al. 2019); with `mixup`, each batch gets one of both.
        frozen: share of the layers with weights, from the image on, that are not trained; 1: all but the heads. Their
            batch normalization keeps its statistics.
        augment: settings of `Augment` that differ from its defaults.
        learning_rate: the peak, reached after warmup_epochs and then lowered along a cosine.
        average_momentum: momentum of the exponential moving average of the weights, per step.
        patience: stop after so many epochs without a better one; null is never.
        precision: `mixed_bfloat16` halves the time on PyTorch and processors that have it; `mixed_float16`, with scaled
            losses, is for GPUs without bfloat16 (NVIDIA before 2020).
        seed: seed of the weights, the order and the augmentation.
        licence: licence of the weights, for the model's card; empty: not chosen yet.
        mean_of: the runs whose mean a network is; `emotion-train soup` writes it.
    """

    name: str = Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]*$")
    data: DataSource = DataSource()
    unlabelled: Unlabelled | None = None
    consistency: Consistency | None = None
    network: str = "plain_residual"
    options: dict[str, Any] = {}
    continue_from: Path | None = None
    input: InputSize = InputSize()
    heads: dict[str, float] = Field({"ferplus8": 1.0, "fer7": 1.0, AFFECT: 0.5}, min_length=1)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    class_balance: Literal["none", "inverse", "effective"] = "none"
    focal_gamma: float = Field(0.0, ge=0)
    teacher: Teacher | None = None
    sampling: Literal["natural", "balanced"] = "natural"
    mixup: float = Field(0.0, ge=0)
    cutmix: float = Field(0.0, ge=0)
    frozen: float = Field(0.0, ge=0, le=1)
    augment: dict[str, float] = {}
    epochs: int = Field(gt=0)
    batch_size: int = Field(128, gt=0)
    learning_rate: float = Field(2e-3, gt=0)
    warmup_epochs: float = Field(1.0, ge=0)
    weight_decay: float = Field(0.05, ge=0)
    average_momentum: float = Field(0.999, ge=0, lt=1)
    patience: int | None = Field(None, gt=0)
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    seed: int = 0
    licence: str = ""
    mean_of: tuple[Path, ...] = ()

    @property
    def primary(self) -> str:
        """The first head that is a label set, or `affect` if that is the only head."""
        return next((head for head in self.heads if head != AFFECT), AFFECT)

    @model_validator(mode="after")
    def _has_labels_for_what_needs_them(self) -> Self:
        if set(self.heads) <= {AFFECT}:
            needs = {
                "sampling: balanced": self.sampling == "balanced",
                "teacher": self.teacher is not None,
                "unlabelled": self.unlabelled is not None,
                "consistency": self.consistency is not None,
            }
            if wanted := [name for name, there in needs.items() if there]:
                raise ValueError(f"{wanted[0]}: needs a head with labels beside `affect`, as `fer7: 1.0`")
        return self

    @model_validator(mode="after")
    def _learns_from_unlabelled(self) -> Self:
        if self.unlabelled and not (self.unlabelled.soft_labels or self.consistency):
            raise ValueError("unlabelled: needs `soft_labels`, or `consistency` in the run")
        return self


_SETTINGS = sorted(
    {
        field
        for part in (TrainingConfig, DataSource, InputSize, Teacher, Unlabelled, Consistency)
        for field in part.model_fields
    }
)


def read_config(path: Path, changes: Mapping[str, Any] | None = None) -> TrainingConfig:
    """Read the settings of a run from a file. changes: settings that replace the file's.

    Raises EmotionEdgeError for a file that is missing or not YAML, and for a setting that is unknown or out of range.
    """
    if not path.exists():
        raise EmotionEdgeError(f"{path}: not there")
    settings = read_yaml(path, "settings")
    if isinstance(settings, dict):
        settings = settings | dict(changes or {})
    try:
        return TrainingConfig.model_validate(settings)
    except ValidationError as error:
        found = error.errors()
        reasons = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {_reason(fault)}".removeprefix(": ") for fault in found
        )
        unknown = [str(fault["loc"][-1]) for fault in found if fault["type"] == "extra_forbidden"]
        near = [get_close_matches(name, _SETTINGS, n=1) for name in unknown]
        hints = "".join(f"; did you mean {found[0]!r}?" for found in near if found)
        raise EmotionEdgeError(f"settings {path}: {reasons}{hints}") from None


def _reason(fault: Mapping[str, Any]) -> str:
    """Describe a validation error of pydantic: the value found, and what is allowed."""
    value, context = repr(fault["input"]), fault.get("ctx", {})
    match fault["type"]:
        case "extra_forbidden":
            return "is no setting"
        case "missing":
            return "is missing"
        case "int_parsing" | "int_type" | "int_from_float":
            return f"{value} is no whole number"
        case "float_parsing" | "float_type":
            return f"{value} is no number"
        case "literal_error":
            return f"{value} is none of {context['expected']}"
        case "string_pattern_mismatch":
            return (
                f"{value}: only letters, digits, `_`, `.` and `-` are allowed, and no `_`, `.` or `-` at its beginning"
            )
        case "dict_type" if fault["loc"]:
            return f"{value}: wanted are a name and a number in each line, such as `fer7: 1.0`"
        case "dict_type" | "model_type" if not fault["loc"]:
            return "no settings: wanted are lines of `name: value`, such as `epochs: 20`"
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            return f"{value}: {reason_of(fault).removeprefix('Input ')}"
        case _:
            return reason_of(fault)


def write_config(config: TrainingConfig, path: Path) -> None:
    """Write every setting, defaults included, atomically."""
    partial = path.with_name(f"partial-{path.name}")
    with partial.open("w", encoding="utf-8") as file:
        yaml.safe_dump(config.model_dump(mode="json"), file, sort_keys=False)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
