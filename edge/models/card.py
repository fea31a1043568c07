"""The model card: `card.json` beside `model.tflite`, with everything that is needed to run the model correctly.

`quantize` writes it, the board reads it. Unknown keys are ignored, so that older boards read newer cards.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge.errors import EmotionEdgeError, in_one_line
from edge.labels import label_problem

MODEL_FILE = "model.tflite"
CARD_FILE = "card.json"

MAX_CARD_BYTES: Final = 1_000_000
"""Largest card.json that is read."""


def _printable(text: str) -> str:
    """Refuse control characters, because names reach terminals, topics and file names. Raises ValueError."""
    if not text.isprintable():
        raise ValueError("has characters that cannot be printed")
    return text


def _different(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] == bounds[1]:
        raise ValueError("both values are the same")
    return bounds


Name = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_printable)]
Value = Annotated[float, Field(ge=-1e4, le=1e4)]
Shift = Annotated[float, Field(ge=-2, le=2)]
Side = Annotated[int, Field(ge=1, le=2048)]
"""Width or height of an input, pixels."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class InputSpec(_Part):
    """How pixels become the network's input tensor [n, height, width, channels].

    A pixel p of 0 to 255 means the real value `low + p / 255 * (high - low)` with `value_range` = (low, high), and a
    real value v is stored as `round(v / scale) + zero_point` (TensorFlow Lite's affine quantization), clipped to the
    dtype. For dtype float32, scale is 1 and zero_point 0.
    """

    name: Name
    height: Side
    width: Side
    channels: Literal[1, 3]
    dtype: Literal["int8", "uint8", "float32"]
    scale: Annotated[float, Field(gt=1e-9, le=1e4)]
    zero_point: Annotated[int, Field(ge=-128, le=255)]
    value_range: Annotated[tuple[Value, Value], AfterValidator(_different)]

    def lookup(self) -> npt.NDArray[Any]:
        """Return a table of the stored values of the pixel values 0 to 255: `table[pixels]` is the input tensor."""
        low, high = self.value_range
        real = low + np.arange(256) / 255.0 * (high - low)
        if self.dtype == "float32":
            return real.astype(np.float32)
        info = np.iinfo(self.dtype)
        stored = np.rint(real / self.scale) + self.zero_point
        return np.asarray(np.clip(stored, info.min, info.max), self.dtype)


class CropSpec(_Part):
    """How a face becomes an input: cut out as a square about the detector's box, then resized by area averaging.

    The square's side is `scale * sqrt(box width * box height)`; its centre is the box's, moved by `shift` (x, y) sides.
    Past the frame's edge the edge pixels are repeated. The defaults turn a YuNet box into the framing of FER-2013;
    `python -m training.synthetic.crop_framing` measures them. With area `image` the whole picture is stretched to the
    input for each face in it, for networks that were trained on whole pictures.
    """

    how: Annotated[str, Field(max_length=2000)] = (
        "a square about the detector's box (forehead to chin), not rotated: side = scale * sqrt(width * height), its "
        "centre the box's moved by shift * side in x and y; past the frame's edge the edge pixels repeated; resized to "
        "the input by averaging"
    )
    """The crop described in words, for readers of the card alone."""
    colour: Literal["grey", "bgr"] = "grey"
    area: Literal["face", "image"] = "face"
    scale: Annotated[float, Field(ge=0.2, le=5)] = 1.1
    shift: tuple[Shift, Shift] = (0.0, -0.02)


class OutputSpec(_Part):
    """One output of the network, by its name in the TFLite signature.

    Attributes:
        kind: `emotion`: [n, len(labels)], logits or probabilities by `activation`; `valence_arousal`: [n, 2], -1 to 1.
        primary: true for the one output that the board publishes.
        temperature: logits are divided by it before softmax (fitted on a validation split, Guo et al. 2017).
        priors: share of each label in the training data; empty if unknown.
        balance: weight, 0 to 1, with which the logarithms of the priors are subtracted from the divided logits (Menon
            et al. 2021): 0 predicts labels as often as the training data has them, 1 as if each were equally likely.
    """

    name: Name
    kind: Literal["emotion", "valence_arousal"]
    activation: Literal["logits", "softmax", "linear"]
    label_set: Annotated[str, Field(max_length=100), AfterValidator(_printable)] = ""
    labels: Annotated[tuple[Name, ...], Field(max_length=64)] = ()
    primary: bool = False
    temperature: Annotated[float, Field(ge=0.01, le=100)] = 1.0
    priors: Annotated[tuple[Annotated[float, Field(ge=1e-6, le=1)], ...], Field(max_length=64)] = ()
    balance: Annotated[float, Field(ge=0, le=1)] = 0.0

    @property
    def size(self) -> int:
        """Number of values for each face: one for each label, or 2 for valence and arousal."""
        return len(self.labels) if self.kind == "emotion" else 2


