"""An arm64 root from unpacked packages and a native root with the same packages set up."""

import os
import subprocess
from pathlib import Path

from deploy.emulated.foreign import take_over
from deploy.emulated.unpacked import register_packages

CONTROL = """\
Package: demo
Version: 1
Architecture: arm64
Multi-Arch: same
Maintainer: nobody
Description: demo
"""


def write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def unpacked(root: Path, build: Path) -> Path:
    """Make a root as mmdebstrap leaves it: a package is unpacked, and its archive is in apt's folder."""
    write(build / "DEBIAN/control", CONTROL)
    write(build / "DEBIAN/postinst", "#!/bin/sh\n", 0o755)
    write(build / "usr/lib/aarch64-linux-gnu/libdemo.so", "for arm")
    write(build / "var/lib/demo/README", "as shipped")
    archives = root / "var/cache/apt/archives"
    archives.mkdir(parents=True)
    quiet = subprocess.DEVNULL
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", str(build), str(archives)], check=True, stdout=quiet)
    subprocess.run(["dpkg-deb", "-x", *map(str, archives.glob("*.deb")), str(root)], check=True)
    return root


def test_packages_unpacked_for_arm_count_as_installed(tmp_path: Path) -> None:
    root = unpacked(tmp_path / "root", tmp_path / "build")
    register_packages(root)
    words = ["dpkg-query", f"--admindir={root}/var/lib/dpkg", "-W", "-f=${Package} ${Architecture} ${db:Status-Status}"]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "demo arm64 installed"
    database = root / "var/lib/dpkg/info"
    assert "/usr/lib/aarch64-linux-gnu/libdemo.so" in (database / "demo:arm64.list").read_text().splitlines()
    assert os.access(database / "demo:arm64.postinst", os.X_OK)
    assert not list((root / "var/cache/apt/archives").glob("*.deb"))


def test_what_packages_made_on_the_native_side_is_taken_over(tmp_path: Path) -> None:
    root, native = unpacked(tmp_path / "root", tmp_path / "build"), tmp_path / "native"
    register_packages(root)
    library = "usr/lib/x86_64-linux-gnu/libdemo.so"
    write(native / library, "for a PC")
    write(native / "var/lib/demo/README", "as shipped", 0o600)
    write(native / "var/lib/dpkg/info/demo:amd64.list", f"/.\n/{library}\n/var/lib/demo/README\n")
    write(native / "var/lib/dpkg/triggers/File", "/usr/share/demo demo:amd64\n")
    write(native / "etc/passwd", "root and demo\n")
    write(root / "etc/passwd", "root\n")
    write(native / "etc/ld.so.cache", "of a PC")
    write(native / "usr/share/demo/cache", "made at installation")
    (native / "etc/alternatives").mkdir()
    (native / "etc/alternatives/demo").symlink_to(f"/{library}")
    take_over(native, root)
    assert (root / "usr/lib/aarch64-linux-gnu/libdemo.so").read_text() == "for arm"
    assert not (root / library).exists()
    assert (root / "etc/passwd").read_text() == "root and demo\n"
    assert not (root / "etc/ld.so.cache").exists()
    assert (root / "usr/share/demo/cache").read_text() == "made at installation"
    assert str((root / "etc/alternatives/demo").readlink()) == "/usr/lib/aarch64-linux-gnu/libdemo.so"
    assert (root / "var/lib/demo/README").stat().st_mode & 0o777 == 0o600
    assert (root / "var/lib/dpkg/triggers/File").read_text() == "/usr/share/demo demo:arm64\n"
