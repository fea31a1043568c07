"""Make a card: an official image with the package and the site's files on its boot partition.

The image is unpacked beside the result and renamed when complete.
"""

import logging
import lzma
import os
import tempfile
from pathlib import Path
from typing import IO, Final, cast

from deploy.image.cloud_init import SUITE, card_files
from deploy.image.device import describe, write_card
from deploy.image.disk import Layout, System, check_image, free_bytes, parse_layout, write_files, write_mounted
from deploy.image.packages import fetch_missing
from deploy.image.site import Site, read_site, summary
from deploy.package.build import build
from deploy.package.deb import board_file_name, package_fields, suite_of
from edge.errors import EmotionEdgeError

_log = logging.getLogger(__name__)

_BLOCK: Final = 1 << 20


def make(
    config: Path,
    base: Path | None,
    out: Path | None,
    device: Path | None,
    boot: Path | None,
    packages: list[Path] | None,
) -> None:
    """Make a card: `emotion-deploy image`.

    Args:
        config: the site file.
        base: an official image, .img or .img.xz.
        out: write the card to this file.
        device: write the card to this disk.
        boot: fill this mounted boot partition of a flashed card instead.
        packages: .deb files, emotion-edge among them; None builds the package of this checkout.

    Raises:
        EmotionEdgeError: before anything is changed.
    """
    if bool(boot) == bool(out or device) or (not boot and not base):
        raise EmotionEdgeError("image: give --base with --out or --device, or else --boot")
    site = read_site(config)
    if device:
        describe(device)
    if packages and not any(package_fields(package).get("Package") == "emotion-edge" for package in packages):
        raise EmotionEdgeError(f"image: none of {', '.join(path.name for path in packages)} is emotion-edge")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:  # /tmp may be a RAM disk, too small for an image
        # --device needs root, and files that root writes into the checkout could not be replaced by its owner.
        packages = packages or [build(SUITE, Path(folder) if device else Path("build"))]
        if boot:
            fill_boot(boot, site, packages, base)
        elif base and (out or device):
            card = out or Path(folder) / "card.img"
            make_image(base, site, packages, card)
            if device:
                write_card(card, device)


def make_image(base: Path, site: Site, packages: list[Path], out: Path) -> None:
    """Write a card image.

    Args:
        base: an official image, .img or .img.xz.
        site: the site's settings.
        packages: .deb files, emotion-edge among them; dependencies that the image lacks are fetched.
        out: the result.

    Raises:
        EmotionEdgeError: where the image has another layout, architecture or release than the package, or too little
            free space. No file is left behind.
    """
    if not base.is_file():
        raise EmotionEdgeError(f"{base}: does not exist")
    with _opened(base) as packed:
        parse_layout(_read(packed, base), base.name)  # fails before minutes are spent on unpacking
    fresh = out.with_name(f".{out.name}.part")
    try:
        _log.info("unpacking %s ...", base.name)
        _unpack(base, fresh)
        layout, system = check_image(fresh, base.name)
        _check_fit(system, packages, base.name)
        before = free_bytes(fresh, layout)
        with tempfile.TemporaryDirectory() as folder:
            missing = _missing_packages(fresh, layout, system, packages, Path(folder))
            write_files(fresh, layout, card_files(site), _package_paths([*packages, *missing]))
        used = (before - free_bytes(fresh, layout)) / 1e6
        fresh.replace(out)
    except OSError as error:
        raise EmotionEdgeError(f"{out}: cannot be written: {error.strerror}") from error
    finally:
        fresh.unlink(missing_ok=True)
    _log.info("%s: %s; %.0f MB on its boot partition", out, summary(site), used)


def fill_boot(boot: Path, site: Site, packages: list[Path], base: Path | None = None) -> None:
    """Write the same files to the mounted boot partition of a flashed card.

    base: the image it was flashed with, which tells which dependencies are missing.
    """
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        missing: list[Path] = []
        if base:
            image = Path(folder) / "base.img"
            _log.info("unpacking %s ...", base.name)
            _unpack(base, image)
            layout, system = check_image(image, base.name)
            _check_fit(system, packages, base.name)
            missing = _missing_packages(image, layout, system, packages, Path(folder) / "apt")
        else:
            _log.warning(
                "without --base, dependencies that the card lacks are not added: the first boot may need network"
            )
        write_mounted(boot, card_files(site), _package_paths([*packages, *missing]))
    _log.info("%s: %s; eject the card now", boot, summary(site))


def _missing_packages(image: Path, layout: Layout, system: System, packages: list[Path], folder: Path) -> list[Path]:
    ours = next(path for path in packages if package_fields(path)["Package"] == "emotion-edge")
    return fetch_missing(image, layout, system.arch, ours, folder)


def _package_paths(packages: list[Path]) -> dict[str, Path]:
    return {f"emotion-edge/packages/{board_file_name(package_fields(path))}": path for path in packages}


def _check_fit(system: System, packages: list[Path], name: str) -> None:
    if not system.cloud_init:
        made = f" of {system.date}" if system.date else ""
        raise EmotionEdgeError(
            f"{name}: this {system.suite} image{made} has no cloud-init, which Raspberry Pi OS has since late November "
            "2025: take a newer image of trixie, or flash this one and use `emotion-deploy push`"
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
        raise EmotionEdgeError(f"{base}: cannot be unpacked: {error} (incomplete download?)") from error


def _unpack(base: Path, out: Path) -> None:
    """Unpack a base image, .img or .img.xz, to a sparse file. Raises OSError on a full disk."""
    with _opened(base) as packed, out.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)  # the card will contain secrets
        for block in iter(lambda: _read(packed, base), b""):
            if block.count(0) == len(block):
                file.seek(len(block), os.SEEK_CUR)
            else:
                file.write(block)
        file.truncate()