class SelfTest(_Part):
    """The outputs that the model had for the drawn faces of `edge/model_updates/self_test.py` when it was made.

    Attributes:
        drawing: version of the drawing.
        expected: a row of values for each face.
        tolerance: the largest difference allowed to each value.
    """

    drawing: Annotated[int, Field(ge=0, le=1000)]
    expected: Annotated[tuple[Annotated[tuple[Value, ...], Field(max_length=64)], ...], Field(max_length=16)]
    tolerance: Annotated[float, Field(ge=0, le=0.5)]


class Card(_Part):
    """What the card of every model has: name, hash and input. A face detector's card has nothing else."""

    name: Name
    version: Name
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    input: InputSpec
    licence: Annotated[str, Field(max_length=10_000)]
    command: Annotated[str, Field(max_length=10_000)]
    self_test: SelfTest | None = None


class EmotionCard(Card):
    """The card of an emotion model. `metrics` is a list of figures, each with its data set, split and protocol.

    Attributes:
        mirror: run the model on each face and on its mirror image, and average the outputs; the metrics were measured
            so.
        mirror_below: without `mirror`, average so for faces with a confidence (probability of the most probable label)
            below this, 0 to 1; 0: for none. The metrics were measured without it.
        parity: how evenly the model treats groups of people: `note`, and `rows` with `group`, `faces`, `found`, `same`
            and `uncertain`; empty if that was not measured.
    """

    crop: CropSpec
    mirror: bool = False
    mirror_below: Annotated[float, Field(ge=0, le=1)] = 0.0
    outputs: Annotated[tuple[OutputSpec, ...], Field(max_length=8)]
    metrics: Annotated[tuple[Mapping[str, Any], ...], Field(max_length=1000)]
    parity: Mapping[str, Any] = {}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len({output.name for output in self.outputs}) < len(self.outputs):
            raise ValueError("outputs: two have the same name")
        primaries = [output for output in self.outputs if output.primary]
        if len(primaries) != 1 or primaries[0].kind != "emotion":
            raise ValueError("outputs: exactly one emotion output must be primary")
        for output in self.outputs:
            if output.kind == "emotion" and not output.labels:
                raise ValueError(f"outputs: {output.name!r} has no labels")
            if len(set(output.labels)) < len(output.labels):
                raise ValueError(f"outputs: {output.name!r} has a label twice")
            if output.priors and len(output.priors) != len(output.labels):
                raise ValueError(f"outputs: {output.name!r} needs one prior for each label")
            if problem := next(filter(None, map(label_problem, output.labels)), ""):
                raise ValueError(f"outputs: {output.name!r}: {problem}")
        return self

    @property
    def primary(self) -> OutputSpec:
        """The one output whose labels the board publishes."""
        return next(output for output in self.outputs if output.primary)


def sha256_of(path: Path) -> str:
    """Return the file's SHA-256, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


CardT = TypeVar("CardT", bound=Card)


def read_card(kind: type[CardT], folder: Path) -> CardT:
    """Read and check the card in a model's folder, and compare the model file with its hash.

    Raises:
        EmotionEdgeError: a file is missing or cannot be read, the card is not valid, or the file's hash is not the
            card's.
    """
    try:
        return _read_card(kind, folder)
    except OSError as error:
        raise EmotionEdgeError(f"model {folder}: cannot be read: {error}") from error


def _read_card(kind: type[CardT], folder: Path) -> CardT:
    path, model = folder / CARD_FILE, folder / MODEL_FILE
    for file in (path, model):
        if not file.is_file():
            raise EmotionEdgeError(
                f"model {folder}: {file.name} is missing (a model is a folder with {CARD_FILE} and {MODEL_FILE})"
            )
    try:
        card = kind.model_validate(_json_of(path))
    except ValidationError as error:
        raise EmotionEdgeError(f"model card {path}: {in_one_line(error)}") from error
    except (ValueError, RecursionError) as error:
        raise EmotionEdgeError(f"model card {path}: is no valid JSON: {error}") from error
    if (found := sha256_of(model)) != card.sha256:
        raise EmotionEdgeError(
            f"model {model}: its SHA-256 is {found[:12]}..., its card has {card.sha256[:12]}... "
            "(the file is damaged or was changed: install the model again)"
        )
    return card


def read_any_card(folder: Path) -> Card:
    """Read the card of either kind: an EmotionCard if it has outputs, else a face detector's Card.

    Raises EmotionEdgeError as `read_card`.
    """
    try:
        has_outputs = "outputs" in _json_of(folder / CARD_FILE)
    except (OSError, ValueError, TypeError, RecursionError):
        # `read_card` below raises the error.
        has_outputs = False
    return read_card(EmotionCard if has_outputs else Card, folder)


def _json_of(path: Path) -> Any:
    with path.open("rb") as file:
        content = file.read(MAX_CARD_BYTES + 1)
    if len(content) > MAX_CARD_BYTES:
        raise ValueError(f"larger than {MAX_CARD_BYTES} bytes")
    return json.loads(content.decode())


def write_card(card: Card, folder: Path) -> None:
    """Write `card.json` into the folder, indented."""
    (folder / CARD_FILE).write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")
