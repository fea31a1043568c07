"""A package onto boards over SSH: looked at first, sent, installed there by a unit that can undo it, and watched.

What could go wrong half-way is the board's own business (push_files/upgrade): it finishes or undoes an upgrade even
when the connection or the power goes.
"""

import hashlib
import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.image import package_fields, suite_of
from deploy.image_site import check_settings
from deploy.package import build
from deploy.push_each import Said, each
from deploy.push_hosts import Host
from deploy.push_ssh import Connection, quoted
from edge.config.yaml_file import read_yaml
from edge.errors import EmotionEdgeError

_log = logging.getLogger(__name__)

HOME: Final = "/var/lib/emotion-deploy"
UNIT: Final = "emotion-edge-upgrade.service"
PATIENCE: Final = 180
"""Seconds that a service is given to become healthy."""

_SURVEY: Final = f"""
echo arch=$(dpkg --print-architecture)
. /etc/os-release; echo suite=$VERSION_CODENAME
dpkg-query -W -f='${{db:Status-Status}}=${{Version}}\n' emotion-edge 2>/dev/null | grep ^installed=
for package in {HOME}/current/emotion-edge_*.deb
do [ -e "$package" ] && echo kept=$(dpkg-deb -f "$package" Version); done
echo opt=$(df -Pk /opt | awk 'NR==2 {{print $4}}')
echo var=$(df -Pk /var/lib | awk 'NR==2 {{print $4}}')
echo service=$(systemctl is-active emotion-edge.service)
echo busy=$(systemctl is-active {UNIT})
sudo -n true 2>/dev/null && echo sudo=yes
exit 0
"""


@dataclass(frozen=True)
class Board:
    """What a board says of itself. Room in KiB. kept: the version whose package is kept there for going back."""

    arch: str
    suite: str
    installed: str
    kept: str
    opt: int
    var: int
    service: str
    busy: str
    may: bool


@dataclass(frozen=True)
class Package:
    """What is to be installed. size, unpacked: KiB."""

    path: Path
    version: str
    arch: str
    suite: str
    size: int
    unpacked: int


def read_package(path: Path) -> Package:
    """A package by its own fields. Raises EmotionEdgeError where it is not one of emotion-edge."""
    fields = package_fields(path)
    if fields.get("Package") != "emotion-edge":
        raise EmotionEdgeError(f"{path}: is the package {fields.get('Package')}, not emotion-edge")
    size = path.stat().st_size // 1024
    unpacked = int(fields.get("Installed-Size", size))
    return Package(path, fields["Version"], fields["Architecture"], suite_of(fields), size, unpacked)


def survey(connection: Connection) -> Board:
    """Ask a board what it is; nothing is changed there."""
    lines = connection.run("sh -s", _SURVEY).splitlines()
    said = dict(line.split("=", 1) for line in lines if "=" in line)
    return Board(
        said.get("arch", ""),
        said.get("suite", ""),
        said.get("installed", ""),
        said.get("kept", ""),
        int(said.get("opt") or 0),
        int(said.get("var") or 0),
        said.get("service", ""),
        said.get("busy", ""),
        said.get("sudo") == "yes",
    )


