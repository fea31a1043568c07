"""Builds packages for the test board: that of this checkout, and the same with later versions."""

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from deploy.boards.push import read_package
from deploy.emulated import base
from edge.errors import EmotionEdgeError

ROOT: Final = Path(__file__).resolve().parents[2]


def emotion_deploy(*words: str) -> None:
    """Run a command of emotion-deploy. Raises EmotionEdgeError where it fails."""
    if subprocess.run([sys.executable, "-m", "deploy.cli", *words], cwd=ROOT, check=False).returncode:
        raise EmotionEdgeError(f"emotion-deploy {words[0]} failed")


def current_package(arch: str = "arm64") -> Path:
    """Return the package of this checkout, building it on the first call."""
    folder = base.CACHE / "packages"
    if not (found := sorted(folder.glob(f"emotion-edge_*_{arch}.deb"))):
        emotion_deploy("package", base.SUITE, "--arch", arch, "--out", str(folder))
        found = sorted(folder.glob(f"emotion-edge_*_{arch}.deb"))
    return found[-1]


def later_package(folder: Path, suffix: str, breaks: bool = False, arch: str = "arm64") -> Path:
    """Make the same package with a higher version.

    Args:
        folder: folder of the result; earlier packages in it are deleted.
        suffix: appended to the version.
        breaks: True makes a package whose daemon exits at start.
        arch: Debian's name of the architecture.
    """
    current = current_package(arch)
    version = f"{read_package(current).version}+{suffix}{int(time.time())}"
    tree, out = folder / "tree", folder / f"emotion-edge_{version}_{arch}.deb"
    shutil.rmtree(tree, ignore_errors=True)
    for old in folder.glob("emotion-edge_*.deb"):
        old.unlink()
    subprocess.run(["dpkg-deb", "-R", str(current), str(tree)], check=True)
    control = tree / "DEBIAN/control"
    lines = control.read_text().splitlines()
    control.write_text("".join(f"Version: {version}\n" if x.startswith("Version:") else f"{x}\n" for x in lines))
    if breaks:
        service = next(tree.glob("opt/emotion-edge/lib/python*/site-packages/edge/daemon/run.py"))
        service.write_text(service.read_text() + "\nraise SystemExit('broken on purpose')\n")
    subprocess.run(["dpkg-deb", "-Zgzip", "-z1", "--root-owner-group", "-b", str(tree), str(out)], check=True)
    shutil.rmtree(tree)
    return out
