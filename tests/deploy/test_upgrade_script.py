"""The scripts on a board, files/upgrade and files/first-boot, with stand-ins for dpkg, apt and systemctl.

`make board` runs them on a whole machine.
"""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT

CONFIG = "etc/emotion-edge/config.yaml"

STAND_INS = {
    # Stand-in packages are text files that contain their version; `installed` contains the installed one.
    "dpkg-query": """
        [ -s "$BOARD/installed" ] || exit 1
        case "$*" in *Version*) echo "installed $(cat "$BOARD/installed")";; esac
        """,
    "dpkg-deb": 'cat "$2"',
    "dpkg": "true",
    "apt-get": """
        for word; do case "$word" in *.deb) package=$word;; esac; done
        [ -n "${package:-}" ] || exit 0
        version=$(cat "$package")
        case "$version" in *uninstallable*) echo "E: broken"; exit 100;; esac
        echo "$version" >"$BOARD/installed"
        cat "$BOARD/status-of-$version" >"$BOARD/run/emotion-edge/status.json" 2>/dev/null ||
            rm -f "$BOARD/run/emotion-edge/status.json"
        """,
    "apt-cache": "true",
    "systemctl": """
        case "$*" in
        *is-active*) case "$(cat "$BOARD/installed")" in *crashing*) exit 3;; esac;;
        *MainPID*) echo 42;;
        *NRestarts*) case "$(cat "$BOARD/installed")" in *crashing*) echo 3;; *) echo 0;; esac;;
        restart*) echo restart >>"$BOARD/restarts";;
        esac
        exit 0
        """,
    "journalctl": "true",
    "sync": "true",
    "getent": "exit 2",
}


@dataclass(frozen=True)
class Board:
    """The files of an imitated board, below `root`."""

    root: Path

    @property
    def home(self) -> Path:
        return self.root / "var/lib/emotion-deploy"

    def status(self, version: str, **status: object) -> None:
        """Set what the daemon of a version writes into its status file."""
        (self.root / f"status-of-{version}").write_text(json.dumps({"watching": True, "broker": None} | status))

    def keep(self, folder: str, version: str) -> Path:
        (self.home / folder).mkdir(parents=True, exist_ok=True)
        (self.home / folder / f"emotion-edge_{version}_arm64.deb").write_text(version)
        return self.home / folder

    def install(self, version: str) -> None:
        """Set up the board as if this version ran and its package were kept."""
        self.keep("current", version)
        (self.root / "installed").write_text(version)
        status = self.root / f"status-of-{version}"
        if status.exists():
            (self.root / "run/emotion-edge/status.json").write_text(status.read_text())

    def upgrade(self, version: str, config: str = "", files: dict[str, str] | None = None) -> str:
        """Push a version; returns the content of the result file."""
        incoming = self.keep("incoming", version)
        (incoming / "ready").write_text("2\n")
        if config:
            (incoming / "config.yaml").write_text(config)
        for path, text in (files or {}).items():
            (incoming / f"files{path}").parent.mkdir(parents=True, exist_ok=True)
            (incoming / f"files{path}").write_text(text)
        environment = {
            **os.environ,
            "PATH": f"{self.root}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "BOARD": str(self.root),
            "EMOTION_DEPLOY_HOME": str(self.home),
            "EMOTION_DEPLOY_ROOT": str(self.root),
            "STABLE_SECONDS": "0",
            "POLL_SECONDS": "0.1",
        }
        script = ROOT / "deploy/boards/files/upgrade"
        done = subprocess.run(["sh", script], env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.stderr == ""
        return (self.home / "result").read_text().strip()

    def installed(self) -> str:
        return (self.root / "installed").read_text().strip()


@pytest.fixture
def board(tmp_path: Path) -> Board:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, script in STAND_INS.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    (tmp_path / "run/emotion-edge").mkdir(parents=True)
    (tmp_path / "etc/emotion-edge").mkdir(parents=True)
    return Board(tmp_path)


def test_an_unpacking_that_was_interrupted_is_finished(board: Board) -> None:
    board.install("1")
    board.status("2")
    state = board.root / "dpkg-state"
    state.write_text("half-installed reinstreq")
    for name, script in {
        # Imitates the real behaviour: apt cannot reinstall a version that is unpacked, but not configured.
        "dpkg-query": """
            case "$*" in
            *Version*) echo "installed $(cat "$BOARD/installed")";;
            *emotion-edge) cat "$BOARD/dpkg-state";;
            esac
            """,
        "dpkg": """
            case "$1 $(cat "$BOARD/dpkg-state")" in
            --unpack*) echo unpacked >"$BOARD/dpkg-state";;
            --configure*unpacked) echo installed >"$BOARD/dpkg-state";;
            esac
            """,
        "apt-get": """
            case "$* $(cat "$BOARD/dpkg-state")" in
            *--reinstall*unpacked) echo "E: Internal Error, No file name"; exit 100;;
            esac
            """
        + STAND_INS["apt-get"],
    }.items():
        (board.root / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
    assert board.upgrade("2") == "ok 2"


def test_a_first_installation_brings_settings_and_files(board: Board) -> None:
    board.status("1", fps=9.5, broker="connected")
    files = {"/etc/emotion-edge/ca.pem": "a certificate", "/srv/emotion-edge/mine/card.json": "{}"}
    assert board.upgrade("1", "mqtt: {host: b}\n", files) == "ok 1"
    assert (board.root / CONFIG).read_text() == "mqtt: {host: b}\n"
    assert (board.root / "etc/emotion-edge/ca.pem").read_text() == "a certificate"
    assert (board.root / "srv/emotion-edge/mine/card.json").read_text() == "{}"
    assert (board.root / CONFIG).stat().st_mode & 0o077 == 0
    # The folder of packages must not keep a copy of a secret.
    assert sorted(path.name for path in (board.home / "current").rglob("*")) == [
        *("before", "emotion-edge_1_arm64.deb", "ready", "required", "saved", "tries"),
    ]


def test_a_first_installation_without_its_camera_is_kept_and_says_so(board: Board) -> None:
    board.status("1", fps=0)
    assert board.upgrade("1") == "ok 1, but no frames are analysed (is the camera there?)"
    assert board.installed() == "1"


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ({"fps": 0, "broker": "connected"}, "no frames are analysed (is the camera there?)"),
        ({"fps": 9.0, "broker": "not connected"}, "the broker is not connected"),
    ],
)
def test_a_version_that_no_longer_does_its_work_is_rolled_back(
    status: dict[str, object], reason: str, board: Board
) -> None:
    board.status("1", fps=9.5, broker="connected")
    board.status("2", **status)
    board.install("1")
    assert board.upgrade("2") == f"rolled-back 1: {reason}"
    assert board.installed() == "1"
    assert not list((board.home / "rejected").glob("*.deb"))
    assert (board.home / "undone").read_text().strip() == "2"


