"""Build the Debian package: the daemon, its models and all its Python packages, to be installed without network.

The virtual environment is made at build time from wheels checked against requirements/board.txt, not by pip on the
board, so that dpkg can unpack, replace and remove it, and repair an interrupted installation (`dpkg --configure -a`).
Needs dpkg-deb, and uv, which can fetch wheels for another processor and Python than this machine's.
"""

import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.package.tree import lay_out_tree
from edge import __version__
from edge.errors import EmotionEdgeError

_log = logging.getLogger(__name__)

ROOT: Final = Path(__file__).resolve().parents[2]
"""Root folder of the checkout."""

LOCK: Final = ROOT / "requirements" / "board.txt"
"""Locked Python packages of a board, with hashes."""

NAME: Final = "emotion-edge"

PLATFORMS: Final[Mapping[str, str]] = {"arm64": "aarch64-manylinux_2_34", "amd64": "x86_64-manylinux_2_34"}
"""uv's platform names by Debian architecture; all SUITES have glibc 2.34 or newer."""


@dataclass(frozen=True)
class Suite:
    """A release of Debian and Raspberry Pi OS. python: version of its Python. glib: name of its GLib package."""

    name: str
    release: int
    python: str
    glib: str
    systemd: int

    @property
    def next_python(self) -> str:
        major, minor = self.python.split(".")
        return f"{major}.{int(minor) + 1}"


SUITES: Final[Mapping[str, Suite]] = {
    suite.name: suite
    for suite in (
        Suite("bookworm", 12, "3.11", "libglib2.0-0", systemd=252),
        Suite("trixie", 13, "3.13", "libglib2.0-0t64", systemd=257),
    )
}


@dataclass(frozen=True)
class Origin:
    """Version and time of the sources. version: upstream part of Debian's. epoch: Unix time set on all files."""

    version: str
    epoch: int


def origin() -> Origin:
    """Return the checkout's version; unless at a release tag, the commit's time and hash are appended.

    SOURCE_DATE_EPOCH overrides the commit's time (reproducible-builds.org). Raises EmotionEdgeError without either.
    """
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    committed = _git("log", "-1", "--format=%ct %h %cd", "--date=format-local:%Y%m%d%H%M%S").split()
    if not committed and not given.isdecimal():
        raise EmotionEdgeError(
            f"package: {ROOT} is no git checkout, so the time of the sources is not known (set SOURCE_DATE_EPOCH)"
        )
    version = __version__
    if committed and f"v{version}" not in _git("tag", "--points-at", "HEAD").split():
        version += f"~{committed[2]}.g{committed[1]}"
    if _git("status", "--porcelain", "--", "edge", "models", "systemd", "deploy", "requirements"):
        version += "+changed"
    return Origin(version, int(given) if given.isdecimal() else int(committed[0]))


def _git(*words: str) -> str:
    done = subprocess.run(
        ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "TZ": "UTC"}
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def build(suite: str, out: Path, arch: str = "arm64", version: str = "") -> Path:
    """Build the package of a suite. The same commit gives the same bytes.

    Args:
        suite: a key of SUITES.
        out: folder of the result.
        arch: a key of PLATFORMS.
        version: replaces the checkout's version.

    Returns:
        The file, emotion-edge_VERSION_ARCH.deb.

    Raises:
        EmotionEdgeError: for an unknown suite or architecture, without dpkg-deb or uv, and where a wheel cannot be
            fetched or has another hash.
    """
    if suite not in SUITES:
        raise EmotionEdgeError(f"package: {suite} is not known (there are: {', '.join(SUITES)})")
    if arch not in PLATFORMS:
        raise EmotionEdgeError(f"package: architecture {arch} is not known (there are: {', '.join(PLATFORMS)})")
    source = origin()
    full = f"{version or source.version}+deb{SUITES[suite].release}"
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{NAME}-") as folder:
        tree = Path(folder) / "tree"
        stage(tree, suite, arch, full, source.epoch)
        return pack(tree, out / f"{NAME}_{full}_{arch}.deb", source.epoch)


