"""Ensembles of models, called committees.

A released committee is a folder with `committee.json`, which names its members, the leader first, with the hash of each
model file:

    {"name": "committee", "version": "1.0.0", "mirror": true, "rule": "mean",
     "members": [{"model": "emotion-large", "sha256": "..."}, {"model": "emotion-small", "sha256": "..."}]}

Models with the same labels also form a committee without such a file, whatever the sizes and colours of their inputs:
`emotion-large+emotion-small+emotion-nano`.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.emotion.local import LocalClassifier
from edge.emotion.scores import Floats, Scores, empty_scores, final_output
from edge.errors import EmotionEdgeError
from edge.faces.crop import Pixels, face_crops, fitted_crops
from edge.models.card import EmotionCard, OutputSpec, read_any_card
from edge.models.released import MODEL_FOLDERS, installed_models, model_dir
from edge.models.runtime import Runtime
from edge.reading import Box, Detection, Image
from edge.system.state_folder import expanded

COMMITTEE_FILE: Final = "committee.json"
JOINT: Final = "+"
"""Separator between the names of a committee's members."""

Rule = Literal["vote", "mean"]
"""How a committee decides. vote: majority vote; of tied labels, the one with the leader's highest probability. mean:
the label with the highest mean probability.
"""

_log = logging.getLogger(__name__)


class Member(BaseModel):
    """A committee's member. model: as in the setting emotion.model. sha256: of its model file."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    model: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class CommitteeFile(BaseModel):
    """The content of `committee.json`; unknown keys are ignored, as in a model's card.

    mirror: average each member over mirror images. rule: how the committee decides.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    version: str
    members: tuple[Member, ...] = Field(min_length=2)
    mirror: bool = False
    rule: Rule = "vote"


class Committee:
    """A `Classifier` of several models that decide by vote or mean; the first breaks ties.

    Its probabilities are means over the members that `counted_members` selects, so that the winner is the most probable
    label. members: names of the models, in the order of the votes.
    """

    server: str | None = None

    def __init__(
        self,
        members: Sequence[LocalClassifier],
        name: str = "",
        version: str = "",
        rule: Rule = "vote",
    ) -> None:
        """Combine loaded models.

        Args:
            members: the leader first.
            name: of the committee; empty: the members' names joined by +.
            version: of the committee; empty: the members' versions joined by +.
            rule: how the committee decides.

        Raises:
            EmotionEdgeError: the members differ in labels or in the crop about a face, or two have the same name.
        """
        self._members = tuple(members)
        self._rule = rule
        self.members = tuple(member.card.name for member in members)
        leader = self._members[0]
        name = name or JOINT.join(self.members)
        for member in self._members[1:]:
            _check_alike(name, leader.card, member.card)
        if len(set(self.members)) < len(self.members):
            raise EmotionEdgeError(f"committee {name}: two members have one name ({', '.join(self.members)})")
        self.labels = leader.labels
        self.card = leader.card.model_copy(
            update={
                "name": name,
                "version": version or JOINT.join(member.card.version for member in members),
                "sha256": hashlib.sha256("\n".join(member.card.sha256 for member in members).encode()).hexdigest(),
                "outputs": voted_outputs(leader.card.primary),
                "metrics": (),
                **_common_input(self._members),
            }
        )
        if len(inputs := dict.fromkeys(_input(member.card) for member in self._members)) > 1:
            _log.info(
                "committee %s: each face is cut %d times, for inputs of %s; a face takes %.1f ms here",
                name, len(inputs), ", ".join(" ".join(each) for each in inputs), self._milliseconds(),
            )  # fmt: skip

    def __call__(self, image: Image, faces: Sequence[Detection | Box]) -> Scores:
        """Classify the faces of a frame, cropped for the input of each member."""
        crops: dict[tuple[str, ...], Pixels] = {}
        for card in (member.card for member in self._members):
            if _input(card) not in crops:
                crops[_input(card)] = face_crops(image, faces, card.crop, card.input)
        return self._decide([crops[_input(member.card)] for member in self._members])

    def classify(self, crops: Pixels) -> Scores:
        """Classify face crops of the committee's input size; they are shrunk for members with smaller inputs."""
        return self._decide([fitted_crops(crops, member.card.input) for member in self._members])

    def _milliseconds(self) -> float:
        """Measure the milliseconds for one face, in a second run: the interpreters allocate memory in the first."""
        spec = self.card.input
        crops = np.zeros((1, spec.height, spec.width, spec.channels), np.uint8)
        self.classify(crops)
        begun = time.perf_counter()
        self.classify(crops)
        return 1000 * (time.perf_counter() - begun)

    def _decide(self, crops: Sequence[Pixels]) -> Scores:
        """Classify n faces. crops: for each member, the n crops for its input."""
        if not len(crops[0]):
            return empty_scores(self.labels)
        predictions = [member.classify(own) for member, own in zip(self._members, crops, strict=True)]
        probabilities = np.stack([scores.probabilities for scores in predictions])
        affects = np.stack([scores.valence_arousal for scores in predictions])
        counted = counted_members(probabilities, self._rule)
        votes = probabilities.argmax(axis=2).T
        return Scores(
            mean_of(counted, probabilities),
            mean_of(counted, affects),
            [{name: self.labels[label] for name, label in zip(self.members, face, strict=True)} for face in votes],
        )