@pytest.mark.parametrize("version", ["2-crashing", "2-uninstallable"])
def test_a_version_that_does_not_run_is_rolled_back_with_its_settings(version: str, board: Board) -> None:
    board.status("1", fps=9.5)
    board.install("1")
    (board.root / CONFIG).write_text("mqtt: {host: old}\n")
    (board.root / "etc/emotion-edge/ca.pem").write_text("old")
    files = {"/etc/emotion-edge/ca.pem": "new", "/etc/emotion-edge/other.pem": "new"}
    assert board.upgrade(version, "mqtt: {host: new}\n", files).startswith("rolled-back 1: ")
    assert board.installed() == "1"
    assert (board.root / CONFIG).read_text() == "mqtt: {host: old}\n"
    assert (board.root / "etc/emotion-edge/ca.pem").read_text() == "old"
    assert not (board.root / "etc/emotion-edge/other.pem").exists()
    assert not [path for path in (board.home / "rejected").rglob("*") if path.suffix in (".yaml", ".pem")]


def test_settings_alone_are_pushed_without_installing_the_version_again(board: Board) -> None:
    board.status("1", fps=5)
    board.install("1")
    (board.root / CONFIG).write_text("old")
    (board.root / "status-of-1").unlink()  # an installation would remove the daemon's status
    (board.root / "bin/dpkg").write_text('#!/bin/sh\n[ "$1" != -V ] || echo "missing /usr/share/doc/emotion-edge"\n')
    assert board.upgrade("1", config="new") == "ok 1"
    assert (board.root / CONFIG).read_text() == "new"
    assert (board.root / "restarts").read_text() == "restart\n"
    assert (board.root / "run/emotion-edge/status.json").exists()
    assert "1 is installed already" in (board.home / "progress").read_text()
    assert [path.name for path in (board.home / "current").glob("*.deb")] == ["emotion-edge_1_arm64.deb"]


def test_settings_that_do_not_work_are_undone_without_an_installation(board: Board) -> None:
    board.status("1", fps=0, broker="it refuses the login")
    board.install("1")
    (board.root / CONFIG).write_text("old")
    (board.root / "bin/apt-get").write_text('#!/bin/sh\necho "E: not asked for"; exit 100\n')
    (board.home / "incoming").mkdir(exist_ok=True)
    (board.home / "incoming/required").write_text("frames broker\n")
    result = board.upgrade("1", config="new")
    assert result == "rolled-back 1: no frames are analysed (is the camera there?), and the broker is not connected"
    assert (board.root / CONFIG).read_text() == "old"
    assert not (board.home / "undone").exists()
    assert "E: not asked for" not in (board.home / "progress").read_text()


def test_a_version_with_damaged_files_is_installed_again(board: Board) -> None:
    board.status("1", fps=5)
    board.install("1")
    (board.root / "bin/dpkg").write_text('#!/bin/sh\n[ "$1" = -V ] && echo "missing /opt/emotion-edge/bin/python"\n')
    assert board.upgrade("1") == "ok 1"
    assert "installing 1 over 1" in (board.home / "progress").read_text()


def test_a_camera_that_was_unplugged_before_does_not_stop_an_upgrade(board: Board) -> None:
    board.status("1", fps=0, broker="connected")
    board.status("2", fps=0, broker="connected")
    board.install("1")
    assert board.upgrade("2") == "ok 2"
    assert (board.home / "previous/emotion-edge_1_arm64.deb").is_file()
    assert (board.home / "current/emotion-edge_2_arm64.deb").is_file()