def stage(tree: Path, suite: str, arch: str, version: str, epoch: int, lock: Path = LOCK, root: Path = ROOT) -> None:
    """Make the package's file tree, with DEBIAN/ for dpkg-deb.

    Args:
        tree: folder of the result.
        suite: a key of SUITES.
        arch: a key of PLATFORMS.
        version: version of the Debian package.
        epoch: Unix time given to all files.
        lock: requirements with hashes.
        root: the checkout.

    Raises:
        EmotionEdgeError: a wheel cannot be fetched or has another hash.
    """
    chosen = SUITES[suite]
    site = tree / "opt" / NAME / "lib" / f"python{chosen.python}" / "site-packages"
    _log.info("packages for Python %s on %s ...", chosen.python, arch)
    _wheels(site, chosen.python, arch, lock)
    lay_out_tree(root, tree, chosen.python, version, epoch)
    if chosen.systemd < 254:  # systemd 254 introduced RestartSteps=
        for folder in (tree / "usr" / "lib" / "systemd" / "system").glob("*.service.d"):
            shutil.rmtree(folder)
    _control(Path(__file__).parent / "debian", tree, chosen, arch, version)
    for path in [tree, *tree.rglob("*")]:
        os.utime(path, (epoch, epoch), follow_symlinks=False)
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or _is_program(tree, path) else 0o644)


def _is_program(tree: Path, path: Path) -> bool:
    folder = path.parent.relative_to(tree)
    return folder == Path("opt", NAME, "bin") or (folder == Path("DEBIAN") and path.read_bytes()[:2] == b"#!")


def _wheels(site: Path, python: str, arch: str, lock: Path) -> None:
    """Unpack the locked wheels for the target Python and architecture, after checking their hashes."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if uv is None:
        raise EmotionEdgeError("package: uv is not here (make deploy)")
    words = [uv, "pip", "install", "--no-config", "--quiet", "--no-progress", "--link-mode", "copy"]
    words += ["--target", str(site), "--python-platform", PLATFORMS[arch], "--python-version", python]
    words += ["--only-binary", ":all:", "--require-hashes", "-r", str(lock)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EmotionEdgeError(f"package: the wheels of {lock} cannot be fetched:\n{done.stderr.strip()}")


def _control(templates: Path, tree: Path, suite: Suite, arch: str, version: str) -> None:
    debian = tree / "DEBIAN"
    debian.mkdir()
    for script in ("postinst", "prerm", "postrm"):
        text = (templates / script).read_text()
        (debian / script).write_text(text.replace("@PYTHON@", suite.python))
    files = sorted(path for path in tree.rglob("*") if path.is_file() and not path.is_relative_to(debian))
    size = sum(-(-path.stat().st_size // 1024) for path in files if not path.is_symlink())
    template = (templates / "control").read_text()
    values = {
        "version": version,
        "arch": arch,
        "size": str(size),
        "python": suite.python,
        "next_python": suite.next_python,
        "glib": suite.glib,
        "maintainer": _maintainer(),
    }
    (debian / "control").write_text(re.sub(r"@(\w+)@", lambda found: values[found[1]], template))
    sums = subprocess.run(
        ["md5sum", "--", *(str(path.relative_to(tree)) for path in files if not path.is_symlink())],
        cwd=tree,
        capture_output=True,
        text=True,
        check=True,
    )
    (debian / "md5sums").write_text(sums.stdout)


def _maintainer() -> str:
    """Return the maintainer from DEBFULLNAME and DEBEMAIL, like Debian's tools."""
    name = os.environ.get("DEBFULLNAME", "Emotion Edge")
    return f"{name} <{os.environ.get('DEBEMAIL', 'packages@emotion-edge.invalid')}>"


def pack(tree: Path, package: Path, epoch: int, compression: str = "xz") -> Path:
    """Pack a staged tree into a .deb. compression: dpkg-deb's; `none` is fast. Raises EmotionEdgeError on failure."""
    if shutil.which("dpkg-deb") is None:
        raise EmotionEdgeError("package: dpkg-deb is not here (Debian, Fedora and Homebrew have it in `dpkg`)")
    _log.info("%s ...", package)
    # dpkg-deb writes in place: under its name the file appears once it is whole.
    partial = package.with_name(f"{package.name}.part")
    # The number of threads is fixed, as the compressed bytes depend on it.
    words = [
        "dpkg-deb",
        f"-Z{compression}",
        "--threads-max=2",
        "--root-owner-group",
        "--build",
        str(tree),
        str(partial),
    ]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        partial.unlink(missing_ok=True)
        raise EmotionEdgeError(f"package: {' '.join(words)}: {done.stderr.strip()}")
    return partial.replace(package)
