"""Install a package on boards over SSH: check the board, send the package, start the upgrade unit, follow its progress.

The board itself (files/upgrade) finishes or undoes an upgrade, also when the connection or the power is lost.
"""

import hashlib
import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.boards.inventory import Host
from deploy.boards.parallel import Report, on_each_board
from deploy.boards.ssh import Connection, quoted
from deploy.daemon_settings import check_settings
from deploy.package.build import build
from deploy.package.deb import package_fields, suite_of
from edge.config.yaml_file import read_yaml
from edge.errors import EmotionEdgeError

_log = logging.getLogger(__name__)

HOME: Final = "/var/lib/emotion-deploy"
UNIT: Final = "emotion-edge-upgrade.service"
START_TIMEOUT: Final = 180
"""Seconds that the service has to become healthy."""

_FACTS: Final = f"""
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
    """Facts of a board.

    kept: version whose package is kept there for a rollback. opt, var: free space below /opt and /var/lib, KiB.
    """

    arch: str
    suite: str
    installed: str
    kept: str
    opt: int
    var: int
    service: str
    busy: str
    can_sudo: bool


@dataclass(frozen=True)
class Package:
    """A package file. size, unpacked: KiB."""

    path: Path
    version: str
    arch: str
    suite: str
    size: int
    unpacked: int


def read_package(path: Path) -> Package:
    """Read a package's control fields. Raises EmotionEdgeError where it is not a package of emotion-edge."""
    fields = package_fields(path)
    if fields.get("Package") != "emotion-edge":
        raise EmotionEdgeError(f"{path}: is the package {fields.get('Package')}, not emotion-edge")
    size = path.stat().st_size // 1024
    unpacked = int(fields.get("Installed-Size", size))
    return Package(path, fields["Version"], fields["Architecture"], suite_of(fields), size, unpacked)


def gather_facts(connection: Connection) -> Board:
    """Read a board's architecture, release, versions and free space; nothing is changed there."""
    lines = connection.run("sh -s", _FACTS).splitlines()
    facts = dict(line.split("=", 1) for line in lines if "=" in line)
    return Board(
        facts.get("arch", ""),
        facts.get("suite", ""),
        facts.get("installed", ""),
        facts.get("kept", ""),
        int(facts.get("opt") or 0),
        int(facts.get("var") or 0),
        facts.get("service", ""),
        facts.get("busy", ""),
        facts.get("sudo") == "yes",
    )


def check_board(board: Board, package: Package) -> None:
    """Raise EmotionEdgeError where the package cannot be installed there."""
    if not board.arch:
        raise EmotionEdgeError("is no Debian or Raspberry Pi OS: it has no dpkg")
    if board.arch != package.arch:
        raise EmotionEdgeError(f"is {board.arch}, and {package.path.name} is for {package.arch}")
    if package.suite and board.suite != package.suite:
        raise EmotionEdgeError(f"runs {board.suite}, and {package.path.name} is for {package.suite}")
    # The package is kept for a rollback; dpkg unpacks the new files beside the old ones, and bytecode is added.
    required = {"/var/lib": (package.size, board.var), "/opt": (package.unpacked * 3 // 2, board.opt)}
    for place, (needed, free) in required.items():
        if needed + 10_240 > free:
            raise EmotionEdgeError(
                f"{place} has {free / 1024:.0f} MiB free, {(needed + 10_240) / 1024:.0f} MiB are needed"
            )
    if not board.can_sudo:
        raise EmotionEdgeError("this user needs sudo without a password there (sudo visudo: NOPASSWD)")
    if board.busy in ("active", "activating"):
        raise EmotionEdgeError("an upgrade is already running there (emotion-deploy status)")


def push(host: Host, package: Package, start_timeout: int, report: Report, options: tuple[str, ...] = ()) -> bool:
    """Install or upgrade one board.

    Args:
        host: the board.
        package: what to install.
        start_timeout: seconds the service has to become healthy before the board rolls back.
        report: called with each line of progress.
        options: of ssh, as after `-o`.

    Returns:
        Whether the new version runs there.

    Raises:
        EmotionEdgeError: before anything is changed, or where the connection is lost.
    """
    with Connection(host, options) as connection:
        board = gather_facts(connection)
        check_board(board, package)
        if board.installed and board.kept != board.installed:
            report(f"the package of {board.installed} is not kept there: a rollback is not possible this time")
        _send(connection, host, package, report)
        connection.run(
            f"sudo -n sh -ec 'cd {HOME}; rm -f progress result; sync; echo {start_timeout} > incoming/ready; sync; "
            f"systemctl daemon-reload; systemctl enable -q {UNIT}; systemctl start --no-block {UNIT}'"
        )
        result = _watch(connection, report)
        if result.startswith("ok"):
            for line in _doctor(connection):
                report(f"  {line}")
        report(result)
        return result.startswith("ok")


def _send(connection: Connection, host: Host, package: Package, report: Report) -> None:
    here = Path(__file__).parent / "files"
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
            lambda percent: report(f"sending {megabytes:.0f} MB: {percent} %"),
        )
    if connection.run(f"sha256sum {target}").split()[0] != digest:
        raise EmotionEdgeError("the package arrived damaged: try again")


def _watch(connection: Connection, report: Report) -> str:
    """Report each new line of the board's progress until the upgrade ends; the result line."""
    shown = 0
    while True:
        text = connection.run(
            f"cat {HOME}/progress 2>/dev/null; echo; echo =; cat {HOME}/result 2>/dev/null; "
            f"echo =$(systemctl is-active {UNIT})"
        )
        progress, _, rest = text.partition("\n=\n")
        result, _, state = rest.rpartition("=")
        lines = [line for line in progress.splitlines() if line.strip()]
        fresh, shown = lines[shown:], len(lines)
        for line in fresh:
            if line.strip() != result.strip():
                report(line)
        if result.strip():
            return result.strip()
        if state.strip() in ("inactive", "failed"):
            return f"failed: the upgrade ended without a result (emotion-deploy logs {connection.host.name})"
        time.sleep(2)


def _doctor(connection: Connection) -> list[str]:
    """Output of `emotion-edge doctor` there, run as the service's user with the service's settings."""
    _, text = connection.status("sudo -n -u emotion-edge /opt/emotion-edge/bin/emotion-edge doctor")
    return text.splitlines()


def push_all(hosts: list[Host], package: Path | None, start_timeout: int, options: tuple[str, ...] = ()) -> bool:
    """Push to several boards at once: `emotion-deploy push`.

    Args:
        hosts: the boards.
        package: a .deb; None builds the package of this checkout, for each board's release.
        start_timeout: seconds the service has to become healthy.
        options: of ssh, as after `-o`.

    Returns:
        Whether all of them run the new version.

    Raises:
        EmotionEdgeError: for invalid settings, before anything is changed.
    """
    for host in hosts:
        if host.config:
            _check_config(host.config)
    packages = _Packages(package)

    def one(host: Host, report: Report) -> bool:
        return push(host, packages.of(host, options), start_timeout, report, options)

    return on_each_board(hosts, one)


class _Packages:
    """The package for each board: the given one, or one built for the board's release when first needed."""

    def __init__(self, given: Path | None) -> None:
        self._given = read_package(given) if given else None
        self._built: dict[tuple[str, str], Package] = {}
        self._lock = threading.Lock()

    def of(self, host: Host, options: tuple[str, ...]) -> Package:
        if self._given:
            return self._given
        with Connection(host, options) as connection:
            board = gather_facts(connection)
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
