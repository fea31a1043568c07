"""On emulated aarch64, where qemu and the arm64 Python are (`python -m quantize.arm`): the same answers as here."""

from pathlib import Path

import numpy as np
import pytest

from edge.card import MODEL_FILE
from edge.errors import EmotionEdgeError
from edge.runtime import installed
from quantize.arm import emulated, missing
from quantize.instructions import instructions
from quantize.interpreters import run_in
from tests.conftest import ROOT

MODEL = ROOT / "models" / "emotion-small" / MODEL_FILE
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


@needs_emulation
def test_dot_products_save_more_than_half_of_the_instructions() -> None:
    without, with_them = (instructions(MODEL, cpu) for cpu in ("cortex-a72", "cortex-a76"))
    assert 1e6 < with_them < 0.6 * without
