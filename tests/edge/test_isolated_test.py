"""The process in which an untrusted model is tested, with models that would crash the daemon."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from edge.errors import EmotionEdgeError
from edge.model_updates import isolated_test
from edge.model_updates.isolated_test import analyse_picture, check_in_process
from edge.models.card import CARD_FILE, MODEL_FILE
from edge.models.released import model_dir
from edge.models.runtime import choose
from tests.support.model_mutants import RELEASED


def with_card(folder: Path, **changes: Any) -> Path:
    """Copy the released model with changes in its card; `output` changes the primary output, `crop` the crop."""
    folder.mkdir()
    (folder / MODEL_FILE).symlink_to(RELEASED / MODEL_FILE)
    card = json.loads((RELEASED / CARD_FILE).read_text())
    card["outputs"][0] |= changes.pop("output", {})
    for part in ("crop", "self_test", "input"):
        card[part] |= changes.pop(part, {})
    (folder / CARD_FILE).write_text(json.dumps(card | changes))
    return folder


LABELS = json.loads((RELEASED / CARD_FILE).read_text())["outputs"][0]["labels"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"output": {"labels": LABELS[:7], "priors": []}},
            "has 7 values for the output ferplus8, the file has the shape [1, 8]",
        ),
        ({"output": {"labels": [*LABELS, "calm"], "priors": []}}, "has 9 values for the output ferplus8"),
        ({"output": {"labels": [*LABELS[:7], "<b>"], "priors": []}}, "cannot be a label"),
        ({"output": {"labels": [*LABELS, LABELS[0]]}}, "a label twice"),
        ({"output": {"temperature": 0}}, "temperature"),
        ({"output": {"temperature": float("nan")}}, "temperature"),
        ({"crop": {"scale": float("nan")}}, "crop.scale"),
        ({"crop": {"scale": 1e9}}, "crop.scale"),
        ({"crop": {"scale": 300}}, "crop.scale"),
        ({"crop": {"shift": [0, float("inf")]}}, "crop.shift"),
        ({"self_test": {"tolerance": float("nan")}}, "self_test.tolerance"),
        ({"self_test": {"tolerance": 5}}, "self_test.tolerance"),
        ({"self_test": {"expected": [[0.0] * 8] * 3}}, "fails its self-test"),
        ({"input": {"height": 64}}, "input of (64, 48, 1) int8, the file of (48, 48, 1) int8"),
        ({"input": {"height": 10**6}}, "input.height"),
        ({"input": {"scale": 0}}, "input.scale"),
        ({"sha256": "0" * 64}, "its SHA-256 is"),
        ({"version": "1\u001b[2J"}, "version: has characters that cannot be printed"),
    ],
)
def test_a_card_that_would_end_the_daemon_is_refused_by_name(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    from edge.model_updates.self_test import run_self_test

    folder = with_card(tmp_path / "model", **changes)
    with pytest.raises(EmotionEdgeError) as raised:
        run_self_test(folder, choose())
    assert told in str(raised.value)


@pytest.mark.parametrize("name", [RELEASED.name, "yunet-320"])
def test_a_released_model_passes_in_its_own_process_and_analyses_a_picture(name: str) -> None:
    assert check_in_process(model_dir(name), choose())
    assert analyse_picture(model_dir(name), choose()).faces


def test_a_problem_in_the_process_is_one_line(tmp_path: Path) -> None:
    folder = with_card(tmp_path / "model", crop={"scale": 1e9})
    with pytest.raises(EmotionEdgeError, match=r"crop\.scale: ") as raised:
        check_in_process(folder, choose())
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("kill -SEGV $$", "does not run: it ends its process with signal 11"),
        ("exit 3", "does not run: it ends its process"),
        ("echo nonsense", "does not run"),
        ("sleep 60", "does not end within 0.5 s"),
    ],
)
def test_a_model_that_crashes_or_hangs_costs_its_process_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, told: str
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nexec 2>&1; {script}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(isolated_test, "TIMEOUT_S", 0.5)
    with pytest.raises(EmotionEdgeError) as raised:
        check_in_process(RELEASED, choose())
    assert told in str(raised.value)
