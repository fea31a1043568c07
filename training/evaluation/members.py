"""Trained networks opened from their folders (float runs or released models) for evaluation."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt

from edge.emotion.committee import COMMITTEE_FILE, Rule, read_committee
from edge.emotion.flip import with_flip
from edge.errors import EmotionEdgeError
from edge.labels import labels_of
from edge.models.card import CARD_FILE, MODEL_FILE, EmotionCard, read_card
from edge.models.released import model_dir
from edge.models.runtime import Network, choose
from training.config import AFFECT, NETWORK_FILE
from training.datasets.dataset import Dataset
from training.evaluation.figures import load_network, predict
from training.evaluation.metrics import Logits
from training.history import read_history

BATCH: Final = 64
"""Number of faces in a batch for a released model."""
_MIRRORED: Final = {"sees": "each face and its mirror image"}


@dataclass(frozen=True, slots=True)
class Member:
    """A network that can be evaluated.

    name: folder name, or the full path if two folders have the same name. kind: precision and runtime. heads: class
    names by label set, the primary head first. card_temperatures: temperatures from the card of a released model, by
    label set. shape: height, width and channels of its input. facts: further properties for the report, by name.
    history: metrics of each epoch; None for a released model. run: function from images uint8 [n, h, w] or [n, h, w, 3]
    of `shape` to logits [n, classes] by label set, with valence and arousal [n, 2], -1 to 1, under AFFECT if the
    network predicts them. views: number of views per face, 2 if the mirror image is averaged in. rule: decision rule of
    its committee.
    """

    name: str
    kind: str
    heads: Mapping[str, tuple[str, ...]]
    card_temperatures: Mapping[str, float]
    shape: tuple[int, int, int]
    facts: Mapping[str, str]
    history: Sequence[Mapping[str, str]]
    run: Callable[[npt.NDArray[np.uint8]], Mapping[str, Logits]]
    views: int = 1
    rule: Rule = "vote"


def open_members(folders: Sequence[Path], data: Dataset, mirror: bool = False) -> tuple[Member, ...]:
    """Open the networks in folders, in the given order.

    A released committee is replaced by its members, which run with flip if the committee's file says so.

    Args:
        folders: Folders of runs or released models.
        data: The data set; names the classes of its own label sets.
        mirror: True runs the released models with flip even if their cards do not.

    Raises:
        EmotionEdgeError: A folder holds neither a run nor a released model, or the classes of a head do not match its
            label set.
    """
    if len(folders) == 1 and (file := folders[0] / COMMITTEE_FILE).is_file():
        content = read_committee(file)
        members = open_members([model_dir(member.model) for member in content.members], data, content.mirror)
        return tuple(replace(member, rule=content.rule) for member in members)
    names = Counter(folder.resolve().name for folder in folders)
    found = []
    for folder in folders:
        name = folder.resolve().name if names[folder.resolve().name] == 1 else str(folder)
        if (folder / CARD_FILE).is_file():
            found.append(_released(folder, name, mirror))
        elif (folder / NETWORK_FILE).is_file():
            found.append(_float_run(folder, name, data))
        else:
            raise EmotionEdgeError(
                f"{folder}: holds neither a run ({NETWORK_FILE}, made by `emotion-train fit`) nor a released model "
                f"({CARD_FILE} and {MODEL_FILE})"
            )
    if repeated := [name for name, count in Counter(member.name for member in found).items() if count > 1]:
        raise EmotionEdgeError(f"{repeated[0]}: named twice; a committee's members have one vote each")
    return tuple(found)


def _float_run(folder: Path, name: str, data: Dataset) -> Member:
    network = load_network(folder)
    sizes = {head: int(output.shape[-1]) for head, output in network.output.items()}
    heads = {head: _names(folder, head, size, data) for head, size in sizes.items() if head != AFFECT}

    def run(images: npt.NDArray[np.uint8]) -> Mapping[str, Logits]:
        outputs = predict(network, images)
        if AFFECT in outputs:
            outputs[AFFECT] = np.clip(outputs[AFFECT], -1, 1)
        return outputs

    size = (folder / NETWORK_FILE).stat().st_size
    return Member(
        name,
        f"float32, keras {keras.__version__} on {keras.backend.backend()}",
        heads,
        {},
        network.input_shape[1:],
        {"parameters": f"{network.count_params():,}", "file": f"{size / 1000:,.0f} kB"},
        read_history(folder),
        run,
    )


def _names(folder: Path, head: str, size: int, data: Dataset) -> tuple[str, ...]:
    names = data.labels[head].names if head in data.labels else labels_of(head)
    if len(names) != size:
        raise EmotionEdgeError(
            f"{folder}: its head {head} has {size} classes, but {head} here has {len(names)} ({', '.join(names)}): "
            "judge it on the data set it was trained on"
        )
    return names


def _released(folder: Path, name: str, mirror: bool) -> Member:
    card, runtime = read_card(EmotionCard, folder), choose()
    mirror = mirror or card.mirror
    network = Network(folder / MODEL_FILE, runtime)
    table: npt.NDArray[Any] = card.input.lookup()
    emotions = [output for output in card.outputs if output.kind == "emotion"]
    emotions.sort(key=lambda output: not output.primary)
    affect = next((output.name for output in card.outputs if output.kind == "valence_arousal"), None)

    def run(images: npt.NDArray[np.uint8]) -> Mapping[str, Logits]:
        stored = table[images if images.ndim == 4 else images[..., None]]
        parts = [stored[start : start + BATCH] for start in range(0, len(stored), BATCH)]
        batches = [with_flip(network, part, mirror) for part in parts]
        values = {name: np.concatenate([batch[name] for batch in batches]) for name in network.outputs}
        outputs: dict[str, Logits] = {}
        for output in emotions:
            given = values[output.name]
            outputs[_label_set(output)] = given if output.activation == "logits" else np.log(np.maximum(given, 1e-9))
        if affect is not None:
            outputs[AFFECT] = np.clip(values[affect], -1, 1)
        return outputs

    size = (folder / MODEL_FILE).stat().st_size
    return Member(
        name,
        f"{card.input.dtype}, {runtime}",
        {_label_set(output): output.labels for output in emotions},
        {_label_set(output): output.temperature for output in emotions if output.activation == "logits"},
        (card.input.height, card.input.width, card.input.channels),
        {"version": card.version, "file": f"{size / 1000:,.0f} kB"} | (_MIRRORED if mirror else {}),
        (),
        run,
        2 if mirror else 1,
    )


def _label_set(output: Any) -> str:
    return str(output.label_set or output.name)
