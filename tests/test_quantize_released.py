"""The released emotion models against their own cards, with nothing but the cards to go by."""

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
from training.config import read_config
from training.datasets.dataset import Dataset
from training.datasets.fer2013 import read_fer2013

MODELS = sorted(
    path.parent.name
    for path in (ROOT / "models").glob("*/card.json")
    if any(output["kind"] == "emotion" for output in json.loads(path.read_text()).get("outputs", []))
    and (path.parent / "model.tflite").exists()
)
KILOBYTES = {"emotion-nano": 150, "emotion-small": 400, "emotion-large": 1200}
FACES = 1000


@pytest.fixture(scope="module")
def faces(fer2013_dir: Path) -> Dataset:
    """Faces of PrivateTest, drawn by chance."""
    part = read_fer2013(fer2013_dir).part("PrivateTest")
    return part.take(np.random.default_rng(11).permutation(len(part))[:FACES])


def run_by_card(runtime: str, folder: Path, images: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
    """Real values of each output, from the words of card.json alone."""
    card = json.loads((folder / "card.json").read_text())
    spec = card["input"]
    low, high = spec["value_range"]
    real = low + images[..., None] / 255 * (high - low)
    limits = np.iinfo(spec["dtype"])
    stored = np.clip(np.rint(real / spec["scale"]) + spec["zero_point"], limits.min, limits.max).astype(spec["dtype"])
    runner = choose(runtime).interpreter(model_path=str(folder / "model.tflite")).get_signature_runner()  # type: ignore[arg-type]
    assert stored.shape[1:] == (spec["height"], spec["width"], spec["channels"])
    batches = [runner(**{spec["name"]: stored[start : start + 50]}) for start in range(0, len(stored), 50)]
    details = runner.get_output_details()
    outputs = {}
    for output in card["outputs"]:
        scale, zero_point = details[output["name"]]["quantization"]
        values = np.concatenate([batch[output["name"]] for batch in batches]).astype(np.float32)
        outputs[output["name"]] = (values - zero_point) * scale
    return outputs


def promised(card: EmotionCard, runtime: str, output: str) -> float:
    """The PrivateTest accuracy that the card gives for an int8 output in an interpreter."""
    return float(
        next(
            metric["accuracy"]
            for metric in card.metrics
            if metric["runtime"].startswith(runtime)
            and metric["precision"] == "int8"
            and metric["split"] == "PrivateTest"
            and metric["output"] == output
        )
    )


def within_sampling_error(found: float, expected: float, rows: int) -> bool:
    """Four standard deviations of a share counted on that many rows."""
    return abs(found - expected) <= 4 * math.sqrt(expected * (1 - expected) / rows)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("runtime", list(installed()))
def test_the_card_alone_gives_the_accuracy_it_promises(runtime: str, name: str, faces: Dataset) -> None:
    folder = ROOT / "models" / name
    card = read_card(EmotionCard, folder)
    outputs = run_by_card(runtime, folder, faces.pixels)
    for head in ("fer7", "ferplus8"):
        judged = faces.labels[head].judged
        counts = judged >= 0
        found = float(np.mean(outputs[head].argmax(axis=1)[counts] == judged[counts]))
        assert within_sampling_error(found, promised(card, runtime, head), int(counts.sum()))
    for output in card.outputs:
        if output.kind == "valence_arousal":
            valence = np.clip(outputs[output.name][:, 0], -1, 1)
            assert faces.affect is not None
            known = ~np.isnan(faces.affect[:, 0])
            assert np.corrcoef(valence[known], faces.affect[known, 0])[0, 1] > 0.5


@pytest.mark.parametrize("name", MODELS)
def test_both_interpreters_say_nearly_the_same(name: str, faces: Dataset) -> None:
    if len(installed()) < 2:
        pytest.skip("only one interpreter is installed")
    folder = ROOT / "models" / name
    primary = read_card(EmotionCard, folder).primary.name
    first, second = (run_by_card(runtime, folder, faces.pixels)[primary].argmax(axis=1) for runtime in installed())
    assert float(np.mean(first == second)) > 0.97


@pytest.mark.parametrize("name", MODELS)
def test_the_file_is_the_card_s_and_as_small_as_promised(name: str) -> None:
    folder = ROOT / "models" / name
    card: Any = read_card(EmotionCard, folder)
    assert card.name == name
    if name in KILOBYTES:
        assert (folder / "model.tflite").stat().st_size <= 1000 * KILOBYTES[name]
    text = (folder / "CARD.md").read_text()
    assert card.sha256 in text
    assert f"file: {(folder / 'model.tflite').stat().st_size:,} bytes" in text
    *fits, quantized = card.command.splitlines()
    assert quantized.startswith(f"emotion-quantize qat runs/{name} ")
    # Each run of the chain, from the first: its settings are here, and say whose weights it went on from.
    earlier = "none"
    for fit in fits:
        config = read_config(ROOT / fit.removeprefix("emotion-train fit "))
        assert config.options.get("weights", "none") == earlier
        earlier = f"runs/{config.name}/network.keras"
    assert earlier == f"runs/{name}/network.keras"
