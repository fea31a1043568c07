"""Boards over SSH, with a real sshd on the loopback: pushes that are refused before anything is changed.

`make board` tests on a whole machine that a push installs, upgrades and rolls back.
"""

import getpass
import hashlib
import io
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from deploy import cli
from deploy.boards import push
from deploy.boards.facts import gather_facts
from deploy.boards.inventory import Host, choose_hosts, read_inventory
from deploy.boards.push import Packages, doctor_findings, read_package
from deploy.boards.rollout import Plan, roll_out
from deploy.boards.ssh import Connection, quoted
from deploy.boards.status import status
from edge.errors import EmotionEdgeError
from tests.support.daemon import free_port, wait_until

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
needs_sshd = pytest.mark.skipif(not SSHD, reason="openssh-server is not installed")
needs_dpkg = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="dpkg is not here")


@dataclass(frozen=True)
class Sshd:
    """An SSH server that admits this user with `key`. known: known-hosts file with the server's key."""

    port: int
    key: Path
    known: Path

    @property
    def host(self) -> Host:
        return Host("loopback", f"{getpass.getuser()}@127.0.0.1", self.port)

    def options(self, known: Path | None = None, key: Path | None = None) -> tuple[str, ...]:
        return (
            f"UserKnownHostsFile={known or self.known}",
            "GlobalKnownHostsFile=/dev/null",
            f"IdentityFile={key or self.key}",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
        )


def make_key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    assert SSHD
    folder = tmp_path_factory.mktemp("sshd")
    host_key, key = make_key(folder / "host"), make_key(folder / "user")
    (folder / "authorized").write_text(key.with_suffix(".pub").read_text())
    port = free_port()
    (folder / "config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {host_key}\nAuthorizedKeysFile {folder}/authorized\nStrictModes no\n"
        f"PidFile none\nUsePAM no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n"
        f"KbdInteractiveAuthentication no\n"
    )
    (folder / "known").write_text(f"[127.0.0.1]:{port} {host_key.with_suffix('.pub').read_text()}")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "config")], stderr=log)

        def answers() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", port)) == 0

        try:
            wait_until(answers, "sshd answers")
            yield Sshd(port, key, folder / "known")
        finally:
            process.terminate()
            process.wait()


def make_package(folder: Path, arch: str, python: str, installed_kib: int = 10, name: str = "emotion-edge") -> Path:
    tree = folder / f"{name}-{arch}-{python}"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: 1.2.3\nArchitecture: {arch}\nMaintainer: Test <test@example.org>\n"
        f"Installed-Size: {installed_kib}\nDepends: python3 (>= {python}~)\nDescription: for a test\n"
    )
    package = tree.with_name(f"{tree.name}.deb")
    subprocess.run(["dpkg-deb", "-Znone", "-b", str(tree), str(package)], check=True, stdout=subprocess.DEVNULL)
    return package


def here() -> tuple[str, str, str]:
    """Return this machine's architecture, Debian release and its Python; skips the test on another system."""
    arch = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()
    release = Path("/etc/os-release").read_text()
    pythons = {"bookworm": "3.11", "trixie": "3.13"}
    suite = next((suite for suite in pythons if f"VERSION_CODENAME={suite}" in release), None)
    if suite is None:
        pytest.skip("this machine runs neither bookworm nor trixie")
    return arch, suite, pythons[suite]


@needs_sshd
def test_a_file_arrives_as_it_is_and_its_way_is_percents(sshd: Sshd, tmp_path: Path) -> None:
    content, target = os.urandom(3_000_000), tmp_path / "it's there"
    percents: list[int] = []
    with Connection(sshd.host, sshd.options()) as connection:
        connection.send(io.BytesIO(content), len(content), f"cat > {quoted(target)}", percents.append)
        assert connection.run(f"sha256sum < {quoted(target)}").split()[0] == hashlib.sha256(content).hexdigest()
        assert connection.status("echo out; echo err >&2; exit 3") == (3, "out\nerr\n")
        with pytest.raises(EmotionEdgeError, match="No space left on device"):
            connection.send(io.BytesIO(content), len(content), "cat > /dev/full", percents.append)
    assert percents[:1] < [50]
    assert 100 in percents


