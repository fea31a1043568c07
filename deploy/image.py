"""A card for a board: an official image, the package, and what the board is to become, in one file.

The image is unpacked beside the result and the result appears whole or not at all.
"""

import logging
import lzma
import os
import subprocess
import tempfile
from pathlib import Path
from typing import IO, Final, cast

from deploy.image_device import describe, write_card
from deploy.image_disk import Layout, System, check_image, free_bytes, parse_layout, write_files, write_mounted
from deploy.image_packages import fetch_missing
from deploy.image_site import Site, card_files, read_site, summary
from deploy.package import build
from edge.errors import EmotionEdgeError

_log = logging.getLogger(__name__)

_BLOCK: Final = 1 << 20

SUITE: Final = "trixie"
"""The first release whose image is set up by cloud-init."""


def make(
    config: Path,
    base: Path | None,
    out: Path | None,
    device: Path | None,
    boot: Path | None,
    packages: list[Path] | None,
) -> None:
    """Make a card as a file (`out`), on a disk (`device`), or from a flashed one (`boot`): `emotion-deploy image`.

    packages: None has that of this checkout built. Raises EmotionEdgeError before anything is changed.
    """
    if bool(boot) == bool(out or device) or (not boot and not base):
        raise EmotionEdgeError("image: give --base with --out or --device, or else --boot")
    site = read_site(config)
    if device:
        describe(device)
    if packages and not any(package_fields(package).get("Package") == "emotion-edge" for package in packages):
        raise EmotionEdgeError(f"image: none of {', '.join(path.name for path in packages)} is emotion-edge")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:  # /tmp may be in memory
        # Root, who writes disks, leaves no file in the checkout that its owner cannot replace.
        packages = packages or [build(SUITE, Path(folder) if device else Path("build"))]
        if boot:
            fill_boot(boot, site, packages, base)
        elif base and (out or device):
            card = out or Path(folder) / "card.img"
            make_image(base, site, packages, card)
            if device:
                write_card(card, device)


def make_image(base: Path, site: Site, packages: list[Path], out: Path) -> None:
    """Write the card image `out` from an official one, .img or .img.xz.

    packages: that of emotion-edge, and others if you like; what it needs and the image lacks is fetched. Raises
    EmotionEdgeError, and leaves nothing behind, where the base has another shape, architecture or release than the
    package, or no room for it.
    """
    if not base.is_file():
        raise EmotionEdgeError(f"{base}: not there")
    with _opened(base) as packed:
        parse_layout(_read(packed, base), base.name)  # before minutes are spent on unpacking
    fresh = out.with_name(f".{out.name}.part")
    try:
        _log.info("unpacking %s ...", base.name)
        _unpack(base, fresh)
        layout, system = check_image(fresh, base.name)
        _check_fit(system, packages, base.name)
        before = free_bytes(fresh, layout)
        with tempfile.TemporaryDirectory() as folder:
            lacking = _lacking(fresh, layout, system, packages, Path(folder))
            write_files(fresh, layout, card_files(site), _placed([*packages, *lacking]))
        used = (before - free_bytes(fresh, layout)) / 1e6
        fresh.replace(out)
    except OSError as error:
        raise EmotionEdgeError(f"{out}: cannot be written: {error.strerror}") from error
    finally:
        fresh.unlink(missing_ok=True)
    _log.info("%s: %s; %.0f MB on its boot partition", out, summary(site), used)


def fill_boot(boot: Path, site: Site, packages: list[Path], base: Path | None = None) -> None:
    """Write the same files onto the mounted boot partition of a card that was flashed by other means.

    base: the image that it was flashed with; without it, what it lacks is not known.
    """
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        lacking: list[Path] = []
        if base:
            image = Path(folder) / "base.img"
            _log.info("unpacking %s ...", base.name)
            _unpack(base, image)
            layout, system = check_image(image, base.name)
            _check_fit(system, packages, base.name)
            lacking = _lacking(image, layout, system, packages, Path(folder) / "apt")
        else:
            _log.warning(
                "what the card lacks is not known without --base: if it is something, it must be installed there"
            )
        write_mounted(boot, card_files(site), _placed([*packages, *lacking]))
    _log.info("%s: %s; now eject the card", boot, summary(site))


def _lacking(image: Path, layout: Layout, system: System, packages: list[Path], folder: Path) -> list[Path]:
    ours = next(path for path in packages if package_fields(path)["Package"] == "emotion-edge")
    return fetch_missing(image, layout, system.arch, ours, folder)


def _placed(packages: list[Path]) -> dict[str, Path]:
    return {f"emotion-edge/packages/{path.name}": path for path in packages}


def package_fields(package: Path) -> dict[str, str]:
    """Fields of a .deb's control file. Raises EmotionEdgeError where it is none."""
    try:
        done = subprocess.run(["dpkg-deb", "-f", str(package)], capture_output=True, text=True, check=True)
    except FileNotFoundError as error:
        raise EmotionEdgeError("dpkg-deb is not here (Debian, Fedora and Homebrew have it in `dpkg`)") from error
    except subprocess.CalledProcessError as error:
        raise EmotionEdgeError(f"{package}: is no Debian package: {error.stderr.strip()}") from error
    lines = [line.partition(": ") for line in done.stdout.splitlines() if not line.startswith(" ")]
    return {name: value for name, _, value in lines}


def suite_of(fields: dict[str, str]) -> str:
    """The release that a package of ours was built for, by the Python that it wants; empty where it does not say."""
    pythons = {"python3 (>= 3.11~)": "bookworm", "python3 (>= 3.13~)": "trixie"}
    return next((suite for wanted, suite in pythons.items() if wanted in fields.get("Depends", "")), "")


def _check_fit(system: System, packages: list[Path], name: str) -> None:
    if not system.cloud_init:
        raise EmotionEdgeError(
            f"{name}: is set up without cloud-init (Raspberry Pi OS {system.suite}): take that of trixie or newer, or "
            "bring the package with `emotion-deploy push`"
        )
    for package in packages:
        fields = package_fields(package)
        if fields["Architecture"] not in (system.arch, "all"):
            raise EmotionEdgeError(f"{package.name} is for {fields['Architecture']}, and {name} is {system.arch}")
        if fields["Package"] == "emotion-edge" and (suite := suite_of(fields)) not in ("", system.suite):
            raise EmotionEdgeError(f"{package.name} is for {suite}, and {name} is {system.suite}")


def _opened(base: Path) -> IO[bytes]:
    return cast(IO[bytes], lzma.open(base)) if base.suffix == ".xz" else base.open("rb")


def _read(packed: IO[bytes], base: Path) -> bytes:
    try:
        return packed.read(_BLOCK)
    except (lzma.LZMAError, EOFError) as error:
        raise EmotionEdgeError(f"{base}: cannot be unpacked: {error} (was the download cut off?)") from error


def _unpack(base: Path, out: Path) -> None:
    """Copy, leaving out what is empty. On a full disk OSError."""
    with _opened(base) as packed, out.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)  # it will hold secrets
        for block in iter(lambda: _read(packed, base), b""):
            if block.count(0) == len(block):
                file.seek(len(block), os.SEEK_CUR)
            else:
                file.write(block)
        file.truncate()