def counted_members(probabilities: Floats, rule: Rule) -> Floats:
    """Select the members whose mean is the result for each face: by vote, those who voted for the winner; by mean, all.

    Args:
        probabilities: float32 [members, n, labels], the leader first.
        rule: how the committee decides.

    Returns:
        float32 [members, n]: 1 for selected members, else 0.
    """
    if rule == "mean":
        return np.ones(probabilities.shape[:2], np.float32)
    votes = probabilities.argmax(axis=2)
    counts = np.eye(probabilities.shape[2])[votes].sum(axis=0)
    tied = counts == counts.max(axis=1, keepdims=True)
    winners = np.where(tied, probabilities[0], -1).argmax(axis=1)
    return np.asarray(votes == winners, np.float32)


def mean_of(counted: Floats, values: Floats) -> Floats:
    """Average values [members, n, k] over the members that count, [members, n] of 1 and 0; return [n, k]."""
    return np.asarray(np.einsum("mn,mnk->nk", counted, values) / counted.sum(axis=0)[:, None], np.float32)


def open_local(
    name: str, runtime: Runtime, threads: int = 1, balance: float | None = None
) -> LocalClassifier | Committee:
    """Load a model or committee by name or folder, or several models joined by +.

    Args:
        name: of a model or committee, a folder, or several joined by +.
        runtime: interpreter.
        threads: of the interpreter.
        balance: weight of rare emotions for every model, in place of its card's; None: the card's.

    Raises:
        EmotionEdgeError: a model is missing or damaged, or the hash of a released committee's member is another.
    """
    if file := committee_file(name):
        return _released(file, runtime, threads, balance)
    members = [LocalClassifier(folder, runtime, threads, balance=balance) for folder in member_folders(name)]
    return Committee(members) if len(members) > 1 else members[0]


def member_folders(name: str) -> list[Path]:
    """Return the model folders of one name or of several joined by +. Raises EmotionEdgeError if one is missing."""
    joined = JOINT in name and not expanded(name).is_dir()
    return [model_dir(part.strip()) for part in name.split(JOINT)] if joined else [model_dir(name)]


def committee_file(name: str) -> Path | None:
    """Return the `committee.json` of a committee's name or folder; None if `name` is neither."""
    file = installed_committees().get(name, expanded(name)) / COMMITTEE_FILE
    return file if file.is_file() else None