def check_board(board: Board, package: Package) -> None:
    """Raise EmotionEdgeError where the package cannot be installed there."""
    if not board.arch:
        raise EmotionEdgeError("is no Debian or Raspberry Pi OS: it has no dpkg")
    if board.arch != package.arch:
        raise EmotionEdgeError(f"is {board.arch}, and {package.path.name} is for {package.arch}")
    if package.suite and board.suite != package.suite:
        raise EmotionEdgeError(f"runs {board.suite}, and {package.path.name} is for {package.suite}")
    # The package stays for going back; unpacking needs the room of the new files beside the old ones, and bytecode.
    wanted = {"/var/lib": (package.size, board.var), "/opt": (package.unpacked * 3 // 2, board.opt)}
    for place, (needed, free) in wanted.items():
        if needed + 10_240 > free:
            raise EmotionEdgeError(
                f"too little room in {place}: {(needed + 10_240) / 1024:.0f} MiB are needed, {free / 1024:.0f} MiB free"
            )
    if not board.may:
        raise EmotionEdgeError("this user may not use sudo without a password there (sudo visudo: NOPASSWD)")
    if board.busy in ("active", "activating"):
        raise EmotionEdgeError("is being upgraded already (emotion-deploy status)")


def push(host: Host, package: Package, patience: int, said: Said, options: tuple[str, ...] = ()) -> bool:
    """Install or upgrade one board; whether the new version runs there. said: is told of each step.

    Raises EmotionEdgeError before anything is changed, or where the connection is lost.
    """
    with Connection(host, options) as connection:
        board = survey(connection)
        check_board(board, package)
        if board.installed and board.kept != board.installed:
            said(f"the package of {board.installed} is not kept there: it could not go back")
        _send(connection, host, package, said)
        connection.run(
            f"sudo -n sh -ec 'cd {HOME}; rm -f progress result; sync; echo {patience} > incoming/ready; sync; "
            f"systemctl daemon-reload; systemctl enable -q {UNIT}; systemctl start --no-block {UNIT}'"
        )
        verdict = _watch(connection, said)
        if verdict.startswith("ok"):
            for line in _doctor(connection):
                said(f"  {line}")
        said(verdict)
        return verdict.startswith("ok")


def _send(connection: Connection, host: Host, package: Package, said: Said) -> None:
    here = Path(__file__).parent / "push_files"
    begin = f"sudo -n sh -ec 'mkdir -p {HOME}; cd {HOME}; rm -rf incoming; mkdir incoming; rm -rf rejected'"
    connection.run(begin)
    for name, target in (("upgrade", f"{HOME}/upgrade"), (UNIT, f"/etc/systemd/system/{UNIT}")):
        connection.run(f"sudo -n tee {target} >/dev/null", (here / name).read_text())
    if host.config:
        text = host.config.read_text(encoding="utf-8")
        connection.run(f"sudo -n sh -ec 'umask 077; cat > {HOME}/incoming/config.yaml'", text)
    target = quoted(f"{HOME}/incoming/{package.path.name}")
    with package.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        megabytes = package.size / 1024
        connection.send(
            file,
            package.path.stat().st_size,
            f"sudo -n tee {target} >/dev/null",
            lambda percent: said(f"sending {megabytes:.0f} MB: {percent} %"),
        )
    if connection.run(f"sha256sum {target}").split()[0] != digest:
        raise EmotionEdgeError("the package did not arrive whole: try again")


def _watch(connection: Connection, said: Said) -> str:
    """Say each line of the board's progress; its verdict."""
    shown = 0
    while True:
        text = connection.run(
            f"cat {HOME}/progress 2>/dev/null; echo; echo =; cat {HOME}/result 2>/dev/null; "
            f"echo =$(systemctl is-active {UNIT})"
        )
        progress, _, rest = text.partition("\n=\n")
        verdict, _, state = rest.rpartition("=")
        lines = [line for line in progress.splitlines() if line.strip()]
        fresh, shown = lines[shown:], len(lines)
        for line in fresh:
            if line.strip() != verdict.strip():
                said(line)
        if verdict.strip():
            return verdict.strip()
        if state.strip() in ("inactive", "failed"):
            return f"failed: the board gave up without a word (emotion-deploy logs {connection.host.name})"
        time.sleep(2)


def _doctor(connection: Connection) -> list[str]:
    """What `emotion-edge doctor` says there, as the service's own user, with the service's settings."""
    _, text = connection.status("sudo -n -u emotion-edge /opt/emotion-edge/bin/emotion-edge doctor")
    return text.splitlines()


def push_all(hosts: list[Host], package: Path | None, patience: int, options: tuple[str, ...] = ()) -> bool:
    """Push to several boards at once: `emotion-deploy push`. Whether all of them run the new version.

    package: None has that of this checkout built, for each board's own release. Raises EmotionEdgeError, before
    anything is changed, for settings that do not check.
    """
    for host in hosts:
        if host.config:
            _check_config(host.config)
    packages = _Packages(package)

    def one(host: Host, said: Said) -> bool:
        return push(host, packages.of(host, options), patience, said, options)

    return each(hosts, one)


class _Packages:
    """The package for each board: the given one, or one built for its release when first asked for."""

    def __init__(self, given: Path | None) -> None:
        self._given = read_package(given) if given else None
        self._built: dict[tuple[str, str], Package] = {}
        self._lock = threading.Lock()

    def of(self, host: Host, options: tuple[str, ...]) -> Package:
        if self._given:
            return self._given
        with Connection(host, options) as connection:
            board = survey(connection)
        with self._lock:
            key = board.suite, board.arch
            if key not in self._built:
                self._built[key] = read_package(build(board.suite, Path("build"), board.arch))
            return self._built[key]


def _check_config(path: Path) -> None:
    tree = read_yaml(path, "settings file") or {}
    if not isinstance(tree, dict):
        raise EmotionEdgeError(f"settings file {path}: must hold sections such as `mqtt:`")
    check_settings(tree, f"settings file {path}")
