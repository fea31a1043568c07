"""Write an image to a disk after the user has confirmed it. Linux only: uses lsblk."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from edge.errors import EmotionEdgeError
from edge.system.program import unescaped

_BLOCK: Final = 4 << 20
_SYSTEM: Final = ("/", "/boot", "/boot/efi", "/boot/firmware", "/usr", "/home", "/var", "[SWAP]")


def describe(device: Path) -> str:
    """One line with a disk's model, size, bus and partitions.

    Raises EmotionEdgeError for anything but a whole disk, and for a disk that holds this machine's system, is
    write-protected or has mounted partitions.
    """
    words = [
        "lsblk",
        "--json",
        "--bytes",
        "--tree",
        "-o",
        "NAME,MODEL,SIZE,TYPE,MOUNTPOINTS,RO,TRAN,LABEL",
        str(device),
    ]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise EmotionEdgeError(f"{device}: is not a disk of this machine (`lsblk` lists them)") from error
    disk = json.loads(done.stdout)["blockdevices"][0]
    mounted = [(part["name"], point) for part in _parts(disk) for point in part["mountpoints"] if point]
    if any(point in _SYSTEM for _, point in mounted):
        raise EmotionEdgeError(f"{device}: holds this machine's own system; refused")
    if disk["type"] != "disk":
        raise EmotionEdgeError(f"{device}: is a {disk['type']}, not a whole disk (`lsblk` lists them)")
    if disk["ro"]:
        raise EmotionEdgeError(f"{device}: is write-protected (the switch on the card?)")
    if mounted:
        umount = " ".join(f"/dev/{name}" for name, _ in mounted)
        raise EmotionEdgeError(f"{device}: is in use at {mounted[0][1]} (first: sudo umount {umount})")
    parts = ", ".join(f"{part['name']} {part['label'] or ''}".strip() for part in _parts(disk)[1:]) or "no partitions"
    model = disk["model"] or "no model name"
    return f"{device}: {model}, {disk['size'] / 1e9:.1f} GB, {disk['tran'] or 'unknown bus'}; {parts}"


def _parts(disk: dict[str, Any]) -> list[dict[str, Any]]:
    return [disk, *(part for child in disk.get("children", ()) for part in _parts(child))]


def write_card(image: Path, device: Path) -> None:
    """Write an image to a disk after confirmation, read it back and compare. Raises EmotionEdgeError on failure."""
    print(describe(device))
    print(f"All data on it will be lost. Write {image.name}? Type yes: ", end="", flush=True)
    if sys.stdin.readline().strip() != "yes":
        raise EmotionEdgeError(f"{device}: nothing was written")
    try:
        # O_EXCL: the kernel refuses a disk that is in use.
        target = os.open(device, os.O_RDWR | os.O_EXCL)
    except OSError as error:
        raise EmotionEdgeError(f"{device}: cannot be opened: {error.strerror} (with sudo?)") from error
    size = image.stat().st_size
    try:
        for at, block in _blocks(image):
            os.pwrite(target, block, at)
            print(f"\rwriting {(at + len(block)) * 100 // size:3} %", end="", flush=True, file=unescaped(sys.stdout))
        os.fsync(target)
        os.posix_fadvise(target, 0, 0, os.POSIX_FADV_DONTNEED)
        for at, block in _blocks(image):
            if os.pread(target, len(block), at) != block:
                raise EmotionEdgeError(
                    f"{device}: reads back other data than was written at {at / 1e6:.0f} MB: is the card damaged?"
                )
            print(f"\rchecking {(at + len(block)) * 100 // size:3} %", end="", flush=True, file=unescaped(sys.stdout))
    except OSError as error:
        raise EmotionEdgeError(f"{device}: {error.strerror} (is the card large enough?)") from error
    finally:
        os.close(target)
        print()


def _blocks(image: Path) -> Iterator[tuple[int, bytes]]:
    with image.open("rb") as file:
        at = 0
        while block := file.read(_BLOCK):
            yield at, block
            at += len(block)
