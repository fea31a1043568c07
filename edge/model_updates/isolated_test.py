"""Tests a model from outside in a process with limits: it cannot crash, hang or fill the memory of the installer."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Final, cast

import numpy as np

from edge.config import Settings
from edge.emotion.local import LocalClassifier
from edge.emotion.scores import affect_output
from edge.errors import EmotionEdgeError, printable
from edge.faces.detector import Detector
from edge.faces.yunet import YuNet
from edge.model_updates.self_test import MIN_SCORE, MOUTHS, framed_face, run_self_test
from edge.models.card import EmotionCard, read_any_card
from edge.models.released import model_dir
from edge.models.runtime import Runtime, RuntimeChoice, choose
from edge.outputs.messages import encode
from edge.pipeline import Pipeline
from edge.reading import Box, Detection, Frame, Image, Reading

MEGABYTES: Final = 600
"""Address space that loading and running a model may use, besides that of the libraries."""

CPU_S: Final = 60
TIMEOUT_S: Final = 180.0
"""Seconds of elapsed time for the test; a busy Pi Zero takes 15 s to import the libraries."""

_BOXES: Final = (Box(256, 176, 128, 128), Box(-40, -30, 90, 90), Box(600, 20, 12, 12), Box(100, 300, 60, 75))
"""Boxes in a frame of 640x480: a face in the middle, one past the border, a tiny one and an ordinary one."""


def check_in_process(folder: Path, runtime: Runtime) -> bool:
    """Run a model's self-test, and analyse a picture with it, in a process of its own.

    Args:
        folder: the model.
        runtime: the interpreter; the child process loads the same one, without an accelerator.

    Returns:
        Whether the card has a self-test.

    Raises:
        EmotionEdgeError: the model is not intact, does not run, fails its self-test, or passes a limit.
    """
    hidden = ("EMOTION_EDGE_", "NOTIFY_", "WATCHDOG_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-m", "edge.model_updates.isolated_test", str(folder.resolve()), runtime.name]
    try:
        done = subprocess.run(
            command,
            env=environment | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise EmotionEdgeError(f"model {folder}: its test does not end within {TIMEOUT_S:g} s") from None
    return verdict(folder, done.stdout, done.returncode)


def verdict(folder: Path, output: bytes, status: int) -> bool:
    """Evaluate how the test process ended and what it printed.

    Args:
        folder: the model.
        output: a line of JSON from `answer_for`.
        status: exit status of the process as in `subprocess`, negative for a signal.

    Returns:
        Whether the card has a self-test.

    Raises:
        EmotionEdgeError: the model does not run or fails its self-test, or the process ended without an answer.
    """
    try:
        answer = json.loads(output.splitlines()[-1])
        problem, tested = answer["problem"], bool(answer["tested"])
    except (IndexError, ValueError, KeyError, TypeError):
        how = f"ends its process with signal {-status}" if status < 0 else "ends its process"
        raise EmotionEdgeError(f"model {folder}: does not run: it {how}") from None
    if problem:
        raise EmotionEdgeError(printable(str(problem))[:1000])
    return tested


def analyse_picture(folder: Path, runtime: Runtime) -> Reading:
    """Analyse a drawn picture with a model as the daemon does it, and return the Reading.

    An emotion model classifies faces at the places in _BOXES. The faces that a face detector finds are classified by
    the released emotion model.

    Raises:
        EmotionEdgeError: a value in the Reading is not finite.
    """
    card = read_any_card(folder)
    detector: Detector
    if isinstance(card, EmotionCard):
        detector, classifier, (height, width) = _FixedDetector(), LocalClassifier(folder, runtime), (480, 640)
    else:
        detector, height, width = YuNet(folder, MIN_SCORE, runtime), card.input.height, card.input.width
        classifier = LocalClassifier(model_dir(Settings().emotion.model), runtime)
    pipeline = Pipeline(detector, classifier, Settings(), confirm=1, still=True)
    image = np.repeat(framed_face(height, width, MOUTHS[0])[..., None], 3, axis=2)
    reading = pipeline.analyse(Frame(image, 0.0, 0.0, 0))
    encode(reading.to_dict())
    for face in reading.faces:
        box = face.detection.box
        values = [face.confidence, *face.scores.values(), *(box.x, box.y, box.width)]
        unknown = face.valence is None and affect_output(classifier.card) is not None
        if unknown or not np.isfinite(values).all():
            raise EmotionEdgeError(f"model {folder}: its outputs for a picture are not finite numbers")
    return reading


class _FixedDetector:
    """A Detector that returns the faces in _BOXES for any image."""

    size = (640, 480)

    def detect(self, image: Image) -> list[Detection]:  # noqa: ARG002 - a Detector
        return [Detection(box, 0.9) for box in _BOXES]


def _limit() -> None:
    """Limit this process to MEGABYTES more than it has, CPU_S seconds of processor time, and no writing of files."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    space = pages * resource.getpagesize() + MEGABYTES * 1_000_000
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def answer_for(folder: Path, name: RuntimeChoice) -> str:
    """Limit this process, test a model in it, and return a line of JSON for `verdict`. name: of the interpreter."""
    problem, tested = "", False
    try:
        runtime = choose(name)
        _limit()
        tested = run_self_test(folder, runtime)
        analyse_picture(folder, runtime)
    except MemoryError:
        problem = f"model {folder}: does not run: it takes more than {MEGABYTES} MB"
    except EmotionEdgeError as error:
        problem = str(error)
    except Exception as error:
        # A damaged or hostile file may raise any exception.
        problem = f"model {folder}: does not run: {type(error).__name__}: {error}"
    return json.dumps({"problem": problem, "tested": tested})


if __name__ == "__main__":
    print(answer_for(Path(sys.argv[1]), cast(RuntimeChoice, sys.argv[2])), flush=True)
