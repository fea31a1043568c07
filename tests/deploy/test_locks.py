"""The locked dependencies fit pyproject.toml and each other, for every board and workstation."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

UV = Path(sys.executable).with_name("uv")
BOARD = ROOT / "requirements" / "board.txt"


def uv(*words: str | Path) -> str:
    """Run uv; returns its output, and skips the test if the package registry cannot be reached."""
    done = subprocess.run([UV, "pip", *words], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode and re.search(r"error sending request|dns error|Could not connect", done.stderr):
        pytest.skip("the package registry cannot be reached")
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("platform", "python", "expected"),
    [
        ("x86_64", "3.11", {"numpy": "1.26", "tflite-runtime": "2.14", "opencv-python": "4.11"}),
        ("x86_64", "3.13", {"numpy": "2.", "tflite-runtime": None, "opencv-python": "4."}),
        ("aarch64", "3.11", {"numpy": "1.26", "tflite-runtime": "2.14", "opencv-python": "4.11"}),
        ("aarch64", "3.13", {"numpy": "2.", "tflite-runtime": None, "opencv-python": "4."}),
    ],
)
def test_the_lock_installs_on(platform: str, python: str, expected: dict[str, str | None], tmp_path: Path) -> None:
    words: list[str | Path] = [
        "install",
        "--no-config",
        "--dry-run",
        "--target",
        tmp_path,
        "--only-binary",
        ":all:",
        "--require-hashes",
        "-r",
        BOARD,
    ]
    said = uv(*words, "--python-platform", f"{platform}-manylinux_2_34", "--python-version", python)
    found = dict(re.findall(r"^ \+ ([\w-]+)==(\S+)$", said, re.MULTILINE))
    assert found["ai-edge-litert"].startswith("2.")
    for name, version in expected.items():
        if version is None:
            assert name not in found
        else:
            assert found[name].startswith(version)
    assert "tensorflow" not in found


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("board", []),
        ("dev", ["--extra", "training", "--extra", "dev", "--extra", "deploy", "-c", BOARD]),
        ("deploy", ["--extra", "deploy", "-c", ROOT / "requirements" / "dev.txt"]),
    ],
)
def test_the_lock_is_what_pyproject_asks_for(name: str, words: list[str | Path], tmp_path: Path) -> None:
    lock = Path(shutil.copy(ROOT / "requirements" / f"{name}.txt", tmp_path))
    before = lock.read_text()
    shape = [
        "--universal",
        "--python-version",
        "3.11",
        "--generate-hashes",
        "--no-annotate",
        "--no-header",
        "--no-emit-index-url",
    ]
    uv("compile", "-q", *shape, *words, "pyproject.toml", "-o", lock)
    assert lock.read_text() == before, "make lock"


def test_the_lock_names_no_place() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        assert "://" not in lock.read_text()
