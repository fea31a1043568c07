"""The command line of emotion-deploy, on the workstation."""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path

from deploy.boards import commands as boards
from edge import __version__
from edge.system.program import run_program


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="emotion-deploy", description="Packages, card images and boards.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_package(commands)
    _add_image(commands)
    _add_audit(commands)
    _add_repository(commands)
    _add_imager(commands)
    boards.add_commands(commands)
    return parser


def _add_package(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "build the Debian package: daemon, models and all Python packages; installs without network"
    command = commands.add_parser("package", help=text, description=text, allow_abbrev=False)
    command.add_argument("suite", nargs="*", metavar="SUITE", help="bookworm, trixie (default: both)")
    command.add_argument("--arch", default="arm64", metavar="ARCH", help="arm64 (default), or amd64 for a PC")
    command.add_argument("--out", type=Path, default=Path("build"), metavar="FOLDER", help="output (default: build)")


def _add_image(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "make an SD card image: an official image with the package and the settings of a site file"
    command = commands.add_parser("image", help=text, description=text, allow_abbrev=False)
    command.add_argument("--config", type=Path, required=True, metavar="FILE", help="site.yaml, see docs/install.md")
    command.add_argument("--base", type=Path, metavar="IMAGE", help="Raspberry Pi OS trixie or newer, .img or .img.xz")
    command.add_argument("-o", "--out", type=Path, metavar="IMAGE", help="write the card to a file")
    command.add_argument("--device", type=Path, metavar="DISK", help="write the card to a disk, after confirmation")
    command.add_argument(
        "--boot", type=Path, metavar="FOLDER", help="or fill the mounted boot partition of a flashed card"
    )
    command.add_argument(
        "--package", type=Path, action="append", metavar="FILE", help=".deb (default: built from this checkout)"
    )


def _add_imager(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "list card images in a manifest for Raspberry Pi Imager"
    command = commands.add_parser("imager", help=text, description=text, allow_abbrev=False)
    command.add_argument("folder", type=Path, metavar="FOLDER", help="to be served by any web server")
    command.add_argument("card", nargs="+", type=Path, metavar="IMAGE", help="made by `emotion-deploy image -o`")
    command.add_argument("--url", required=True, metavar="URL", help="where the folder is served")


def _add_repository(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "make or extend a signed apt repository that boards update themselves from"
    command = commands.add_parser("repository", help=text, description=text, allow_abbrev=False)
    command.add_argument("folder", type=Path, metavar="FOLDER", help="to be served by any web server")
    command.add_argument("package", nargs="+", type=Path, metavar="FILE", help=".deb of emotion-edge")
    command.add_argument("--key", required=True, metavar="KEY", help="your gpg key, by address or identifier")
    command.add_argument("--url", required=True, metavar="URL", help="where the folder is served")


def _add_audit(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "name known faults in the locked Python packages; exit status 1 where there are some"
    command = commands.add_parser("audit", help=text, description=text, allow_abbrev=False)
    command.add_argument("lock", nargs="*", type=Path, metavar="LOCK", help="default: requirements/board.txt")
    command.add_argument(
        "--database", type=Path, metavar="FILE", help="advisories in OSV's format, for use without network"
    )
    command.add_argument("--json", action="store_true", help="print a JSON list")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Exit status 0: success; 1: a board or a step failed; 2: invalid settings or input; 130: Ctrl-C."""
    return run_program("emotion-deploy", lambda: _main(argv))


def _main(argv: Sequence[str] | None) -> int:
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        goes_on = "; a board that had received the package finishes by itself (emotion-deploy status)"
        print(f"\nemotion-deploy: interrupted{goes_on if arguments.command == 'push' else ''}", file=sys.stderr)
        return 130


def _run(arguments: argparse.Namespace) -> int:
    # Imported only when needed, so that the command line starts quickly.
    match arguments.command:
        case "package":
            from deploy.package import build as package

            for suite in arguments.suite or package.SUITES:
                print(package.build(suite, arguments.out, arguments.arch))
        case "image":
            from deploy.image import make as image

            image.make(
                arguments.config, arguments.base, arguments.out, arguments.device, arguments.boot, arguments.package
            )
        case "imager":
            from deploy.image.imager import publish_cards

            publish_cards(arguments.folder, arguments.card, arguments.url, date.today())
        case "repository":
            from deploy import repository

            repository.publish(arguments.folder, arguments.package, arguments.key, arguments.url)
        case "audit":
            return _audit(arguments.lock, arguments.database, arguments.json)
        case "push" | "status" | "logs" | "model":
            return 0 if boards.run(arguments) else 1
    return 0


def _audit(locks: list[Path], database: Path | None, as_json: bool) -> int:
    from deploy.package.audit import audit
    from deploy.package.build import LOCK

    faults = audit(locks or [LOCK], database)
    if as_json:
        print(json.dumps([asdict(fault) for fault in faults], indent=2))
    else:
        for fault in faults:
            mended = f"; fixed in {', '.join(fault.fixed)}" if fault.fixed else ""
            print(f"{fault.package} {fault.version}: {fault.identifier}: {fault.summary}{mended}")
        print(f"{len(faults)} known faults" if faults else "no known faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
