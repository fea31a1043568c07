"""The signed repository that the test board updates itself from."""

import gzip
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.boards.push import read_package
from deploy.repository import KEY_FILE, publish

_OWNER: Final = "boards@example.org"


def repository_key(folder: Path) -> Path:
    """Return the file of the repository owner's public key, generating the key if it does not exist."""
    # gpg's agent has its socket in the folder, whose path must be short.
    home = Path("/tmp") / f"emotion-gpg-{folder.name}"
    home.mkdir(mode=0o700, exist_ok=True)
    os.environ["GNUPGHOME"] = str(home)
    public = folder / KEY_FILE
    if subprocess.run(["gpg", "--list-secret-keys", _OWNER], capture_output=True, check=False).returncode:
        words = ["gpg", "--batch", "--passphrase", "", "--quick-generate-key", _OWNER, "ed25519", "sign", "never"]
        subprocess.run(words, check=True, capture_output=True)
    done = subprocess.run(["gpg", "--armor", "--export", _OWNER], check=True, capture_output=True)
    public.write_bytes(done.stdout)
    return public


@dataclass(frozen=True)
class Repository:
    """The repository. folder: the test board's, with the key. public: folder served over HTTP. url: its address."""

    folder: Path
    public: Path
    url: str

    def publish(self, package: Path) -> str:
        """Add a package with `emotion-deploy repository`; returns its version."""
        repository_key(self.folder)
        publish(self.public, [package], _OWNER, self.url)
        return read_package(package).version


def tamper(public: Path, part: str) -> Callable[[], None]:
    """Damage the newest package (part `package`) or the signed index; returns a function that undoes it."""
    if part == "package":
        newest = max(public.glob("pool/*/*.deb"), key=lambda path: path.stat().st_mtime_ns)
        content = newest.read_bytes()
        changed = {newest: content[:-1] + bytes([content[-1] ^ 1])}
    else:
        changed = {path: path.read_bytes().replace(b"SHA256: ", b"SHA256: 0") for path in public.rglob("Packages")}
        changed |= {path.with_suffix(".gz"): gzip.compress(content) for path, content in changed.items()}
    originals = {path: path.read_bytes() for path in changed}
    _write(changed)
    return lambda: _write(originals)


def _write(files: Mapping[Path, bytes]) -> None:
    for path, content in files.items():
        path.write_bytes(content)
