"""What a package needs and an image has not: found by apt against the image's own list, fetched where it says.

So that the first boot needs no network. It needs apt here, that is, Debian or one of its kin.
"""

import logging
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from deploy.image_disk import Layout, copy_out
from edge.errors import EmotionEdgeError

_log = logging.getLogger(__name__)

CAMERA_LIBRARY: Final = "python3-picamera2"
"""Only recommended by the package, as a USB camera goes without it."""

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
    """Packages that `package` needs besides those installed in an image, fetched into `folder`, which is empty.

    Among them is CAMERA_LIBRARY, which Raspberry Pi OS Lite has not; where the image's sources do not have it either,
    that is said. Raises EmotionEdgeError when the others cannot be had. Without apt on this machine nothing is looked
    for, which is said, too.
    """
    if not shutil.which("apt-get"):
        _log.warning("apt-get is not here: whether the image has all that %s needs is not known", package.name)
        return []
    for name in ("state/lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    copy_out(image, layout, "/var/lib/dpkg/status", folder / "status")
    if not (folder / "status").stat().st_size:
        raise EmotionEdgeError(f"{package.name}: the image has no list of its packages (/var/lib/dpkg/status)")
    copy_out(image, layout, "/etc/apt", folder)
    copy_out(image, layout, "/usr/share/keyrings", folder)
    # Settings of apt may name commands: an image's are not run here.
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
    _log.info("looking for what the image lacks ...")
    update = _apt(conf, "update")
    if not enough:
        _must(update, package)
    if not has_camera and _apt(conf, "-s", "install", *wanted, CAMERA_LIBRARY).returncode == 0:
        wanted.append(CAMERA_LIBRARY)
    elif not has_camera:
        _log.warning("%s is not to be had for this image: a Raspberry Pi camera will not be found", CAMERA_LIBRARY)
    _must(_apt(conf, "install", "-y", "--download-only", *wanted), package)
    found = sorted((folder / "cache" / "archives").glob("*.deb"))
    _log.info("the image lacks, and gets: %s", ", ".join(re.sub(r"_.*", "", path.name) for path in found))
    return found


def _must(done: "subprocess.CompletedProcess[str]", package: Path) -> None:
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("E:")] or [done.stderr.strip()]
        unmet = [line.strip() for line in done.stdout.splitlines() if "Depends:" in line]
        said = "; ".join([*unmet, *lines][:4])
        raise EmotionEdgeError(f"{package.name}: the image lacks what it needs, which cannot be had: {said}")


def _apt(conf: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    # A configuration file of its own in place of, not besides, this machine's.
    environment = {"APT_CONFIG": str(conf), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        ["apt-get", "-q", f"-oDir::Etc={conf.parent}/apt", *words],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
