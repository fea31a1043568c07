"""Install a package on one board over SSH: check the board, send the package, start the upgrade, follow its progress.

The board itself (files/upgrade) finishes or undoes an upgrade, also when the connection or the power is lost.
"""

import hashlib
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.boards.facts import HOME, UNIT, Board, gather_facts, upgrading
from deploy.boards.host_settings import CONFIG, HostSettings, archive, settings_diff
from deploy.boards.inventory import Host
from deploy.boards.parallel import Report
from deploy.boards.ssh import Connection, quoted
from deploy.package.build import build
from deploy.package.deb import board_file_name, package_fields, suite_of
from edge.errors import EmotionEdgeError

START_TIMEOUT: Final = 180
"""Default time limit for the service to become healthy, seconds."""


@dataclass(frozen=True)
class Package:
    """A package file. size, unpacked: size of the file and of its contents, KiB. name: its file name on a board."""

    path: Path
    version: str
    arch: str
    suite: str
    size: int
    unpacked: int
    name: str


def read_package(path: Path) -> Package:
    """Read a package's control fields. Raises EmotionEdgeError where it is not a package of emotion-edge."""
    fields = package_fields(path)
    if fields.get("Package") != "emotion-edge":
        raise EmotionEdgeError(f"{path}: is the package {fields.get('Package')}, not emotion-edge")
    size = path.stat().st_size // 1024
    unpacked = int(fields.get("Installed-Size", size))
    return Package(
        path, fields["Version"], fields["Architecture"], suite_of(fields), size, unpacked, board_file_name(fields)
    )