def test_paused_analysis_is_healthy(board: Board) -> None:
    board.status("1", fps=9.5)
    board.status("2", fps=0, watching=False)
    board.install("1")
    assert board.upgrade("2") == "ok 2"


def test_without_an_earlier_package_the_new_one_is_kept_for_a_repair(board: Board) -> None:
    result = board.upgrade("1-crashing")
    assert result.startswith("failed: the service did not become healthy, and there is no earlier package")
    assert (board.home / "rejected/emotion-edge_1-crashing_arm64.deb").is_file()


@dataclass(frozen=True)
class Card:
    """The boot partition of a card, and the root of the board that it is in."""

    root: Path

    def run(self, step: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "PATH": f"{self.root}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "BOARD": str(self.root),
            "CARD": str(self.root / "boot"),
            "HOME_FOLDER": str(self.root / "home"),
            "UNITS": str(self.root / "units"),
            "ETC": str(self.root / "etc"),
            "FINISHED": str(self.root / "boot-finished"),
        }
        words = ["sh", str(self.root / "boot/emotion-edge/first-boot"), step]
        return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def card(tmp_path: Path) -> Card:
    programs, own = tmp_path / "bin", tmp_path / "boot/emotion-edge"
    for folder in (programs, own / "packages", own / "apt", own / "files/etc/emotion-edge", tmp_path / "units"):
        folder.mkdir(parents=True)
    for name in ("systemctl", "raspi-config", "rfkill", "nmcli", "usermod"):
        (programs / name).write_text(f'#!/bin/sh\necho "{name} $*" >>"$BOARD/calls"\n')
    (programs / "getent").write_text(
        '#!/bin/sh\n[ "$2" = missing ] && exit 2\necho "$2:x:1000:1000::/tmp:/usr/sbin/nologin"\n'
    )
    (programs / "sync").write_text("#!/bin/sh\n")
    for program in programs.iterdir():
        program.chmod(0o755)
    for name in ("first-boot", "emotion-edge-first-boot.service"):
        (own / name).write_text((ROOT / "deploy/image/files" / name).read_text())
    for name in ("upgrade", "emotion-edge-upgrade.service"):
        (own / name).write_text((ROOT / "deploy/boards/files" / name).read_text())
    texts = {
        "user-data": "hash",
        "network-config": "psk",
        "emotion-edge/id": "one",
        "emotion-edge/config.yaml": "mqtt-secret",
        "emotion-edge/start-timeout": "300",
        "emotion-edge/user": "pi sudo,missing,video",
        "emotion-edge/wifi-country": "DE",
        "emotion-edge/packages/emotion-edge_1_arm64.deb": "1",
        "emotion-edge/files/etc/emotion-edge/key.pem": "key-secret",
        "emotion-edge/apt/emotion-edge.asc": "public key",
        "emotion-edge/apt/emotion-edge.sources": "Types: deb",
    }
    for name, text in texts.items():
        (tmp_path / "boot" / name).write_text(f"{text}\n")
    return Card(tmp_path)


def test_the_first_boot_copies_the_card_and_lets_its_user_log_in(card: Card) -> None:
    card.run("begin")
    incoming = card.root / "home/incoming"
    assert (incoming / "config.yaml").read_text() == "mqtt-secret\n"
    assert (incoming / "files/etc/emotion-edge/key.pem").read_text() == "key-secret\n"
    assert (incoming / "ready").read_text() == "300\n"
    assert incoming.stat().st_mode & 0o077 == 0
    calls = (card.root / "calls").read_text()
    assert "usermod -s /bin/bash -e  pi" in calls
    assert "usermod -aG video pi" in calls
    assert "missing" not in calls
    assert "raspi-config nonint do_wifi_country DE" in calls
    assert (card.root / "etc/apt/keyrings/emotion-edge.asc").read_text() == "public key\n"
    assert (card.root / "etc/apt/sources.list.d/emotion-edge.sources").read_text() == "Types: deb\n"
    assert (card.root / "units/timers.target.wants/emotion-edge-update.timer").is_symlink()


def test_secrets_leave_the_card_though_the_installation_failed(card: Card) -> None:
    card.run("begin")
    card.run("end")
    assert (card.root / "boot/user-data").read_text() == "hash\n"  # cloud-init still needs it
    (card.root / "boot-finished").touch()
    (card.root / "home/result").write_text("failed: it could not be installed\n")
    card.run("end")
    left = {str(path.relative_to(card.root / "boot")) for path in (card.root / "boot").rglob("*")}
    assert left == {"user-data", "network-config"}
    assert not any(word in path.read_text() for path in (card.root / "boot").iterdir() for word in ("hash", "psk"))


def test_secrets_stay_on_the_card_until_they_are_copied(card: Card) -> None:
    (card.root / "boot-finished").touch()
    card.run("end")
    assert (card.root / "boot/emotion-edge/config.yaml").read_text() == "mqtt-secret\n"