@needs_sshd
def test_each_reason_for_no_connection_is_percents_apart(sshd: Sshd, tmp_path: Path) -> None:
    def refusal(host: Host, options: tuple[str, ...]) -> str:
        with Connection(host, options) as connection, pytest.raises(EmotionEdgeError) as caught:
            connection.run("true")
        return str(caught.value)

    unknown = refusal(sshd.host, sshd.options(known=tmp_path / "none"))
    assert "its host key is not known here" in unknown
    assert f"ssh -p {sshd.port} " in unknown
    other = tmp_path / "other"
    other.write_text(f"[127.0.0.1]:{sshd.port} {make_key(tmp_path / 'key').with_suffix('.pub').read_text()}")
    wrong = refusal(sshd.host, sshd.options(known=other))
    assert "its host key has changed" in wrong
    assert f"ssh-keygen -R '[127.0.0.1]:{sshd.port}'" in wrong
    assert "accepts none of the keys here" in refusal(sshd.host, sshd.options(key=make_key(tmp_path / "stranger")))
    gone = Host("gone", "127.0.0.1", free_port())
    assert "cannot be reached" in refusal(gone, sshd.options())
    assert "cannot be reached" in refusal(Host("nowhere", "no-such-board.invalid"), sshd.options())


@needs_sshd
@needs_dpkg
def test_a_package_that_does_not_fit_the_board_is_refused(
    sshd: Sshd, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arch, suite, python = here()
    other_python = "3.11" if suite == "trixie" else "3.13"
    petabyte = 1 << 40
    for package, why in (
        (make_package(tmp_path, "armhf", python), f"is {arch}, and "),
        (
            make_package(tmp_path, arch, other_python),
            f"runs {suite}, and emotion-edge-{arch}-{other_python}.deb is for",
        ),
        (make_package(tmp_path, arch, python, petabyte), "/opt has "),
    ):
        assert not roll_out([sshd.host], package, Plan(start_timeout=30), sshd.options())
        said = capsys.readouterr().out
        assert why in said
        assert "failed" in said
        assert "sending" not in said


@needs_sshd
@needs_dpkg
def test_a_board_says_what_it_is(sshd: Sshd) -> None:
    arch, suite, _ = here()
    with Connection(sshd.host, sshd.options()) as connection:
        board = gather_facts(connection)
    assert (board.arch, board.suite) == (arch, suite)
    free = os.statvfs("/opt")
    assert board.opt == pytest.approx(free.f_bavail * free.f_frsize / 1024, rel=0.2)


@needs_sshd
@needs_dpkg
def test_settings_that_do_not_check_stop_all_before_any_board_is_asked(sshd: Sshd, tmp_path: Path) -> None:
    config = tmp_path / "kitchen.yaml"
    config.write_text("mqtt: {hots: broker}\n")
    unreachable = Host("kitchen", "127.0.0.1", free_port(), config)
    with pytest.raises(EmotionEdgeError, match=r"kitchen\.yaml: mqtt\.hots is not a setting"):
        roll_out(
            [sshd.host, unreachable], make_package(tmp_path, "arm64", "3.13"), Plan(start_timeout=30), sshd.options()
        )


@needs_sshd
@needs_dpkg
def test_one_board_that_is_away_does_not_hold_up_the_others(
    sshd: Sshd, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    away = Host("away", "127.0.0.1", free_port())
    package = make_package(tmp_path, "armhf", "3.13")
    assert not roll_out([away, sshd.host], package, Plan(start_timeout=30), sshd.options())
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("away ") and "cannot be reached" in line for line in lines)
    assert any(line.startswith("loopback ") and "armhf" in line for line in lines)


@needs_sshd
@needs_dpkg
def test_status_as_json_has_every_board_in_the_order_asked_for(sshd: Sshd, capsys: pytest.CaptureFixture[str]) -> None:
    away = Host("away", "127.0.0.1", free_port())
    assert not status([away, sshd.host], True, sshd.options())
    first, second = json.loads(capsys.readouterr().out)
    assert (first["board"], first["healthy"]) == ("away", False)
    assert "cannot be reached" in first["error"]
    assert (second["board"], second["arch"], second["suite"]) == ("loopback", *here()[:2])
    assert second["uptime"] > 0
    assert second["model"] is None or second["service"] == "active"


@needs_sshd
@needs_dpkg
def test_status_has_a_line_for_each_board_in_the_order_asked_for(
    sshd: Sshd, capsys: pytest.CaptureFixture[str]
) -> None:
    away = Host("away", "127.0.0.1", free_port())
    status([sshd.host, away], False, sshd.options())  # the first takes longer
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("loopback  ")
    assert " GiB free" in first
    assert second.startswith("away      failed: cannot be reached")


def test_after_a_push_only_what_is_not_well_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of twenty boards, a dozen lines each would hide it."""
    lines = [
        "emotion-edge: checked with the rights of the service's user, emotion-edge",
        "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.",
        "ok     models       emotion-small",
        "note   record       off (record.enabled)",
        "note   clock        not synchronised",
        "fault  broker       it refuses the login",
        "Traceback (most recent call last):",
    ]
    monkeypatch.setattr(Connection, "status", lambda *_: (1, "\n".join(lines)))
    assert doctor_findings(Connection(Host("kitchen", "kitchen.lan"))) == [
        *lines[5:],
        "notes on record, clock (there: sudo emotion-edge doctor)",
    ]


def test_a_package_that_cannot_be_built_is_tried_once_for_all_boards(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def build(suite: str, _out: Path, arch: str) -> Path:
        tries.append((suite, arch))
        raise EmotionEdgeError("package: no room")

    monkeypatch.setattr(push, "build", build)
    monkeypatch.setattr(push, "Connection", lambda *_: nullcontext())
    monkeypatch.setattr(push, "gather_facts", lambda _: SimpleNamespace(suite="trixie", arch="arm64"))
    packages = Packages(None)
    for name in ("kitchen", "hall"):
        with pytest.raises(EmotionEdgeError, match="no room"):
            packages.of(Host(name, f"{name}.lan"), ())
    assert tries == [("trixie", "arm64")]


@needs_dpkg
def test_another_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmotionEdgeError, match="is the package sl, not emotion-edge"):
        read_package(make_package(tmp_path, "arm64", "3.13", name="sl"))


@needs_dpkg
def test_a_renamed_package_is_kept_on_a_board_under_its_own_name(tmp_path: Path) -> None:
    """The board looks for emotion-edge_*.deb when it goes back."""
    package = make_package(tmp_path, "arm64", "3.13").rename(tmp_path / "to try.deb")
    assert read_package(package).name == "emotion-edge_1.2.3_arm64.deb"


def test_boards_are_those_of_the_inventory_or_the_ones_named(tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yaml"
    inventory.write_text(
        "boards:\n  kitchen: {host: pi@kitchen.lan, port: 2222, config: k.yaml}\n  hall: pi@10.0.0.7\n"
    )
    kitchen = Host("kitchen", "pi@kitchen.lan", 2222, tmp_path / "k.yaml")
    hall = Host("hall", "pi@10.0.0.7")
    assert read_inventory(inventory) == [kitchen, hall]
    assert choose_hosts([], inventory) == [kitchen, hall]
    assert choose_hosts(["hall"], inventory) == [hall]
    with pytest.raises(EmotionEdgeError, match="did you mean kitchen"):
        choose_hosts(["kitchn"], inventory)
    assert choose_hosts(["pi@attic.lan"], None) == [Host("pi@attic.lan", "pi@attic.lan")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kitchen: {host: pi@kitchen.lan}\n", "must hold `boards:`"),
        ("boards: {kitchen: {hots: pi@kitchen.lan}}\n", r"kitchen.hots is not known \(did you mean host\?\)$"),
        ("boards: {kitchen: {port: 22}}\n", "kitchen.host: is missing$"),
        ("boards: {kitchen: }\n", r"kitchen: must be \[user@\]host, or a section"),
        ("boards: {kitchen: {host: a, port: ssh}}\n", "kitchen.port: must be a whole number$"),
        ("boards: {kitchen: {host: a, groups: test}}\n", r"kitchen.groups: must be a list, such as \[test\]$"),
        ("boards: {kitchen: {host: a, files: ca.pem}}\n", "kitchen.files: must be a section"),
        ("boards: {kitchen: {host: '-oProxyCommand=rm'}}\n", "kitchen.host"),
        ("boards: {kitchen: {host: a, port: 70000}}\n", "kitchen.port"),
        ("boards: {kitchen: a, hall: b, kitchen: c}\n", "kitchen is there twice"),
        ("boards: {kitchen: pi@a, hall: pi@a}\n", "kitchen and hall are the same board"),
        ("boards: {kitchen: @a}\n", "is no YAML in line 1"),
    ],
)
def test_an_inventory_that_is_wrong_says_where(text: str, message: str, tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yaml"
    inventory.write_text(text)
    with pytest.raises(EmotionEdgeError, match=message):
        read_inventory(inventory)


def test_a_mistyped_board_of_the_folders_inventory_is_not_taken_for_an_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hosts.yaml").write_text("boards: {kitchen: pi@kitchen.lan, hall: pi@hall.lan}\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EmotionEdgeError, match=r"kitchn is not in it \(did you mean kitchen\?\)"):
        choose_hosts(["kitchn"], None)
    assert choose_hosts(["attic", "pi@kitchn"], None) == [Host("attic", "attic"), Host("pi@kitchn", "pi@kitchn")]


def test_without_a_board_the_command_says_how_to_name_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["status"]) == 2
    assert "which board?" in capsys.readouterr().err
