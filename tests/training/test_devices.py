"""Training on JAX with all devices sharing each batch: two virtual devices give the result of one."""

import csv
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.fer2013_files import write_files

pytest.importorskip("keras", reason="the training extra is not installed")


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed (the extra of that name)")
def test_two_devices_come_to_what_one_does(tmp_path: Path) -> None:
    losses = {}
    for count in (1, 2):
        folder = tmp_path / str(count)
        write_files(folder / "data")
        flags = {"KERAS_BACKEND": "jax", "XLA_FLAGS": f"--xla_force_host_platform_device_count={count}"}
        flags |= {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "tests.support.two_devices", str(folder)], env={**os.environ, **flags},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert f"jax: {count} devices" in done.stdout
        with (folder / "run" / "history.csv").open(newline="") as file:
            losses[count] = [float(row["loss"]) for row in csv.DictReader(file)]
    assert losses[2][0] == pytest.approx(losses[1][0], rel=0.05)
    assert losses[2][1] < losses[2][0]
