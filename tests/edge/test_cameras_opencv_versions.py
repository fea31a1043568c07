"""Runs the camera tests that depend on OpenCV with the newest OpenCV 4, besides the installed one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, one_at_a_time

NEWEST = "opencv-python-headless==4.14.*"


def test_with_the_newest_opencv_4() -> None:
    uv = Path(sys.executable).with_name("uv")
    if not uv.is_file() and not shutil.which("uv"):
        pytest.skip("uv is not installed")
    folder = ROOT / ".cache" / "opencv-4.14"
    with one_at_a_time():
        if not (folder / "cv2").is_dir():
            command = [uv if uv.is_file() else "uv", "pip", "install", "-q", "--python", sys.executable, NEWEST]
            if subprocess.run([*command, "--target", folder], check=False, capture_output=True).returncode:
                pytest.skip(f"{NEWEST} cannot be had here")
    tests = [f"tests/edge/test_cameras_{name}.py" for name in ("video_file", "images", "mounting", "files")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    version = [sys.executable, "-c", "import cv2; print(cv2.__version__)"]
    used = subprocess.run(
        version, env=os.environ | {"PYTHONPATH": str(folder)}, capture_output=True, text=True, check=True
    )
    assert used.stdout.startswith("4.14")
