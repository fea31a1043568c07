"""A signed apt repository of packages, as files for any static web server: `emotion-deploy repository`."""

import gzip
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from deploy.package.build import SUITES
from deploy.package.deb import board_file_name, package_fields, suite_of
from edge.errors import EmotionEdgeError

KEY_FILE: Final = "emotion-edge.asc"
"""File name of the public key, in the repository and in /etc/apt/keyrings of a board."""

SOURCES_FILE: Final = "emotion-edge.sources"
"""File name of apt's source entry, in the repository and in /etc/apt/sources.list.d of a board."""


def publish(folder: Path, packages: list[Path], key: str, url: str) -> None:
    """Add packages to a repository, creating it if it does not exist, and sign it.

    Args:
        folder: folder of the repository.
        packages: .deb files of emotion-edge.
        key: identifier or e-mail address of a secret key of gpg.
        url: where the folder will be served, for the source entry.

    Raises:
        EmotionEdgeError: where a package is of another kind or release, the key cannot sign, or a tool is missing.
    """
    if not re.fullmatch(r"(https?|file)://?\S+", url):
        raise EmotionEdgeError(f"repository: {url} is no address (https://example.org/emotion-edge)")
    for tool, debian in (("apt-ftparchive", "apt-utils"), ("gpg", "gnupg")):
        if not shutil.which(tool):
            raise EmotionEdgeError(f"repository: {tool} is not here: sudo apt-get install {debian}")
    public = _gpg("--armor", "--export", key)
    if not public:
        raise EmotionEdgeError(f"repository: gpg has no key {key} (gpg --quick-generate-key {key} ed25519 sign never)")
    placed = [(_suite(package), package) for package in packages]
    for suite, package in placed:
        target = folder / "pool" / suite / board_file_name(package_fields(package))
        target.parent.mkdir(parents=True, exist_ok=True)
        if not (target.exists() and target.samefile(package)):
            shutil.copyfile(package, target)
    for suite in sorted(path.name for path in (folder / "pool").iterdir()):
        _index(folder, suite, key)
    (folder / KEY_FILE).write_bytes(public)
    (folder / SOURCES_FILE).write_text(source_entry(url, sorted(path.name for path in (folder / "dists").iterdir())))


def source_entry(url: str, suites: list[str]) -> str:
    """Build apt's source entry for a board (sources.list(5), deb822 format)."""
    return (
        f"Types: deb\nURIs: {url}\nSuites: {' '.join(suites)}\nComponents: main\n"
        f"Signed-By: /etc/apt/keyrings/{KEY_FILE}\n"
    )


def _suite(package: Path) -> str:
    fields = package_fields(package)
    if fields.get("Package") != "emotion-edge" or (suite := suite_of(fields)) not in SUITES:
        raise EmotionEdgeError(f"{package}: is no package of emotion-edge")
    return suite


def _index(folder: Path, suite: str, key: str) -> None:
    """Write Packages, Release and InRelease of a suite. InRelease, which apt reads first, is replaced last."""
    dist = folder / "dists" / suite
    architectures = sorted({path.stem.rpartition("_")[2] for path in (folder / "pool" / suite).glob("*.deb")})
    for architecture in architectures:
        index = dist / "main" / f"binary-{architecture}"
        index.mkdir(parents=True, exist_ok=True)
        text = _run(folder, "apt-ftparchive", "--arch", architecture, "packages", f"pool/{suite}")
        (index / "Packages").write_bytes(text)
        (index / "Packages.gz").write_bytes(gzip.compress(text, 9, mtime=0))
    fields = {
        "Origin": "emotion-edge",
        "Label": "emotion-edge",
        "Suite": suite,
        "Codename": suite,
        "Architectures": " ".join(architectures),
        "Components": "main",
    }
    options = [word for name, value in fields.items() for word in ("-o", f"APT::FTPArchive::Release::{name}={value}")]
    for old in ("Release", "Release.gpg"):
        (dist / old).unlink(missing_ok=True)
    release = _run(folder, "apt-ftparchive", *options, "release", f"dists/{suite}")
    signed = _gpg("--local-user", key, "--clearsign", data=release)
    if not signed:
        raise EmotionEdgeError(f"repository: gpg cannot sign with {key}")
    (dist / "Release").write_bytes(release)
    fresh = dist / ".InRelease.new"
    fresh.write_bytes(signed)
    fresh.replace(dist / "InRelease")


def _run(folder: Path, *words: str) -> bytes:
    done = subprocess.run(words, cwd=folder, capture_output=True, check=False, env={**os.environ, "LC_ALL": "C.UTF-8"})
    if done.returncode:
        raise EmotionEdgeError(f"repository: {words[0]}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def _gpg(*words: str, data: bytes = b"") -> bytes:
    """Run gpg, which may ask for the key's passphrase; returns its output, empty if it fails."""
    done = subprocess.run(["gpg", "--batch", "--yes", *words], input=data, capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else b""
