"""The model card, and the refusal of an incomplete model."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from edge.config import Settings
from edge.emotion.local import LocalClassifier
from edge.errors import EmotionEdgeError
from edge.models.card import CARD_FILE, MODEL_FILE, Card, EmotionCard, InputSpec, read_card, write_card
from edge.models.released import installed_models, model_dir
from edge.models.runtime import choose

SHIPPED = model_dir(Settings().emotion.model)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED, tmp_path / "model"))


def test_a_card_survives_being_written_and_read(model: Path) -> None:
    card = read_card(EmotionCard, model)
    write_card(card, model)
    assert read_card(EmotionCard, model) == card


@pytest.mark.parametrize("name", installed_models())
def test_every_shipped_model_fits_its_card(name: str) -> None:
    card = read_card(Card, model_dir(name))
    assert card.name == name
    assert card.licence
    assert card.command


@pytest.mark.parametrize(
    ("dtype", "scale", "zero_point", "low", "high", "black", "white"),
    [
        ("int8", 1 / 255, -128, 0.0, 1.0, -128, 127),
        ("uint8", 2 / 255, 128, -1.0, 1.0, 0, 255),
        ("float32", 1.0, 0, -1.0, 1.0, -1.0, 1.0),
    ],
)
def test_pixels_become_what_the_card_says(
    dtype: str, scale: float, zero_point: int, low: float, high: float, black: float, white: float
) -> None:
    spec = InputSpec.model_validate(
        {"name": "image", "height": 1, "width": 1, "channels": 1, "dtype": dtype, "scale": scale}
        | {"zero_point": zero_point, "value_range": (low, high)}
    )
    table = spec.lookup()
    assert table.dtype == np.dtype(dtype)
    assert table[0] == pytest.approx(black, abs=1)
    assert table[255] == pytest.approx(white, abs=1)
    assert (np.diff(table.astype(float)) >= 0).all()


def test_a_damaged_model_is_refused(model: Path) -> None:
    data = bytearray((model / MODEL_FILE).read_bytes())
    data[len(data) // 2] ^= 1
    (model / MODEL_FILE).write_bytes(data)
    with pytest.raises(EmotionEdgeError, match=r"SHA-256 .* install the model again"):
        read_card(EmotionCard, model)


@pytest.mark.parametrize("name", [MODEL_FILE, CARD_FILE])
def test_a_missing_part_is_named(model: Path, name: str) -> None:
    (model / name).unlink()
    with pytest.raises(EmotionEdgeError, match=f"{name} is missing"):
        read_card(EmotionCard, model)


def test_a_card_that_is_none_is_named(model: Path) -> None:
    (model / CARD_FILE).write_text("{not json")
    with pytest.raises(EmotionEdgeError, match=r"model card .*card\.json"):
        read_card(EmotionCard, model)


def test_a_model_that_cannot_be_read_is_named(model: Path) -> None:
    (model / MODEL_FILE).unlink()
    (model / MODEL_FILE).symlink_to("/proc/self/mem")  # opens, but even root cannot read its beginning
    with pytest.raises(EmotionEdgeError, match=rf"model {model}: cannot be read: "):
        read_card(EmotionCard, model)


@pytest.mark.parametrize("name", ["x" * 300, "~nobody-of-this-name/model"])
def test_a_path_that_cannot_be_followed_is_named(name: str) -> None:
    with pytest.raises(EmotionEdgeError, match=f"model '{name}': "):
        model_dir(name)


def test_a_card_must_have_one_primary_output(model: Path) -> None:
    content = json.loads((model / CARD_FILE).read_text())
    for output in content["outputs"]:
        output["primary"] = True
    with pytest.raises(ValidationError, match="exactly one emotion output must be primary"):
        EmotionCard.model_validate(content)


def test_a_card_of_another_model_is_refused(model: Path) -> None:
    content = json.loads((model / CARD_FILE).read_text())
    content["outputs"][0]["name"] = "valence"
    (model / CARD_FILE).write_text(json.dumps(content))
    with pytest.raises(EmotionEdgeError, match="its card names valence, which the file does not have"):
        LocalClassifier(model, choose())


def test_an_unknown_model_is_named_with_those_here() -> None:
    with pytest.raises(EmotionEdgeError, match=f"'emotion-huge': not there.*{SHIPPED.name}"):
        model_dir("emotion-huge")
