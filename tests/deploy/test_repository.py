"""The signed repository with a real apt: a newer version is fetched, anything changed after signing is refused."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.repository import publish, source_entry
from edge.errors import EmotionEdgeError
from tests.conftest import ROOT

_missing = [tool for tool in ("apt-ftparchive", "gpg", "apt-get", "dpkg-deb") if not shutil.which(tool)]
pytestmark = pytest.mark.skipif(bool(_missing), reason=f"not installed: {', '.join(_missing)}")


def make_package(folder: Path, version: str, python: str = "3.13") -> Path:
    tree = folder / f"tree-{version}-{python}"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        f"Package: emotion-edge\nVersion: {version}\nArchitecture: arm64\nMaintainer: Test <test@example.org>\n"
        f"Depends: python3 (>= {python}~)\nDescription: for a test\n"
    )
    package = folder / f"renamed-{version}-{python}.deb"
    subprocess.run(["dpkg-deb", "-Znone", "-b", str(tree), str(package)], check=True, stdout=subprocess.DEVNULL)
    return package


def make_key(owner: str) -> None:
    words = ["gpg", "--batch", "--passphrase", "", "--quick-generate-key", owner, "ed25519", "sign", "never"]
    subprocess.run(words, check=True, capture_output=True)


@pytest.fixture(scope="module")
def key() -> Iterator[str]:
    # gpg's agent has its socket in the folder, whose path must be short.
    home = Path("/tmp") / f"ee-gpg-{os.getpid()}"
    home.mkdir(mode=0o700)
    os.environ["GNUPGHOME"] = str(home)
    make_key("boards@example.org")
    yield "boards@example.org"
    subprocess.run(["gpgconf", "--kill", "all"], check=False, capture_output=True)
    del os.environ["GNUPGHOME"]
    shutil.rmtree(home)


@dataclass(frozen=True)
class Apt:
    """apt as on a board, with this repository as its only source."""

    folder: Path

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.environ["PATH"], "APT_CONFIG": str(self.folder / "apt.conf"), "LC_ALL": "C.UTF-8"}
        return subprocess.run(
            ["apt-get", "-q", *words], cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )


def board(folder: Path, repository: Path) -> Apt:
    for name in ("state/lists/partial", "cache/archives/partial", "sources", "none"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    entry = (repository / "emotion-edge.sources").read_text()
    entry = entry.replace("/etc/apt/keyrings/", f"{repository}/").replace("Suites: bookworm trixie", "Suites: trixie")
    (folder / "sources" / "emotion-edge.sources").write_text(entry)
    (folder / "apt.conf").write_text(
        f'Dir::State "{folder}/state"; Dir::State::status "{folder}/status"; Dir::Cache "{folder}/cache";\n'
        f'Dir::Etc::sourcelist "/dev/null"; Dir::Etc::sourceparts "{folder}/sources";\n'
        f'Dir::Etc::parts "{folder}/none";\n'
        'APT::Architecture "arm64"; APT::Architectures { "arm64"; }; APT::Sandbox::User "root";\n'
    )
    return Apt(folder)


@pytest.fixture
def repository(tmp_path: Path, key: str) -> Path:
    folder = tmp_path / "repository"
    packages = [make_package(tmp_path, "1.0"), make_package(tmp_path, "1.1"), make_package(tmp_path, "1.1", "3.11")]
    publish(folder, packages, key, f"file:{folder}")
    return folder


def test_a_board_fetches_the_newest_version(repository: Path, tmp_path: Path, key: str) -> None:
    apt = board(tmp_path / "board", repository)
    assert apt("update").returncode == 0
    assert apt("download", "emotion-edge").returncode == 0
    assert [path.name for path in (tmp_path / "board").glob("*.deb")] == ["emotion-edge_1.1_arm64.deb"]
    publish(repository, [make_package(tmp_path, "1.2")], key, f"file:{repository}")
    assert apt("update").returncode == 0
    assert apt("download", "emotion-edge").returncode == 0
    assert (tmp_path / "board/emotion-edge_1.2_arm64.deb").is_file()
    assert apt("download", "emotion-edge=1.0").returncode == 0


def test_a_package_that_was_changed_is_refused(repository: Path, tmp_path: Path) -> None:
    apt = board(tmp_path / "board", repository)
    assert apt("update").returncode == 0
    package = repository / "pool/trixie/emotion-edge_1.1_arm64.deb"
    content = bytearray(package.read_bytes())
    content[-1] ^= 1
    package.write_bytes(content)
    done = apt("download", "emotion-edge")
    assert done.returncode != 0
    assert "Hash Sum mismatch" in done.stderr
    assert not list((tmp_path / "board").glob("*.deb"))


def test_an_index_that_was_changed_is_refused(repository: Path, tmp_path: Path) -> None:
    index = repository / "dists/trixie/main/binary-arm64/Packages"
    index.write_text(index.read_text().replace("1.1", "9.9"))
    (index.parent / "Packages.gz").unlink()
    apt = board(tmp_path / "board", repository)
    apt("update")
    assert apt("download", "emotion-edge").returncode != 0


def test_a_release_that_was_changed_or_not_signed_is_refused(repository: Path, tmp_path: Path) -> None:
    release = repository / "dists/trixie/InRelease"
    signed = release.read_text()
    release.write_text(signed.replace("Label: emotion-edge", "Label: another"))
    done = board(tmp_path / "changed", repository)("update")
    assert "signature" in done.stderr
    assert board(tmp_path / "again", repository)("download", "emotion-edge").returncode != 0
    release.unlink()
    done = board(tmp_path / "unsigned", repository)("update")
    assert "not signed" in done.stderr
    release.write_text(signed)
    assert board(tmp_path / "right", repository)("update").returncode == 0


def test_a_key_of_another_is_refused(repository: Path, tmp_path: Path) -> None:
    apt = board(tmp_path / "board", repository)
    make_key("other@example.org")
    publish(repository, [], "other@example.org", f"file:{repository}")
    ours = subprocess.run(["gpg", "--armor", "--export", "boards@example.org"], capture_output=True, check=True).stdout
    (repository / "emotion-edge.asc").write_bytes(ours)
    assert "NO_PUBKEY" in apt("update").stderr


def test_what_cannot_be_published_is_named(tmp_path: Path, key: str) -> None:
    with pytest.raises(EmotionEdgeError, match="gpg has no key nobody@"):
        publish(tmp_path / "r", [make_package(tmp_path, "1")], "nobody@example.org", "https://example.org")
    (tmp_path / "text.deb").write_text("text")
    with pytest.raises(EmotionEdgeError, match="is no Debian package"):
        publish(tmp_path / "r", [tmp_path / "text.deb"], key, "https://example.org")
    with pytest.raises(EmotionEdgeError, match="is no address"):
        publish(tmp_path / "r", [make_package(tmp_path, "2")], key, "example.org")
    assert "Suites: trixie\n" in source_entry("https://example.org/x", ["trixie"])


def update(apt: Apt, installed: str) -> str:
    """Run the board's update script as if version `installed` ran; returns exit status and output."""
    folder, programs = apt.folder, apt.folder / "bin"
    if not programs.exists():
        shutil.copytree(ROOT / "deploy/boards/files", folder / "shared")
        programs.mkdir()
        for name, script in {
            "dpkg-query": f'cat "{folder}/installed"',
            "systemctl": f'echo "$*" >>"{folder}/calls"',
            "sync": "true",
        }.items():
            (programs / name).write_text(f"#!/bin/sh\n{script}\n")
            (programs / name).chmod(0o755)
    (folder / "installed").write_text(installed)
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "APT_CONFIG": str(folder / "apt.conf"),
        "LC_ALL": "C.UTF-8",
        "EMOTION_DEPLOY_HOME": str(folder / "home"),
        "EMOTION_EDGE_SOURCE": str(folder / "sources/emotion-edge.sources"),
        "EMOTION_EDGE_SHARED": str(folder / "shared"),
        "UNITS": str(folder),
    }
    words = ["sh", str(ROOT / "systemd/update")]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return f"{done.returncode} {done.stdout}{done.stderr}"


