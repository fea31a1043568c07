"""Distributed training by several workers, as processes on the loopback."""

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import yaml

from edge.errors import EmotionEdgeError
from tests.support.daemon import free_port
from tests.support.fer2013_files import TINY, write_files

pytest.importorskip("tensorflow", reason="the training extra is not installed")

from training.backend import Workers, workers

pytestmark = pytest.mark.timeout(900)

STILL = dict.fromkeys(
    ("shift", "scale", "rotate", "contrast", "brightness", "gamma", "side_light", "blur", "noise", "erase"), 0.0
)


def start(folder: Path, cluster: list[str], index: int) -> subprocess.Popen[str]:
    """Start emotion-train as a worker of a cluster; an empty `cluster`: alone."""
    task = {"cluster": {"worker": cluster}, "task": {"type": "worker", "index": index}}
    told = {"TF_CONFIG": json.dumps(task)} if cluster else {}
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "training.cli", "fit", "tiny.yaml"], cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "KERAS_BACKEND": "tensorflow", **told},
    )  # fmt: skip


def prepare(folder: Path) -> Path:
    """Write data and settings of a run whose only randomness is the seed of weights and order.

    Faces are their own mirror images, and there is no other augmentation.
    """
    write_files(folder / "data", mirrored=True)
    (folder / "tiny.yaml").write_text(yaml.safe_dump({**TINY, "augment": STILL, "epochs": 3, "mixup": 0.2}))
    return folder


@pytest.mark.slow
def test_two_workers_of_which_one_was_killed_end_like_one_with_the_whole_batch(tmp_path: Path) -> None:
    alone, chief, other = (prepare(tmp_path / name) for name in ("alone", "chief", "other"))
    with ExitStack() as processes:

        def pair() -> list[subprocess.Popen[str]]:
            cluster = [f"127.0.0.1:{free_port()}" for _ in range(2)]
            return [
                processes.enter_context(start(folder, cluster, index)) for index, folder in enumerate((chief, other))
            ]

        single = processes.enter_context(start(alone, [], 0))
        first, killed = pair()
        assert first.stdout is not None
        assert any(line.startswith("epoch 1/3") for line in first.stdout)
        killed.kill()
        assert "a worker has stopped or cannot be reached" in first.stdout.read()
        assert first.wait() == 2
        again = pair()
        said = [process.communicate()[0] for process in (single, *again)]
        assert [process.returncode for process in (single, *again)] == [0, 0, 0], said
    assert "resuming after epoch" in said[1]
    assert "epoch 1/3" not in said[1]
    assert not (other / "runs").exists()
    with np.load(alone / "runs/tiny/state.npz") as one, np.load(chief / "runs/tiny/state.npz") as two:
        assert one["epoch"] == two["epoch"] == 3
        # This includes the optimizer's averages of gradients, which would be half as large for one worker's share.
        for name in one.files:
            off = np.linalg.norm(one[name] - two[name]) / max(1e-9, float(np.linalg.norm(one[name])))
            assert off < 0.03, f"{name}: {off}"
    rows = [
        [line.split(",")[:5] for line in (folder / "runs/tiny/history.csv").read_text().splitlines()[1:]]
        for folder in (alone, chief)
    ]
    np.testing.assert_allclose(np.array(rows[0], float), np.array(rows[1], float), rtol=2e-3)


def test_a_batch_must_divide_among_the_workers() -> None:
    rows = np.arange(12)
    assert sorted([*rows[Workers(0, 2).share(12)], *rows[Workers(1, 2).share(12)]]) == rows.tolist()
    with pytest.raises(EmotionEdgeError, match="batches of 27: do not divide among 2 workers"):
        Workers(0, 2).share(27)


@pytest.mark.parametrize("text", ["{", "[]", '{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "ps"}}'])
def test_a_cluster_that_is_not_understood_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    workers.cache_clear()
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(EmotionEdgeError, match="TF_CONFIG: must name a cluster of workers"):
        workers()
    monkeypatch.delenv("TF_CONFIG")
    assert workers().count == 1
