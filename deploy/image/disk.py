"""Read and write an image file: check its partition table, write its boot partition, read its root partition.

Needs neither root nor loop devices: mtools writes the FAT and debugfs reads the ext4, both at an offset in the file.
"""

import array
import os
import re
import shutil
import struct
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.errors import EmotionEdgeError

SECTOR: Final = 512
_FAT32: Final = (0x0B, 0x0C)
_LINUX: Final = 0x83
_NEEDED: Final = ("config.txt", "cmdline.txt")
_CLOUD: Final = "user-data"

_EXT4_AT: Final = 1024 + 0x38
_EXT4_MAGIC: Final = b"\x53\xef"


@dataclass(frozen=True)
class Partition:
    """A partition. start, size: in bytes."""

    start: int
    size: int


@dataclass(frozen=True)
class Layout:
    """Partitions of an image. boot: FAT32. root: ext4."""

    boot: Partition
    root: Partition

    @property
    def end(self) -> int:
        return max(self.boot.start + self.boot.size, self.root.start + self.root.size)


@dataclass(frozen=True)
class System:
    """Operating system of an image. suite: Debian code name. arch: dpkg's name. cloud_init: has cloud-init's files.

    date: release date of the image, such as 2025-11-24; empty if unknown.
    """

    suite: str
    arch: str
    cloud_init: bool
    date: str = ""


def parse_layout(head: bytes, name: str) -> Layout:
    """Read the partition table of an image. head: first MiB of the image, or more.

    Raises EmotionEdgeError unless it is that of Raspberry Pi OS: an MBR with a FAT32 partition, then a Linux one.
    """

    def unknown(why: str) -> EmotionEdgeError:
        return EmotionEdgeError(f"{name}: is not an image of Raspberry Pi OS: {why}")

    if len(head) < SECTOR or head[510:512] != b"\x55\xaa":
        raise unknown("it has no partition table")
    entries = [struct.unpack_from("<4xB3xII", head, 446 + 16 * number) for number in range(4)]
    kinds = [kind for kind, _, _ in entries if kind]
    if 0xEE in kinds:
        raise unknown("its partition table is GPT, not MBR")
    if len(kinds) != 2 or entries[0][0] not in _FAT32 or entries[1][0] != _LINUX:
        found = ", ".join(f"{kind:02x}" for kind in kinds) or "none"
        raise unknown(f"it should have two partitions, of types 0c and 83 (found: {found})")
    boot, root = (Partition(start * SECTOR, size * SECTOR) for _, start, size in entries[:2])
    if not boot.start or not boot.size or not root.size or boot.start + boot.size > root.start:
        raise unknown("its partitions overlap or are empty")
    return Layout(boot, root)


def check_image(image: Path, name: str) -> tuple[Layout, System]:
    """Read the layout and the system of an unpacked image. Raises EmotionEdgeError if it is not Raspberry Pi OS."""
    with image.open("rb") as file:
        layout = parse_layout(file.read(1 << 20), name)
        if os.fstat(file.fileno()).st_size < layout.end:
            raise EmotionEdgeError(f"{name}: is shorter than its partitions (incomplete download?)")
        file.seek(layout.boot.start)
        fat = file.read(SECTOR)
        if fat[510:512] != b"\x55\xaa" or fat[82:87] != b"FAT32":
            raise EmotionEdgeError(f"{name}: its first partition holds no FAT32")
        file.seek(layout.root.start + _EXT4_AT)
        if file.read(2) != _EXT4_MAGIC:
            raise EmotionEdgeError(f"{name}: its second partition holds no ext4")
    names = _listed(image, layout)
    if missing := [wanted for wanted in _NEEDED if wanted not in names]:
        raise EmotionEdgeError(f"{name}: its boot partition has no {' and no '.join(missing)}: not a Raspberry Pi's")
    release = _in_root(image, layout, "/usr/lib/os-release")
    found = re.search(r'^VERSION_CODENAME="?(\w+)', release, re.MULTILINE)
    if not found:
        raise EmotionEdgeError(f"{name}: its root partition has no Debian release in /usr/lib/os-release")
    issue = re.search(r"reference (\d{4}-\d\d-\d\d)", _in_root(image, layout, "/etc/rpi-issue"))
    return layout, System(found[1], _architecture(image, layout), _CLOUD in names, issue[1] if issue else "")


def _architecture(image: Path, layout: Layout) -> str:
    listing = _debugfs(image, layout, "ls -p /usr/lib")
    # The architecture is that of the dynamic loader; of a PC (the test board in a container), of its library folder.
    names = {"ld-linux-aarch64.so.1": "arm64", "ld-linux-armhf.so.3": "armhf", "x86_64-linux-gnu": "amd64"}
    return next((arch for name, arch in names.items() if f"/{name}/" in listing), "unknown")