def installed_committees() -> dict[str, Path]:
    """Return the folders of the installed committees by name; of two with one name, the first found."""
    found: dict[str, Path] = {}
    for folder in MODEL_FOLDERS:
        for file in sorted(folder.glob(f"*/{COMMITTEE_FILE}")):
            found.setdefault(file.parent.name, file.parent)
    return found


def voted_outputs(primary: OutputSpec) -> tuple[OutputSpec, OutputSpec]:
    """Return the specs of a committee's two outputs: final probabilities, and valence and arousal."""
    return (
        final_output(primary),
        OutputSpec(name="valence_arousal", kind="valence_arousal", activation="linear"),
    )


def alike(labels: Sequence[str], published: Callable[[Sequence[str]], Sequence[str]]) -> list[str]:
    """List the released models and committees with which the published labels stay the same.

    Args:
        labels: as they are published.
        published: returns the labels that are published for a model's labels; raises EmotionEdgeError if they do not
            fit.
    """
    found = []
    for name, folder in installed_models().items():
        with suppress(EmotionEdgeError):
            other = read_any_card(folder)
            if isinstance(other, EmotionCard) and tuple(published(other.primary.labels)) == tuple(labels):
                found.append(name)
    for name, folder in installed_committees().items():
        with suppress(EmotionEdgeError):
            members = [member.model for member in read_committee(folder / COMMITTEE_FILE).members]
            if all(member in found for member in members):
                found.append(name)
    return found


def read_committee(file: Path) -> CommitteeFile:
    """Read a `committee.json`. Raises EmotionEdgeError if it is not valid."""
    try:
        return CommitteeFile.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValidationError, ValueError) as error:
        raise EmotionEdgeError(f"committee {file}: {error}") from error


def _released(file: Path, runtime: Runtime, threads: int, balance: float | None) -> Committee:
    content = read_committee(file)
    members = []
    for wanted in content.members:
        member = LocalClassifier(model_dir(wanted.model), runtime, threads, content.mirror, balance)
        if member.card.sha256 != wanted.sha256:
            together = JOINT.join(member.model for member in content.members)
            raise EmotionEdgeError(
                f"committee {file}: was made of another {wanted.model} ({wanted.sha256[:12]}...) than the one here "
                f"({member.card.sha256[:12]}...): install the committee again, or let those that are here vote with "
                f"emotion.model: {together}"
            )
        members.append(member)
    return Committee(members, content.name, content.version, content.rule)


def _check_alike(name: str, leader: EmotionCard, member: EmotionCard) -> None:
    for what, of_leader, of_member in (
        ("labels", leader.primary.labels, member.primary.labels),
        ("faces", _face(leader), _face(member)),
    ):
        if of_leader != of_member:
            raise EmotionEdgeError(
                f"committee {name}: its members must have the same {what}, and {leader.name} has {_text(of_leader)}, "
                f"{member.name} has {_text(of_member)}"
            )


def _face(card: EmotionCard) -> tuple[str, ...]:
    """Describe the crop about a face as text; all members must agree on it, but not on size and colour."""
    crop = card.crop
    return crop.area, f"scale {crop.scale}", f"shift {crop.shift[0]}, {crop.shift[1]}"


def _input(card: EmotionCard) -> tuple[str, ...]:
    return f"{card.input.width}x{card.input.height}", card.crop.colour


def _common_input(members: Sequence[LocalClassifier]) -> dict[str, Any]:
    """Return `input` and `crop` of the committee's card: the largest size, from which members' crops can be made."""
    specs, crop = [member.card.input for member in members], members[0].card.crop
    size = {key: max(getattr(spec, key) for spec in specs) for key in ("height", "width", "channels")}
    colour = "grey" if size["channels"] == 1 else "bgr"
    return {"input": specs[0].model_copy(update=size), "crop": crop.model_copy(update={"colour": colour})}


def _text(names: Sequence[str]) -> str:
    return ", ".join(names)
