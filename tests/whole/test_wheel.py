"""`pip install .`: what it installs, in an environment with the other packages already installed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge.models.card import CARD_FILE
from tests.conftest import ROOT

PROGRAM = """
import sys, cv2
from edge import Analyser
from edge.models.released import installed_models
reading = Analyser(model="emotion-nano").read(cv2.imread(sys.argv[1]))
print(*[face.emotion for face in reading.faces], *sorted(installed_models()))
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment with the project installed from its wheel, and this environment's packages."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    python = folder / "venv" / "bin" / "python"
    site = next((folder / "venv" / "lib").glob("python*/site-packages"))
    (site / "others.pth").write_text(f"{Path(np.__file__).parents[1]}\n")
    # Built from a copy of the tracked files, as a build leaves folders in its source.
    source = folder / "source"
    source.mkdir()
    listed = ["git", "ls-files", "-z", "--", "edge", "models", "training", "quantize", "deploy", "*.toml", "LICENSE"]
    files = subprocess.run([*listed, "README.md"], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["xargs", "-0", "cp", "--parents", "-t", str(source)], cwd=ROOT, input=files, check=True)
    uv = Path(sys.executable).parent / "uv"
    words = [str(uv), "pip", "install", "--no-config", "--quiet", "--python", str(python), "--no-deps", str(source)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if "setuptools" in done.stderr and done.returncode:
        pytest.skip(f"the build backend cannot be had: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return python


def test_the_wheel_finds_faces_and_brings_every_model(environment: Path, tmp_path: Path) -> None:
    portrait = ROOT / "training" / "synthetic" / "portraits" / "grace_hopper.jpg"
    done = subprocess.run(
        [str(environment), "-c", PROGRAM, str(portrait)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    emotion, *models = done.stdout.split()
    assert emotion
    assert models == sorted(card.parent.name for card in (ROOT / "models").glob(f"*/{CARD_FILE}"))
    assert (environment.parent / "emotion-edge").is_file()
