"""Fetch the dependencies of a package that an image lacks, so that the first boot needs no network.

apt of this machine, which must run Debian or a derivative, resolves them by the image's package list and sources.
"""

import logging
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from deploy.image.disk import Layout, copy_from_root
from edge.errors import EmotionEdgeError

_log = logging.getLogger(__name__)

CAMERA_LIBRARY: Final = "python3-picamera2"
"""Library for the Raspberry Pi's camera, which the package only recommends, as USB cameras do not need it."""

_CONF: Final = """\
Dir "{folder}";
Dir::State "{folder}/state";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
Dir::Etc "{folder}/apt";
Dir::Log "{folder}";
APT::Architecture "{arch}";
APT::Architectures {{ "{arch}"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
"""


def fetch_missing(image: Path, layout: Layout, arch: str, package: Path, folder: Path) -> list[Path]:
    """Fetch the packages that `package` needs and an image lacks, and CAMERA_LIBRARY if the image's sources have it.

    Args:
        image: the unpacked image.
        layout: its partitions.
        arch: its Debian architecture.
        package: the .deb of emotion-edge.
        folder: an empty folder for apt's state and the result.

    Returns:
        The fetched .deb files; none, with a warning, where this machine has no apt.

    Raises:
        EmotionEdgeError: where a dependency cannot be fetched.
    """
    if not shutil.which("apt-get"):
        _log.warning("apt-get is not here: the dependencies of %s were not checked against the image", package.name)
        return []
    for name in ("state/lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    copy_from_root(image, layout, "/var/lib/dpkg/status", folder / "status")
    if not (folder / "status").stat().st_size:
        raise EmotionEdgeError(f"{package.name}: the image has no list of its packages (/var/lib/dpkg/status)")
    copy_from_root(image, layout, "/etc/apt", folder)
    copy_from_root(image, layout, "/usr/share/keyrings", folder)
    # apt settings may name commands to run, so those of the image are not used.
    shutil.rmtree(folder / "apt" / "apt.conf.d", ignore_errors=True)
    for name in ("apt.conf.d", "preferences.d", "sources.list.d", "trusted.gpg.d"):
        (folder / "apt" / name).mkdir(parents=True, exist_ok=True)
    for source in [*folder.glob("apt/sources.list"), *folder.glob("apt/sources.list.d/*")]:
        text = source.read_text(encoding="utf-8")
        source.write_text(text.replace("/usr/share/keyrings/", f"{folder}/keyrings/"), encoding="utf-8")
    conf = folder / "apt.conf"
    conf.write_text(_CONF.format(folder=folder, arch=arch))
    wanted = [str(package.resolve())]
    has_camera = f"Package: {CAMERA_LIBRARY}\n" in (folder / "status").read_text(encoding="utf-8", errors="replace")
    enough = _apt(conf, "-s", "install", *wanted).returncode == 0
    if enough and has_camera:
        return []
    _log.info("looking for packages the image lacks ...")
    update = _apt(conf, "update")
    if not enough:
        _require_success(update, package)
    if not has_camera and _apt(conf, "-s", "install", *wanted, CAMERA_LIBRARY).returncode == 0:
        wanted.append(CAMERA_LIBRARY)
    elif not has_camera:
        _log.warning("%s is not in the image's sources: a Raspberry Pi camera will not work", CAMERA_LIBRARY)
    _require_success(_apt(conf, "install", "-y", "--download-only", *wanted), package)
    found = sorted((folder / "cache" / "archives").glob("*.deb"))
    _log.info(
        "added to the card, as the image lacks them: %s", ", ".join(re.sub(r"_.*", "", path.name) for path in found)
    )
    return found


def _require_success(done: "subprocess.CompletedProcess[str]", package: Path) -> None:
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("E:")] or [done.stderr.strip()]
        unmet = [line.strip() for line in done.stdout.splitlines() if "Depends:" in line]
        reasons = "; ".join([*unmet, *lines][:4])
        raise EmotionEdgeError(f"{package.name}: dependencies that the image lacks cannot be fetched: {reasons}")


def _apt(conf: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    # APT_CONFIG replaces this machine's own apt configuration.
    environment = {"APT_CONFIG": str(conf), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        ["apt-get", "-q", f"-oDir::Etc={conf.parent}/apt", *words],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