def test_a_board_updates_itself_and_keeps_the_way_back(repository: Path, tmp_path: Path) -> None:
    apt = board(tmp_path / "board", repository)
    home = apt.folder / "home"
    assert update(apt, "1.0").startswith("0 ")
    assert list((home / "incoming").glob("emotion-edge_1.1_*.deb"))
    assert (home / "incoming/ready").read_text() == "180\n"
    assert (home / "newest-version").read_text() == "1.1\n"
    assert [path.name for path in (home / "current").iterdir()] == ["emotion-edge_1.0_arm64.deb"]
    assert (home / "upgrade").read_bytes() == (ROOT / "deploy/boards/files/upgrade").read_bytes()
    assert "start emotion-edge-upgrade.service" in (apt.folder / "calls").read_text()
    assert "an upgrade is already running" in update(apt, "1.0")


def test_a_version_that_was_undone_is_not_taken_again_but_a_later_one_is(
    repository: Path, tmp_path: Path, key: str
) -> None:
    apt = board(tmp_path / "board", repository)
    home = apt.folder / "home"
    assert "no newer version than 1.1" in update(apt, "1.1")
    home.mkdir(exist_ok=True)
    (home / "undone").write_text("1.1\n")
    assert "1.1 did not become healthy on this board before" in update(apt, "1.0")
    assert not (home / "incoming").exists()
    publish(repository, [make_package(tmp_path, "1.2")], key, f"file:{repository}")
    assert update(apt, "1.0").startswith("0 ")
    assert (home / "incoming/ready").exists()


def test_a_tampered_package_is_never_installed(repository: Path, tmp_path: Path) -> None:
    apt = board(tmp_path / "board", repository)
    package = repository / "pool/trixie/emotion-edge_1.1_arm64.deb"
    package.write_bytes(package.read_bytes()[:-1] + b"x")
    assert not update(apt, "1.0").startswith("0 ")
    assert not (apt.folder / "home/incoming/ready").exists()
    assert not (apt.folder / "calls").exists()
