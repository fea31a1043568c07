"""The released model against its own card, with nothing but the card to go by."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edge.card import EmotionCard, read_card
from edge.runtime import choose, installed
from tests.conftest import ROOT
from training.datasets.dataset import Dataset
from training.datasets.fer2013 import read_fer2013

FOLDER = ROOT / "models" / "emotion-small"
FACES = 1000


@pytest.fixture(scope="module")
def faces(fer2013_dir: Path) -> Dataset:
    """Faces of PrivateTest, drawn by chance."""
    part = read_fer2013(fer2013_dir).part("PrivateTest")
    return part.take(np.random.default_rng(11).permutation(len(part))[:FACES])


def run_by_card(
    runtime: str, card: dict[str, Any], images: npt.NDArray[np.uint8]
) -> dict[str, npt.NDArray[np.float32]]:
    """Logits of each output, from the words of card.json alone."""
    spec = card["input"]
    low, high = spec["value_range"]
    real = low + images[..., None] / 255 * (high - low)
    limits = np.iinfo(spec["dtype"])
    stored = np.clip(np.rint(real / spec["scale"]) + spec["zero_point"], limits.min, limits.max).astype(spec["dtype"])
    runner = choose(runtime).interpreter(model_path=str(FOLDER / "model.tflite")).get_signature_runner()  # type: ignore[arg-type]
    assert stored.shape[1:] == (spec["height"], spec["width"], spec["channels"])
    batches = [runner(**{spec["name"]: stored[start : start + 50]}) for start in range(0, len(stored), 50)]
    details = runner.get_output_details()
    outputs = {}
    for output in card["outputs"]:
        scale, zero_point = details[output["name"]]["quantization"]
        values = np.concatenate([batch[output["name"]] for batch in batches]).astype(np.float32)
        outputs[output["name"]] = (values - zero_point) * scale
    return outputs


def promised(card: dict[str, Any], runtime: str, output: str) -> float:
    """The PrivateTest accuracy that the card gives for an output in an interpreter."""
    return float(
        next(
            metric["accuracy"]
            for metric in card["metrics"]
            if metric["runtime"].startswith(runtime) and metric["split"] == "PrivateTest" and metric["output"] == output
        )
    )


def within_sampling_error(found: float, expected: float, rows: int) -> bool:
    """Four standard deviations of a share counted on that many rows."""
    return abs(found - expected) <= 4 * math.sqrt(expected * (1 - expected) / rows)


@pytest.mark.parametrize("runtime", list(installed()))
def test_the_card_alone_gives_the_accuracy_it_promises(runtime: str, faces: Dataset) -> None:
    card = json.loads((FOLDER / "card.json").read_text())
    outputs = run_by_card(runtime, card, faces.images)
    fer7 = outputs["fer7"].argmax(axis=1)
    expected = promised(card, runtime, "fer7")
    assert expected >= 0.62
    assert within_sampling_error(float(np.mean(fer7 == faces.labels)), expected, FACES)
    assert faces.majority is not None
    decided = faces.majority >= 0
    ferplus8 = outputs["ferplus8"].argmax(axis=1)[decided]
    found = float(np.mean(ferplus8 == faces.majority[decided]))
    assert within_sampling_error(found, promised(card, runtime, "ferplus8"), int(decided.sum()))


def test_both_interpreters_say_nearly_the_same(faces: Dataset) -> None:
    if len(installed()) < 2:
        pytest.skip("only one interpreter is installed")
    card = json.loads((FOLDER / "card.json").read_text())
    first, second = (run_by_card(runtime, card, faces.images)["fer7"].argmax(axis=1) for runtime in installed())
    assert float(np.mean(first == second)) > 0.97


def test_the_file_is_the_card_s_and_small() -> None:
    card = read_card(EmotionCard, FOLDER)
    assert card.name == FOLDER.name
    assert (FOLDER / "model.tflite").stat().st_size <= 300_000
    assert card.primary.label_set == "fer7"
    assert card.sha256 in (FOLDER / "CARD.md").read_text()
    assert "emotion-train fit" in card.command
    assert "emotion-quantize qat" in card.command
