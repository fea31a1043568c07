"""Fixtures for all tests."""

import contextlib
import fcntl
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.config import WebSettings
from edge.errors import EmotionEdgeError
from edge.outputs.web.server import WebViewer
from edge.reading import Image
from edge.system.process import end_process
from tests.support.daemon import free_port
from training.datasets.dataset import Dataset

# tflite-runtime 2.14 cannot load a model ("vector::reserve") in a process that imported TensorFlow before it.
with contextlib.suppress(Exception):
    importlib.import_module("tflite_runtime.interpreter")

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"
_STATUS = pytest.StashKey[int]()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[_STATUS] = int(exitstatus)


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the process at once, as a camera left hanging by a test would abort it after the results."""
    end_process(config.stash.get(_STATUS, 0))


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Context manager: a lock between all test processes, for what is created once in .cache."""
    (ROOT / ".cache").mkdir(exist_ok=True)
    with (ROOT / ".cache" / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def fer2013_dir() -> Path:
    """Folder with fer2013.csv and fer2013new.csv, unpacked once into .cache; skips the test if the data is absent."""
    unpack = SHARED_DATA / "unpack_fer2013.py"
    if not unpack.is_file():
        pytest.skip(f"FER-2013 is not here ({unpack.name} not found beside the project, in ../shared/data)")
    out = ROOT / ".cache" / "fer2013"
    with one_at_a_time():
        subprocess.run([sys.executable, str(unpack), str(out)], check=True)
    return out


@pytest.fixture(scope="session")
def fer2013(fer2013_dir: Path) -> Dataset:
    """All of FER-2013 with FER+'s votes; reading it takes ten seconds, once per worker."""
    from training.datasets.fer2013 import read_fer2013

    return read_fer2013(fer2013_dir)


@pytest.fixture(scope="session")
def onnx() -> Path:
    """Path of YuNet's ONNX file, fetched once into .cache; skips the test if it is not available."""
    from quantize.detector import ONNX_CACHE, fetch_onnx

    try:
        with one_at_a_time():
            return fetch_onnx(ONNX_CACHE)
    except EmotionEdgeError as error:
        pytest.skip(f"YuNet's ONNX file cannot be had: {error}")


@pytest.fixture
def viewer() -> Iterator[WebViewer]:
    served = WebViewer(
        WebSettings(port=free_port()), "kitchen-pi", ("emotion/kitchen-pi/state", "emotion/kitchen-pi/#")
    )
    yield served
    served.close()


@pytest.fixture(scope="session")
def astronaut() -> Image:
    """NASA's portrait of Eileen Collins, BGR uint8 [512, 512, 3]; tests may not write to it."""
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    return np.asarray(cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR), np.uint8)
