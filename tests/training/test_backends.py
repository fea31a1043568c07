"""Training on JAX and PyTorch with the settings of TensorFlow: a killed run resumes, and the network loads anywhere."""

import csv
import importlib.util
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.support.fer2013_files import TINY, write_files

pytest.importorskip("keras", reason="the training extra is not installed")

import keras

from training import throughput

pytestmark = pytest.mark.timeout(900)
EPOCHS = 4
STEPS = EPOCHS * 5


@dataclass(frozen=True, slots=True)
class Ran:
    """Folder of the runs `killed` and `whole`, and the output of the process that finished both."""

    backend: str
    folder: Path
    said: str


@pytest.fixture(scope="module", params=["jax", "torch"])
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed (the extra of that name)")
    folder = tmp_path_factory.mktemp(request.param)
    for name in ("killed", "whole"):
        write_files(folder / name / "data")
        (folder / name / "tiny.yaml").write_text(yaml.safe_dump({**TINY, "epochs": EPOCHS}))
    # One thread: with more, PyTorch's threads wait for each other where the processor has other work.
    told = {"KERAS_BACKEND": request.param, "OMP_NUM_THREADS": "1"}
    # JAX mostly compiles in this test: with less optimisation, and a cache for the second process.
    told |= {"JAX_LOG_COMPILES": "1", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    told |= {"JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    environment = {**os.environ, **told}
    command = [sys.executable, "-u", "-m", "training.cli", "fit", "tiny.yaml"]
    with subprocess.Popen(
        command, cwd=folder / "killed", env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        assert any(line.startswith("epoch 1/") for line in process.stdout)
        process.kill()
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.backend_run", str(folder)], env=environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Ran(request.param, folder, done.stdout + done.stderr)


def test_it_learns_and_says_so(ran: Ran) -> None:
    with (ran.folder / "whole/runs/tiny/history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == EPOCHS
    assert float(rows[-1]["loss"]) < 0.7 * float(rows[0]["loss"])
    assert any((ran.folder / "whole/runs/tiny/tensorboard").iterdir())


def test_a_killed_run_ends_as_one_that_was_not(ran: Ran) -> None:
    assert "resuming after epoch" in ran.said
    states = [ran.folder / name / "runs/tiny/state.npz" for name in ("killed", "whole")]
    with np.load(states[0]) as killed, np.load(states[1]) as whole:
        assert int(killed["epoch"]) == EPOCHS
        # The optimizer must have counted every step, and the averaged weights must be close to the network's.
        assert STEPS in [whole[name].tolist() for name in whole.files if not whole[name].ndim and name != "epoch"]
        assert np.abs(whole["network/0"] - whole["averaged/0"]).max() > 1e-4
        for name in whole.files:
            np.testing.assert_allclose(killed[name], whole[name], atol=1e-5, err_msg=name)


def test_its_network_says_the_same_on_the_backend_here(ran: Ran) -> None:
    network = keras.models.load_model(ran.folder / "whole/runs/tiny/network.keras")
    with np.load(ran.folder / "outputs.npz") as there:
        here = network.predict(there["images"], verbose=0)
        for head, values in here.items():
            np.testing.assert_allclose(np.asarray(values), there[head], atol=1e-4, err_msg=head)


def test_a_step_is_compiled_once_a_run(ran: Ran) -> None:
    if ran.backend != "jax":
        pytest.skip("JAX alone compiles the step")
    steps = re.findall(r"^Finished XLA compilation of jit\(train_step\)", ran.said, re.MULTILINE)
    assert len(steps) == 2


def test_the_fast_batch_normalization_is_keras_own(ran: Ran) -> None:
    if ran.backend != "torch":
        pytest.skip("PyTorch's alone is replaced")
    with np.load(ran.folder / "torch.npz") as found:
        for key in ("out", "x", "gamma", "beta", "mean"):
            np.testing.assert_allclose(found[f"ours/{key}"], found[f"keras/{key}"], rtol=1e-4, atol=1e-4, err_msg=key)
        # PyTorch takes the variance of a sample: n / (n - 1) of Keras's, of 16 images of 5x7.
        count = 16 * 5 * 7
        kept = 0.9 + (found["keras/variance"] - 0.9) * count / (count - 1)
        np.testing.assert_allclose(found["ours/variance"], kept, rtol=1e-5)


def test_pytorch_keeps_its_memory(ran: Ran) -> None:
    if ran.backend != "torch":
        pytest.skip("PyTorch's memory alone is kept")
    with np.load(ran.folder / "torch.npz") as found:
        assert float(found["pages"]) < 2


def test_the_speed_of_a_backend_is_a_line_of_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (128, 48, 48, 1), np.uint8)
    cells = throughput.row("float32", images).strip("| ").split(" | ")
    assert cells[:2] == [keras.backend.backend(), "float32"]
    assert len(cells) == throughput.HEADER.splitlines()[0].count("|") - 1
    assert min(float(cell) for cell in cells[2:]) > 0
    assert throughput.main(["--images", "100"]) == 2
    assert "--images 100: must be at least 128" in capsys.readouterr().err
