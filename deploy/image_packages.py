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

log = logging.getLogger(__name__)

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

    Raises EmotionEdgeError when they cannot be had. Without apt on this machine nothing is looked for, which is said.
    """
    if not shutil.which("apt-get"):
        log.warning("apt-get is not here: whether the image has all that %s needs is not known", package.name)
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
    wanted = ["install", "-y", "--download-only", str(package.resolve())]
    if _apt(conf, "-s", "install", str(package.resolve())).returncode == 0:
        return []
    log.info("looking for what the image lacks ...")
    for words in (["update"], wanted):
        done = _apt(conf, *words)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.startswith("E:")] or [done.stderr.strip()]
            unmet = [line.strip() for line in done.stdout.splitlines() if "Depends:" in line]
            said = "; ".join([*unmet, *lines][:4])
            raise EmotionEdgeError(f"{package.name}: the image lacks what it needs, which cannot be had: {said}")
    found = sorted((folder / "cache" / "archives").glob("*.deb"))
    log.info("the image lacks, and gets: %s", ", ".join(re.sub(r"_.*", "", path.name) for path in found))
    return found


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
