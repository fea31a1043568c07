"""Looking after boards over SSH: how they are, what they log, which models they have; and the commands for it."""

import argparse
import shlex
import tarfile
import tempfile
from pathlib import Path

from deploy.push import HOME, PATIENCE, push_all, survey
from deploy.push_each import Said, each
from deploy.push_hosts import Host, choose_hosts
from deploy.push_ssh import Connection, quoted
from edge.errors import EmotionEdgeError


def status(hosts: list[Host], options: tuple[str, ...] = ()) -> bool:
    """One line a board: version, service, what was published last: `emotion-deploy status`."""

    def one(host: Host, said: Said) -> bool:
        with Connection(host, options) as connection:
            board = survey(connection)
            uptime = connection.run("uptime -p 2>/dev/null || true").strip()
            last = connection.run(f"cat {HOME}/result 2>/dev/null || true").strip()
        version = board.installed or "not installed"
        free = f"{board.var / 1024 / 1024:.1f} GiB free"
        facts = [version, board.service, f"{board.suite} {board.arch}", free, uptime, f"last upgrade: {last or 'none'}"]
        said(", ".join(fact for fact in facts if fact))
        return board.service == "active"

    return each(hosts, one)


def logs(hosts: list[Host], lines: int, follow: bool, options: tuple[str, ...] = ()) -> bool:
    """The service's log of boards, one after the other, or of one as it comes: `emotion-deploy logs`."""
    command = f"sudo -n journalctl -o short-iso --no-pager -n {lines} -u 'emotion-edge*'"
    if follow:
        if len(hosts) != 1:
            raise EmotionEdgeError("one board at a time can be followed: name it")
        with Connection(hosts[0], options) as connection:
            return connection.follow(f"{command} -f") == 0

    def one(host: Host, said: Said) -> bool:
        with Connection(host, options) as connection:
            for line in connection.run(command).splitlines():
                said(line)
        return True

    return each(hosts, one)


def model(hosts: list[Host], words: list[str], folder: Path | None = None, options: tuple[str, ...] = ()) -> bool:
    """`emotion-edge model` on boards, as root; folder: a model's, sent there first and named last."""

    def one(host: Host, said: Said) -> bool:
        command = "sudo -n /opt/emotion-edge/bin/emotion-edge model " + " ".join(map(shlex.quote, words))
        with Connection(host, options) as connection:
            if not survey(connection).installed:
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
            said(line)
        return code == 0

    return each(hosts, one)


def _send_folder(connection: Connection, folder: Path, there: str) -> None:
    if not (folder / "card.json").is_file():
        raise EmotionEdgeError(f"{folder}: is no model: it has no card.json")
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            archive.add(folder, folder.resolve().name)
        size = file.tell()
        file.seek(0)
        connection.send(file, size, f"tar -x -C {there} --no-same-owner", lambda _: None)


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Give the program its commands over SSH."""

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return _with_hosts(commands.add_parser(name, help=text, description=text, allow_abbrev=False))

    sent = command("push", "install or upgrade boards over SSH; one that does not become healthy goes back")
    sent.add_argument("--package", type=Path, metavar="FILE", help=".deb (default: built from this checkout)")
    sent.add_argument(
        "--patience", type=int, default=PATIENCE, metavar="SECONDS", help=f"for the service to start ({PATIENCE})"
    )
    command("status", "one line a board: version, service, room, last upgrade")
    read = command("logs", "the service's log")
    read.add_argument("-n", "--lines", type=int, default=20, metavar="N", help="how many lines a board (20)")
    read.add_argument("-f", "--follow", action="store_true", help="go on, with one board")
    text = "models on boards: bring one, go back to the one before, list them"
    models = commands.add_parser("model", help=text, description=text, allow_abbrev=False)
    verbs = models.add_subparsers(dest="verb", required=True, metavar="VERB")
    brought = verbs.add_parser("push", help="check a model's folder there, and use it", allow_abbrev=False)
    brought.add_argument("folder", type=Path, metavar="FOLDER", help="with model.tflite and card.json")
    for verb in (
        brought,
        verbs.add_parser("rollback", help="use the model before", allow_abbrev=False),
        verbs.add_parser("list", help="say which are there", allow_abbrev=False),
    ):
        _with_hosts(verb)


def run(arguments: argparse.Namespace) -> bool:
    """Do what the commands of `add_commands` say; whether all boards did well."""
    hosts = choose_hosts(arguments.hosts, arguments.inventory)
    match arguments.command:
        case "push":
            return push_all(hosts, arguments.package, arguments.patience)
        case "status":
            return status(hosts)
        case "logs":
            return logs(hosts, arguments.lines, arguments.follow)
        case _:
            if arguments.verb == "push":
                return model(hosts, ["install"], arguments.folder)
            return model(hosts, [arguments.verb])


def _with_hosts(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("hosts", nargs="*", metavar="HOST", help="[user@]host, or a name of the inventory; none: all")
    parser.add_argument("--inventory", type=Path, metavar="FILE", help="a list of boards (default: hosts.yaml)")
    return parser