def _in_root(image: Path, layout: Layout, path: str) -> str:
    """Read a text file of the root partition; "" if it does not exist."""
    return _debugfs(image, layout, f"cat {path}")


def copy_from_root(image: Path, layout: Layout, path: str, target: Path) -> None:
    """Copy a file of the root partition to the file `target`, or a folder into the folder `target`."""
    if target.is_dir():
        _debugfs(image, layout, f'rdump "{path}" "{target}"')
    else:
        target.touch()
        _debugfs(image, layout, f'dump "{path}" "{target}"')


def _debugfs(image: Path, layout: Layout, request: str) -> str:
    return _tool("e2fsprogs", "debugfs", "-R", request, f"{image}?offset={layout.root.start}")


def _listed(image: Path, layout: Layout) -> set[str]:
    listing = _tool("mtools", "mdir", "-b", "-i", _fat(image, layout), "::")
    return {line.removeprefix("::/") for line in listing.splitlines()}


def _fat(image: Path, layout: Layout) -> str:
    return f"{image}@@{layout.boot.start}"


def free_bytes(image: Path, layout: Layout) -> int:
    """Free space of the boot partition in bytes, from the free clusters of its first allocation table.

    Field offsets: Microsoft FAT32 File System Specification, version 1.03.
    """
    with image.open("rb") as file:
        file.seek(layout.boot.start)
        sector = file.read(SECTOR)
        size, per_cluster, reserved, copies = struct.unpack_from("<HBHB", sector, 11)
        total, table = struct.unpack_from("<II", sector, 32)
        clusters = (total - reserved - copies * table) // per_cluster
        file.seek(layout.boot.start + reserved * size)
        entries = array.array("I", file.read((clusters + 2) * 4))
    free = sum(1 for entry in entries[2:] if entry & 0x0FFFFFFF == 0)
    return free * int(per_cluster) * int(size)


def write_files(image: Path, layout: Layout, texts: Mapping[str, bytes], packages: Mapping[str, Path]) -> None:
    """Write files to the boot partition of an image, replacing those of the same name. Keys: paths on the partition.

    Raises EmotionEdgeError without enough free space, before anything is written.
    """
    check_free_space(sum(map(len, texts.values())), packages, free_bytes(image, layout))
    fat = _fat(image, layout)
    for folder in sorted(_folders([*texts, *packages])):
        # With -D s an existing folder is skipped, with exit status 1.
        subprocess.run(["mmd", "-D", "s", "-i", fat, f"::{folder}"], capture_output=True, check=False)
    for name, text in texts.items():
        _tool("mtools", "mcopy", "-o", "-i", fat, "-", f"::{name}", data=text)
    for name, path in packages.items():
        _tool("mtools", "mcopy", "-o", "-i", fat, str(path), f"::{name}")


def write_mounted(boot: Path, texts: Mapping[str, bytes], packages: Mapping[str, Path]) -> None:
    """Write files to the boot partition mounted at `boot`, and sync.

    Raises EmotionEdgeError unless `boot` is the boot partition of a Raspberry Pi OS with cloud-init and has enough
    space.
    """
    if missing := [name for name in (*_NEEDED, _CLOUD) if not (boot / name).is_file()]:
        raise EmotionEdgeError(
            f"{boot}: has no {', no '.join(missing)}: it is not the boot partition of Raspberry Pi OS trixie or newer"
        )
    check_free_space(sum(map(len, texts.values())), packages, shutil.disk_usage(boot).free)
    try:
        for name, path in packages.items():
            (boot / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, boot / name)
        for name, text in texts.items():
            (boot / name).parent.mkdir(parents=True, exist_ok=True)
            (boot / name).write_bytes(text)
    except OSError as error:
        raise EmotionEdgeError(f"{boot}: cannot be written: {error}") from error
    os.sync()


def check_free_space(texts: int, packages: Mapping[str, Path], free: int) -> None:
    """Raise EmotionEdgeError if files do not fit. texts: size of the text files, bytes. free: free space, bytes."""
    wanted = texts + sum(path.stat().st_size for path in packages.values()) + (1 << 20)
    if wanted > free:
        raise EmotionEdgeError(
            f"the boot partition is too full: {wanted / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free"
        )


def _folders(names: list[str]) -> set[str]:
    return {str(parent) for name in names for parent in Path(name).parents if str(parent) != "."}


def _tool(package: str, *words: str, data: bytes | None = None) -> str:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"  # debugfs is in a folder that a user's PATH may lack
    if not shutil.which(words[0], path=path):
        raise EmotionEdgeError(f"{words[0]} is not here: sudo apt-get install {package}")
    environment = {**os.environ, "PATH": path, "MTOOLS_SKIP_CHECK": "1", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(words, input=data, capture_output=True, check=False, env=environment)
    if done.returncode:
        raise EmotionEdgeError(f"{words[0]}: status {done.returncode}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode(errors="replace")
