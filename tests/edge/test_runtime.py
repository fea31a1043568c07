"""The TFLite interpreter of every installed package, on the released model files."""

from pathlib import Path

import numpy as np
import pytest

from edge.config import Settings
from edge.errors import EmotionEdgeError
from edge.models.card import MODEL_FILE, EmotionCard, read_card
from edge.models.released import model_dir
from edge.models.runtime import Network, RuntimeChoice, choose, installed

FOLDER = model_dir(Settings().emotion.model)
CHOICES: list[RuntimeChoice] = [name for name in ("ai-edge-litert", "tflite-runtime") if name in installed()]


def test_auto_prefers_ai_edge_litert() -> None:
    assert choose("auto").name == next(iter(installed()))
    if "ai-edge-litert" in installed():
        assert choose("auto").name == "ai-edge-litert"


@pytest.mark.parametrize("choice", CHOICES)
def test_a_forced_interpreter_is_the_one_that_runs(choice: RuntimeChoice) -> None:
    runtime = choose(choice)
    assert runtime.name == choice
    assert str(runtime) == f"{choice} {installed()[choice]}"


@pytest.mark.parametrize("choice", CHOICES)
def test_outputs_come_by_name_and_a_batch_is_its_rows(choice: RuntimeChoice) -> None:
    """A face gets the same logits alone and in batches of changing size."""
    network = Network(FOLDER / MODEL_FILE, choose(choice))
    outputs = read_card(EmotionCard, FOLDER).outputs
    faces = np.random.default_rng(0).integers(-128, 128, (5, 48, 48, 1), np.int8)
    alone = [network(faces[n : n + 1]) for n in range(5)]
    for count in (5, 2, 1, 3):
        together = network(faces[:count])
        for output in outputs:
            width = 2 if output.kind == "valence_arousal" else len(output.labels)
            assert together[output.name].shape == (count, width)
            assert together[output.name].dtype == np.float32
            one_by_one = np.concatenate([values[output.name] for values in alone[:count]])
            assert np.abs(together[output.name] - one_by_one).max() <= network.outputs[output.name].scale


@pytest.mark.skipif(len(CHOICES) < 2, reason="only one interpreter is installed here")
def test_both_interpreters_say_the_same() -> None:
    faces = np.random.default_rng(1).integers(-128, 128, (16, 48, 48, 1), np.int8)
    one, other = (Network(FOLDER / MODEL_FILE, choose(choice))(faces) for choice in CHOICES)
    for name, values in one.items():
        assert np.abs(values - other[name]).max() < 0.2


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    broken = tmp_path / MODEL_FILE
    broken.write_bytes(b"no flatbuffer at all" * 10)
    with pytest.raises(EmotionEdgeError, match=r"model\.tflite: .* cannot load it"):
        Network(broken, choose())
    with pytest.raises(EmotionEdgeError, match=r"absent\.tflite: not there"):
        Network(tmp_path / "absent.tflite", choose())
