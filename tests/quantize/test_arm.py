"""Emulated aarch64 (needs `python -m quantize.arm`): models give the same outputs as on this machine."""

import json
from pathlib import Path

import numpy as np
import pytest

from edge.errors import EmotionEdgeError
from edge.models.card import MODEL_FILE
from edge.models.runtime import installed
from quantize.arm import CPUS, emulated, missing
from quantize.instructions import counts, instructions
from quantize.interpreters import run_in
from tests.conftest import ROOT

MODEL = ROOT / "models" / "emotion-small" / MODEL_FILE
EMOTION = sorted(path.parent.name for path in (ROOT / "models").glob("emotion-*/card.json"))
needs_emulation = pytest.mark.skipif(bool(missing()), reason=f"emulated aarch64: {missing()}")


def test_what_the_emulation_lacks_is_said(tmp_path: Path) -> None:
    assert missing(tmp_path)
    with pytest.raises(EmotionEdgeError, match="emulated aarch64"):
        emulated("ai-edge-litert", "cortex-a76", folder=tmp_path)


@needs_emulation
def test_the_emulated_interpreter_says_the_same() -> None:
    faces = np.random.default_rng(0).integers(0, 256, (8, 48, 48), np.uint8)
    here, there = (run_in("ai-edge-litert", MODEL, faces, cpu) for cpu in ("", "cortex-a76"))
    assert "ai-edge-litert" in installed()
    for head, values in here.outputs.items():
        assert np.abs(there.outputs[head] - values).max() <= 2 * here.tensors[head]["scale"]


def counted(name: str) -> dict[str, dict[str, float]]:
    """Read instructions per face from a model's card, by core, for the int8 and the float file."""
    card = json.loads((ROOT / "models" / name / "card.json").read_text())
    found: dict[str, dict[str, float]] = card["verification"]["instructions"]
    return found


@pytest.mark.parametrize("name", EMOTION)
def test_int8_costs_half_of_float_s_instructions_with_dot_products_and_never_more(name: str) -> None:
    counts = counted(name)
    assert set(counts) == set(CPUS)
    assert counts["cortex-a76"]["file"] <= counts["cortex-a76"]["float"] / 2
    assert counts["cortex-a72"]["file"] <= counts["cortex-a72"]["float"]


@needs_emulation
def test_dot_products_save_more_than_half_of_the_instructions_each_time_and_as_the_card_says() -> None:
    found = {cpu: instructions(MODEL, cpu) for cpu in CPUS}
    assert 1e6 < found["cortex-a76"] < 0.5 * found["cortex-a72"]
    for cpu, count in found.items():
        assert count == pytest.approx(counted("emotion-small")[cpu]["file"], rel=0.01)
    assert instructions(MODEL, "cortex-a76") == pytest.approx(found["cortex-a76"], rel=1e-3)


@needs_emulation
def test_marks_part_the_count_of_a_program() -> None:
    loop = "import os; os.getppid(); sum(range({})); os.getppid()"
    short, long = (counts(["-c", loop.format(n)], "cortex-a72", "ai-edge-litert") for n in (1000, 100_000))
    for begin, end, whole in (short, long):
        assert 0 < begin < end < whole
    assert long[1] - long[0] > 50 * (short[1] - short[0])
