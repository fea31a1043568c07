"""A card, written only after it was shown and the person said yes. Linux only: it asks lsblk."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from edge.errors import EmotionEdgeError

_BLOCK: Final = 4 << 20
_SYSTEM: Final = ("/", "/boot", "/boot/efi", "/boot/firmware", "/usr", "/home", "/var", "[SWAP]")


def describe(device: Path) -> str:
    """A disk in words, for a person to recognise.

    Raises EmotionEdgeError for what is no whole disk, carries this machine's system, cannot be written, or has parts
    that are mounted.
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
        raise EmotionEdgeError(f"{device}: is no disk here (`lsblk` lists them)") from error
    disk = json.loads(done.stdout)["blockdevices"][0]
    mounted = [(part["name"], point) for part in _parts(disk) for point in part["mountpoints"] if point]
    if any(point in _SYSTEM for _, point in mounted):
        raise EmotionEdgeError(f"{device}: this machine's own system is on it, it is not written to")
    if disk["type"] != "disk":
        raise EmotionEdgeError(f"{device}: is a {disk['type']}, not a whole disk (`lsblk` lists them)")
    if disk["ro"]:
        raise EmotionEdgeError(f"{device}: is write-protected (the card's little switch?)")
    if mounted:
        umount = " ".join(f"/dev/{name}" for name, _ in mounted)
        raise EmotionEdgeError(f"{device}: is in use at {mounted[0][1]} (first: sudo umount {umount})")
    parts = ", ".join(f"{part['name']} {part['label'] or ''}".strip() for part in _parts(disk)[1:]) or "no partitions"
    model = disk["model"] or "no model name"
    return f"{device}: {model}, {disk['size'] / 1e9:.1f} GB, {disk['tran'] or 'unknown bus'}; {parts}"


def _parts(disk: dict[str, Any]) -> list[dict[str, Any]]:
    return [disk, *(part for child in disk.get("children", ()) for part in _parts(child))]


def write_card(image: Path, device: Path) -> None:
    """Ask, write, and read back. Raises EmotionEdgeError when the answer is not yes or the card does not keep it."""
    print(describe(device))
    print(f"All that is on it will be lost. Write {image.name}? Type yes: ", end="", flush=True)
    if sys.stdin.readline().strip() != "yes":
        raise EmotionEdgeError(f"{device}: left as it is")
    try:
        # O_EXCL: the kernel refuses a disk that is in use.
        target = os.open(device, os.O_RDWR | os.O_EXCL)
    except OSError as error:
        raise EmotionEdgeError(f"{device}: cannot be opened: {error.strerror} (with sudo?)") from error
    size = image.stat().st_size
    try:
        for at, block in _blocks(image):
            os.pwrite(target, block, at)
            print(f"\rwriting {(at + len(block)) * 100 // size:3} %", end="", flush=True)
        os.fsync(target)
        os.posix_fadvise(target, 0, 0, os.POSIX_FADV_DONTNEED)
        for at, block in _blocks(image):
            if os.pread(target, len(block), at) != block:
                raise EmotionEdgeError(f"{device}: does not hold what was written at {at / 1e6:.0f} MB: a bad card?")
            print(f"\rchecking {(at + len(block)) * 100 // size:3} %", end="", flush=True)
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
