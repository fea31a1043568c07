"""Builds an arm64 root without emulation, where setting up the packages would take an hour.

The packages are unpacked for arm64 by this machine's dpkg. What their maintainer scripts would make (users, links,
caches, enabled units) is taken from a root of this machine's architecture with the same packages: hardly anything of it
depends on the processor.
"""

import os
import shutil
import stat
from pathlib import Path
from typing import Final

TRIPLETS: Final = ("x86_64-linux-gnu", "aarch64-linux-gnu")
"""Names of the folders of libraries, on the native side and on arm64."""

_LEFT_OUT: Final = ("var/lib/dpkg", "var/lib/apt", "var/cache", "proc", "sys", "dev", "run", "tmp", "etc/ld.so.cache")
"""Paths of the native root that are not taken over: the database of packages, caches, mount points."""


def take_over(native: Path, root: Path) -> None:
    """Copy from a native root what its packages made when they were set up.

    Files that belong to no package are copied where the root lacks them, and always below /etc and /var. Owners, modes
    and capabilities of all others are set as in the native root.

    Args:
        native: root of this machine's architecture, with the same packages set up.
        root: arm64 root with `unpacked.register_packages` done.
    """
    owned = _owned_by_packages(native)
    for folder, folders, files in os.walk(native):
        place = Path(folder).relative_to(native)
        folders[:] = [name for name in folders if str(place / name) not in _LEFT_OUT]
        for name in [*folders, *files]:
            path = str(place / name)
            if path in _LEFT_OUT:
                continue
            source, target = native / path, root / _for_arm(path)
            exists = os.path.lexists(target)
            if path in owned:
                if exists:
                    _copy_owner(source, target)
            elif not exists or path.startswith(("etc/", "var/")):
                _copy(source, target)
    triggers = root / "var/lib/dpkg/triggers"
    shutil.copytree(native / "var/lib/dpkg/triggers", triggers, dirs_exist_ok=True)
    for file in triggers.iterdir():
        file.write_text(_for_arm(file.read_text()).replace(":amd64", ":arm64"))
    for name in ("statoverride", "diversions"):
        text = (native / "var/lib/dpkg" / name).read_text() if (native / "var/lib/dpkg" / name).exists() else ""
        (root / "var/lib/dpkg" / name).write_text(_for_arm(text).replace(":amd64", ":arm64"))


def _for_arm(text: str) -> str:
    return text.replace(*TRIPLETS)


def _owned_by_packages(native: Path) -> set[str]:
    """List the paths of all packages, with the folders of a merged /usr resolved, without a leading slash."""
    merged = [native / name for name in ("bin", "sbin", "lib", "lib64")]
    moved = {path.name: str(path.readlink()) for path in merged if path.is_symlink()}
    owned = set(moved)
    for listing in (native / "var/lib/dpkg/info").glob("*.list"):
        for line in listing.read_text().splitlines():
            first, slash, rest = line.strip("/").partition("/")
            owned.add(moved.get(first, first) + slash + rest)
    return owned


def _copy(source: Path, target: Path) -> None:
    mode = source.lstat().st_mode
    if stat.S_ISLNK(mode):
        target.unlink(missing_ok=True)
        target.symlink_to(_for_arm(str(source.readlink())))
    elif stat.S_ISDIR(mode):
        target.mkdir(parents=True, exist_ok=True)
    elif stat.S_ISREG(mode):
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_symlink():
            target.unlink()
        shutil.copy2(source, target)
    else:
        return
    _copy_owner(source, target)


def _copy_owner(source: Path, target: Path) -> None:
    status = source.lstat()
    os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)
    if stat.S_ISLNK(status.st_mode) or target.is_symlink():
        return
    target.chmod(stat.S_IMODE(status.st_mode))
    if "security.capability" in os.listxattr(source):
        os.setxattr(target, "security.capability", os.getxattr(source, "security.capability"))
