"""Runs a model file in an interpreter on an emulated Arm processor (qemu, aarch64), where no board is at hand.

`python -m quantize.arm` prepares this once, in `.cache/arm64`: it unpacks an arm64 Python of Debian 12 (about 80 MB)
and the aarch64 wheels of a Raspberry Pi, and installs nothing. It needs apt, dpkg-deb, uv and the emulator (Debian's
package qemu-user).
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge import __version__
from edge.errors import EmotionEdgeError

PROJECT: Final = Path(__file__).resolve().parent.parent
CACHE: Final = PROJECT / ".cache" / "arm64"
EMULATOR: Final = "qemu-aarch64"
CPUS: Final[Mapping[str, str]] = {"cortex-a72": "Pi 4, no dot product", "cortex-a76": "Pi 5, dot product"}
"""Emulated cores, with the boards that have them; both run the same instructions, at different cost."""
# Each interpreter has a folder of its own, as they need different versions: ai-edge-litert 2.3.0 crashes under
# qemu-user 7.2, and tflite-runtime with NumPy 2.
WHEELS: Final[Mapping[str, tuple[str, ...]]] = {
    "ai-edge-litert": ("ai-edge-litert==2.1.6", "numpy==1.26.4"),
    "tflite-runtime": ("tflite-runtime==2.14.0", "numpy==1.26.4"),
    # All packages of the pipeline; OpenCV is the headless one, as the libraries of its windows are not unpacked.
    "pipeline": (
        "ai-edge-litert==2.1.6",
        "numpy==1.26.4",
        "opencv-python-headless==4.11.0.86",
        "pydantic",
        "PyYAML",
    ),
}
PLATFORM: Final = "aarch64-manylinux_2_34"
PACKAGES: Final = ("python3.11", "libstdc++6")
SOURCE: Final = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {mirror} bookworm main\n"
MIRROR: Final = "http://deb.debian.org/debian"
APT: Final = """\
Dir::State "{folder}/state";
Dir::State::status "{folder}/state/status";
Dir::Cache "{folder}/cache";
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "-";
APT::Architecture "arm64";
APT::Architectures {{ "arm64"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Debug::NoLocking "true";
"""


@dataclass(frozen=True, slots=True)
class Emulated:
    """Command and environment that start an emulated Python.

    prefix: command line before Python's own arguments. environment: all of its environment variables.
    """

    prefix: tuple[str, ...]
    environment: Mapping[str, str]


def missing(folder: Path = CACHE) -> str:
    """Return the names of tools and files that the emulation needs and that are missing; empty if it is ready."""
    if shutil.which(EMULATOR) is None:
        return f"{EMULATOR} is not installed (Debian: qemu-user)"
    if not (folder / "root" / "usr" / "bin" / "python3.11").exists():
        return f"{folder}: no arm64 Python (`python -m quantize.arm` gets it)"
    return ""


def emulated(runtime: str, cpu: str, plugin: Path | None = None, folder: Path = CACHE) -> Emulated:
    """Configure an emulated Python with one TFLite interpreter package and this project on its import path.

    Args:
        runtime: `ai-edge-litert` or `tflite-runtime`.
        cpu: Core to emulate, one of CPUS.
        plugin: QEMU plugin that counts instructions, or None.
        folder: Where `prepare` put Python and packages.

    Raises:
        EmotionEdgeError: The emulation is not ready.
    """
    if reason := missing(folder):
        raise EmotionEdgeError(f"emulated aarch64: {reason}")
    # This project is imported from its folder; `edge` reads its version from installed metadata.
    metadata = folder / runtime / "emotion_edge.dist-info" / "METADATA"
    metadata.parent.mkdir(exist_ok=True)
    metadata.write_text(f"Metadata-Version: 2.1\nName: emotion-edge\nVersion: {__version__}\n", encoding="utf-8")
    root = folder / "root"
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONHOME": str(root / "usr"),
        "PYTHONPATH": f"{folder / runtime}{os.pathsep}{PROJECT}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    counting = () if plugin is None else ("-plugin", str(plugin))
    python = str(root / "usr" / "bin" / "python3.11")
    return Emulated((EMULATOR, "-cpu", cpu, "-L", str(root), *counting, python), environment)


def prepare(folder: Path = CACHE) -> None:
    """Download and unpack what the emulation needs into a folder; nothing outside of it is changed.

    Raises EmotionEdgeError where a tool is missing or a download fails.
    """
    for part in ("state/lists/partial", "cache/archives/partial", "root"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "state" / "status").touch()
    (folder / "sources.list").write_text(SOURCE.format(mirror=MIRROR))
    (folder / "apt.conf").write_text(APT.format(folder=folder))
    apt = {**os.environ, "APT_CONFIG": str(folder / "apt.conf")}
    _do(["apt-get", "update", "-qq"], apt)
    _do(["apt-get", "install", "-y", "-qq", "--download-only", *PACKAGES], apt)
    for archive in sorted((folder / "cache" / "archives").glob("*.deb")):
        _do(["dpkg-deb", "-x", str(archive), str(folder / "root")], os.environ)
    local = Path(sys.executable).with_name("uv")
    uv = str(local) if local.exists() else "uv"
    for runtime, wheels in WHEELS.items():
        target = ["--target", str(folder / runtime), "--python-platform", PLATFORM, "--python-version", "3.11"]
        _do([uv, "pip", "install", "-q", *target, "--only-binary", ":all:", *wheels], os.environ)


def _do(command: list[str], environment: Mapping[str, str]) -> None:
    try:
        done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise EmotionEdgeError(f"emulated aarch64: {command[0]} is not installed") from None
    if done.returncode:
        raise EmotionEdgeError(f"emulated aarch64: {' '.join(command[:3])} fails: {done.stderr.strip()}")


if __name__ == "__main__":
    try:
        prepare()
    except EmotionEdgeError as error:
        sys.exit(str(error))
    print(f"ready: {CACHE}")
