"""The command line on the workstation: emotion-deploy package | image | push | status | logs | model."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy import push_boards
from edge import __version__
from edge.errors import EmotionEdgeError


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="emotion-deploy", description="From this checkout to boards.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_package(commands)
    _add_image(commands)
    push_boards.add_commands(commands)
    return parser


def _add_package(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "build the Debian package: daemon, models and all Python packages, to be installed without network"
    command = commands.add_parser("package", help=text, description=text, allow_abbrev=False)
    command.add_argument("suite", nargs="*", metavar="SUITE", help="bookworm, trixie (default: both)")
    command.add_argument("--arch", default="arm64", metavar="ARCH", help="arm64 (default), or amd64 for a PC")
    command.add_argument("--out", type=Path, default=Path("build"), metavar="FOLDER", help="where to (default: build)")


def _add_image(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "make a card: an official image, the package, and what the board is to become"
    command = commands.add_parser("image", help=text, description=text, allow_abbrev=False)
    command.add_argument("--config", type=Path, required=True, metavar="FILE", help="site.yaml, see docs/install.md")
    command.add_argument("--base", type=Path, metavar="IMAGE", help="Raspberry Pi OS trixie or newer, .img or .img.xz")
    command.add_argument("-o", "--out", type=Path, metavar="IMAGE", help="the card as a file")
    command.add_argument(
        "--device", type=Path, metavar="DISK", help="write a card, after it was shown and you said yes"
    )
    command.add_argument(
        "--boot", type=Path, metavar="FOLDER", help="or: a flashed card's boot partition, mounted here"
    )
    command.add_argument(
        "--package", type=Path, action="append", metavar="FILE", help=".deb (default: built from this checkout)"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """The program. Status 0: well; 1: a board or a step failed; 2: wrong settings or input."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        return _run(arguments)
    except EmotionEdgeError as error:
        print(f"emotion-deploy: {error}", file=sys.stderr)
        return 2


def _run(arguments: argparse.Namespace) -> int:
    # A command imports what it needs when it runs.
    match arguments.command:
        case "package":
            from deploy import package

            for suite in arguments.suite or package.SUITES:
                print(package.build(suite, arguments.out, arguments.arch))
        case "image":
            from deploy import image

            image.make(
                arguments.config, arguments.base, arguments.out, arguments.device, arguments.boot, arguments.package
            )
        case "push" | "status" | "logs" | "model":
            return 0 if push_boards.run(arguments) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
