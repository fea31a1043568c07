"""Commands on boards over SSH: push, status, logs, model."""

import argparse
import shlex
import tarfile
import tempfile
from pathlib import Path

from deploy.boards.facts import gather_facts, upgrading
from deploy.boards.inventory import Host, choose_hosts
from deploy.boards.parallel import Report, all_succeeded, on_each_board
from deploy.boards.push import START_TIMEOUT
from deploy.boards.rollout import MAX_FAILURES, Plan, roll_out
from deploy.boards.ssh import Connection, quoted
from deploy.boards.status import status
from edge.errors import EmotionEdgeError
from edge.system.program import whole_number


def logs(hosts: list[Host], lines: int, follow: bool, options: tuple[str, ...] = ()) -> bool:
    """Print the service's log of boards, or follow that of one: `emotion-deploy logs`."""
    command = f"sudo -n journalctl -o short-iso --no-pager -n {lines} -u 'emotion-edge*'"
    if follow:
        if len(hosts) != 1:
            raise EmotionEdgeError("the log of one board at a time can be followed: name it")
        with Connection(hosts[0], options) as connection:
            return connection.follow(f"{command} -f") == 0

    def one(host: Host, report: Report) -> bool:
        with Connection(host, options) as connection:
            for line in connection.run(command).splitlines():
                report(line)
        return True

    return all_succeeded(on_each_board(hosts, one, timed=False))


def model(hosts: list[Host], words: list[str], folder: Path | None = None, options: tuple[str, ...] = ()) -> bool:
    """Run `emotion-edge model` on boards, as root: `emotion-deploy model`.

    Args:
        hosts: the boards.
        words: the subcommand and its arguments.
        folder: folder of a model, which is first copied to the board; its path on the board becomes the last argument.
        options: options of ssh, as after `-o`.

    Returns:
        Whether it succeeded on all of them.

    Raises:
        EmotionEdgeError: where the folder is no model, before any board is connected to.
    """
    if folder and not (folder / "card.json").is_file():
        raise EmotionEdgeError(f"{folder}: is no model: it has no card.json")

    def one(host: Host, report: Report) -> bool:
        command = "sudo -n /opt/emotion-edge/bin/emotion-edge model " + " ".join(map(shlex.quote, words))
        with Connection(host, options) as connection:
            board = gather_facts(connection)
            if upgrading(board):
                raise EmotionEdgeError("an upgrade is running there: wait for its end (emotion-deploy status)")
            if not board.installed:
                raise EmotionEdgeError("emotion-edge is not installed there (emotion-deploy push)")
            if folder:
                there = connection.run("mktemp -d /tmp/emotion-model-XXXXXX").strip()
                place = f"{there}/{folder.resolve().name}"
                _send_folder(connection, folder, there)
                code, text = connection.status(f"chmod 755 {there}; {command} {quoted(place)}")
                connection.run(f"rm -rf {there}")
            else:
                code, text = connection.status(command)
        for line in text.splitlines():
            report(line)
        return code == 0

    return all_succeeded(on_each_board(hosts, one, timed=False))


def _send_folder(connection: Connection, folder: Path, there: str) -> None:
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            archive.add(folder, folder.resolve().name)
        size = file.tell()
        file.seek(0)
        connection.send(file, size, f"tar -x -C {there} --no-same-owner", lambda _: None)


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands over SSH to the parser of `emotion-deploy`."""

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return _with_hosts(commands.add_parser(name, help=text, description=text, allow_abbrev=False))

    _add_push(
        command("push", "install or upgrade boards over SSH; a board that does not become healthy is rolled back")
    )
    states = command("status", "one line per board: version, service, model, camera, broker, temperature, last error")
    states.add_argument("--json", action="store_true", help="print a JSON list")
    read = command("logs", "the service's log")
    read.add_argument("-n", "--lines", type=whole_number(1), default=20, metavar="N", help="lines per board (20)")
    read.add_argument("-f", "--follow", action="store_true", help="follow the log of one board")
    text = "models on boards: install, roll back, list"
    models = commands.add_parser("model", help=text, description=text, allow_abbrev=False)
    verbs = models.add_subparsers(dest="verb", required=True, metavar="VERB")
    install = verbs.add_parser("push", help="install a model folder after a test on the board", allow_abbrev=False)
    install.add_argument("folder", type=Path, metavar="FOLDER", help="with model.tflite and card.json")
    for verb in (
        install,
        verbs.add_parser("rollback", help="return to the previous model", allow_abbrev=False),
        verbs.add_parser("list", help="list the installed models", allow_abbrev=False),
    ):
        _with_hosts(verb)


def _add_push(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--package", type=Path, metavar="FILE", help=".deb (default: built from this checkout)")
    parser.add_argument("--dry-run", action="store_true", help="print what would change on each board, change nothing")
    parser.add_argument(
        "--canary",
        type=whole_number(1),
        default=0,
        metavar="N",
        help="first push to N boards, and stop if one of them fails",
    )
    parser.add_argument(
        "--max-failures",
        type=whole_number(1),
        default=MAX_FAILURES,
        metavar="N",
        help=f"start no further board after N failures ({MAX_FAILURES})",
    )
    parser.add_argument(
        "--start-timeout",
        type=whole_number(1),
        default=START_TIMEOUT,
        metavar="SECONDS",
        help=f"for the service to become healthy ({START_TIMEOUT})",
    )


def run(arguments: argparse.Namespace) -> bool:
    """Run a command that `add_commands` added. Returns whether it succeeded on all boards."""
    hosts = choose_hosts(arguments.hosts, arguments.inventory, arguments.group)
    match arguments.command:
        case "push":
            given = arguments.canary, arguments.max_failures, arguments.start_timeout, arguments.dry_run
            return roll_out(hosts, arguments.package, Plan(*given))
        case "status":
            return status(hosts, arguments.json)
        case "logs":
            return logs(hosts, arguments.lines, arguments.follow)
        case _:
            if arguments.verb == "push":
                return model(hosts, ["install"], arguments.folder)
            return model(hosts, [arguments.verb])


def _with_hosts(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument(
        "hosts", nargs="*", metavar="HOST", help="[user@]host or a name in the inventory (default: all)"
    )
    parser.add_argument("--inventory", type=Path, metavar="FILE", help="the list of boards (default: hosts.yaml)")
    parser.add_argument("--group", default="", metavar="NAME", help="only the boards of this group of the inventory")
    return parser