def check_board(board: Board, package: Package, has_package: bool) -> None:
    """Raise EmotionEdgeError if the package cannot be installed on the board.

    has_package: the board runs it already, and needs no space for it.
    """
    if not board.arch:
        raise EmotionEdgeError("is no Debian or Raspberry Pi OS: it has no dpkg")
    if board.arch != package.arch:
        raise EmotionEdgeError(f"is {board.arch}, and {package.path.name} is for {package.arch}")
    if package.suite and board.suite != package.suite:
        raise EmotionEdgeError(f"runs {board.suite}, and {package.path.name} is for {package.suite}")
    # Space is needed for the package, kept for a rollback, and for the new files beside the old ones, with bytecode.
    required = {"/var/lib": (package.size, board.var), "/opt": (package.unpacked * 3 // 2, board.opt)}
    for place, (needed, free) in required.items():
        if needed + 10_240 > free and not has_package:
            raise EmotionEdgeError(
                f"{place} has {free / 1024:.0f} MiB free, {(needed + 10_240) / 1024:.0f} MiB are needed"
            )
    if not board.can_sudo:
        raise EmotionEdgeError("this user needs sudo without a password there (sudo visudo: NOPASSWD)")
    if upgrading(board):
        raise EmotionEdgeError("an upgrade is already running there (emotion-deploy status)")


def push(
    host: Host,
    package: Package,
    settings: HostSettings,
    start_timeout: int,
    report: Report,
    options: tuple[str, ...] = (),
) -> bool:
    """Install or upgrade one board.

    Args:
        host: the board.
        package: what to install.
        settings: settings and files for the board.
        start_timeout: seconds the service has to become healthy before the board rolls back.
        report: called with each line of progress.
        options: options of ssh, as after `-o`.

    Returns:
        Whether the new version runs on the board.

    Raises:
        EmotionEdgeError: before anything is changed, or where the connection is lost.
    """
    with Connection(host, options) as connection:
        board = gather_facts(connection)
        has_package = _has_package(connection, board, package)
        check_board(board, package, has_package)
        if board.installed and board.kept != board.installed:
            report(f"the package of {board.installed} is not kept there: a rollback is not possible this time")
        _prepare(connection, settings)
        if has_package:
            report(f"{package.version} is installed there already: only settings and files are sent")
            connection.run(f"sudo -n ln {quoted(f'{HOME}/current/{package.name}')} {HOME}/incoming/")
        else:
            _send_package(connection, package, report)
        connection.run(
            f"sudo -n sh -ec 'cd {HOME}; rm -f progress result; sync; echo {start_timeout} > incoming/ready; sync; "
            f"systemctl daemon-reload; systemctl enable -q {UNIT}; systemctl start --no-block {UNIT}'"
        )
        result = _watch(connection, report)
        if result.startswith("ok"):
            for line in doctor_findings(connection):
                report(f"  {line}")
        report(result)
        return result.startswith("ok")


def preview(
    host: Host, package: Package, settings: HostSettings, report: Report, options: tuple[str, ...] = ()
) -> bool:
    """Report what a push would change on a board. Raises EmotionEdgeError if the push would be refused."""
    with Connection(host, options) as connection:
        board = gather_facts(connection)
        has_package = _has_package(connection, board, package)
        check_board(board, package, has_package)
        if has_package:
            report(f"package: {package.version} is installed already")
        else:
            change = "reinstall" if board.installed == package.version else f"{board.installed or 'nothing'} ->"
            report(f"package: {change} {package.version}")
        if settings.config is not None:
            there = connection.run(f"sudo -n cat {CONFIG} 2>/dev/null || true")
            for line in settings_diff(there, settings.config) or ["no change"]:
                report(f"settings: {line}")
        sums = connection.run(
            f"for f in {' '.join(map(quoted, settings.files))}; do sudo -n sha256sum $f 2>/dev/null || true; done"
        )
        known = {path: digest for digest, _, path in (line.partition("  ") for line in sums.splitlines())}
        for path, content in settings.files.items():
            if path not in known:
                report(f"file: {path} is new")
            elif known[path] != hashlib.sha256(content).hexdigest():
                report(f"file: {path} changes")
    return True


def _has_package(connection: Connection, board: Board, package: Package) -> bool:
    """Whether the board runs this very package and keeps it."""
    if board.installed != package.version or board.kept != package.version:
        return False
    there = connection.run(f"sudo -n sha256sum {quoted(f'{HOME}/current/{package.name}')} 2>/dev/null || true")
    return there.startswith(_digest(package))


def _digest(package: Package) -> str:
    with package.path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _prepare(connection: Connection, settings: HostSettings) -> None:
    """Send the upgrade script, settings and files into an empty folder `incoming`."""
    here = Path(__file__).parent / "files"
    connection.run(
        f"sudo -n sh -ec 'mkdir -p {HOME}; cd {HOME}; rm -rf incoming rejected; mkdir incoming; chmod 0700 incoming'"
    )
    for name, target in (("upgrade", f"{HOME}/upgrade"), (UNIT, f"/etc/systemd/system/{UNIT}")):
        connection.run(f"sudo -n tee {target} >/dev/null", (here / name).read_text())
    if settings.config is not None:
        connection.run(f"sudo -n sh -ec 'umask 077; cat > {HOME}/incoming/config.yaml'", settings.config)
    if settings.files:
        connection.run(f"sudo -n tar -x -C {HOME}/incoming --no-same-owner", archive(settings.files))


def _send_package(connection: Connection, package: Package, report: Report) -> None:
    target = quoted(f"{HOME}/incoming/{package.name}")
    with package.path.open("rb") as file:
        megabytes = package.size / 1024
        connection.send(
            file,
            package.path.stat().st_size,
            f"sudo -n tee {target} >/dev/null",
            lambda percent: report(f"sending {megabytes:.0f} MB: {percent} %"),
        )
    if not connection.run(f"sudo -n sha256sum {target}").startswith(_digest(package)):
        raise EmotionEdgeError("the package arrived damaged: try again")


def _watch(connection: Connection, report: Report) -> str:
    """Report each new line of the board's progress until the upgrade ends; returns the line with its result."""
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


def doctor_findings(connection: Connection) -> list[str]:
    """Run `emotion-edge doctor` on the board, as the service's user with its settings.

    Returns the lines of its faults, and one line with the names of its notes, which most boards have in common.
    """
    # The service's user has no access to the home folder in which an ssh session starts.
    _, text = connection.status("cd /; sudo -n -u emotion-edge /opt/emotion-edge/bin/emotion-edge doctor")
    lines = [line for line in text.splitlines() if not line.startswith(("ok ", "INFO: ", "emotion-edge: checked "))]
    notes = [line.split()[1] for line in lines if line.startswith("note ")]
    faults = [line for line in lines if not line.startswith("note ")]
    return [*faults, *([f"notes on {', '.join(notes)} (there: sudo emotion-edge doctor)"] if notes else [])]


class Packages:
    """The package for each board: the given one, or one built for the board's release when first needed."""

    def __init__(self, given: Path | None) -> None:
        self._given = read_package(given) if given else None
        self._built: dict[tuple[str, str], Package | EmotionEdgeError] = {}
        self._lock = threading.Lock()

    def of(self, host: Host, options: tuple[str, ...]) -> Package:
        """Return the package for a board, building it if necessary. Raises EmotionEdgeError if that fails."""
        if self._given:
            return self._given
        with Connection(host, options) as connection:
            board = gather_facts(connection)
        with self._lock:
            key = board.suite, board.arch
            if key not in self._built:
                try:
                    self._built[key] = read_package(build(board.suite, Path("build"), board.arch))
                except EmotionEdgeError as error:
                    self._built[key] = error  # not tried again for each further board
            built = self._built[key]
        if isinstance(built, EmotionEdgeError):
            raise built
        return built
