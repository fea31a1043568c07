"""The command line, `emotion-edge COMMAND`."""

import argparse
import difflib
import importlib
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from edge.config import Settings

# Modules that take long to import are imported where they are used: `--help` need not wait for OpenCV, and Ctrl-C works
# from the start.


def _parser(chosen: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of all commands, of which only the chosen one has its flags, to save time and memory.

    Without a chosen command all have their flags: the man page is made of that.
    """
    from edge import __version__
    from edge.config.load import add_flags

    parser = argparse.ArgumentParser(prog="emotion-edge", description="Facial emotions from a camera to MQTT.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    helps = {
        "run": "run the daemon with the settings",
        "demo": "run with what is available: a camera or the bundled clip, and a broker of its own if none is set",
        "snapshot": "analyse one picture: JSON to the screen, the annotated picture to a file",
        "analyse": "make a table of a folder of pictures or a video: one row for each face",
        "report": "write a report of the record for one or more days: HTML, CSV or JSON",
        "export": "print the whole record as CSV",
        "forget": "delete what the broker keeps of this device; Home Assistant then removes it",
        "serve": "serve predictions over HTTP: for faces that other boards send, or for pictures",
        "notice": "write an A4 notice for the door: emotion recognition is running; filled in from the settings",
        "assessment": "write a data protection impact assessment from the settings, to be completed",
        "check-config": "check the settings and print them as they are used",
        "model": "list the installed models, install another, or return to the previous one",
        "doctor": "check camera, models, broker and system, and name what to do",
        "bench": "measure frame rate, latency, time per stage, processor share and memory on the bundled clip",
    }
    for name, text in helps.items():
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        if chosen is not None and name != chosen:
            continue
        if name == "model":
            _add_model_actions(command)
            continue
        add_flags(command, shown=name == "run")
        command.usage = f"emotion-edge {name} [OPTION ...] [--SECTION.SETTING VALUE ...]"
        command.epilog = None if name == "run" else "`emotion-edge run --help` lists the settings."
        if name == "snapshot":
            command.add_argument("--image", type=Path, metavar="FILE", help="a picture; without it, the camera's next")
            command.add_argument("--out", type=Path, metavar="FILE", default=Path("snapshot.jpg"))
            command.add_argument("--after", type=float, metavar="SECONDS", default=0.0, help="watch this long first")
        if name == "analyse":
            command.usage = "emotion-edge analyse SOURCE --csv FILE [--SECTION.SETTING VALUE ...]"
            command.add_argument("source", type=Path, metavar="SOURCE", help="a folder, an image or a video")
            command.add_argument("--csv", type=Path, metavar="FILE", required=True, help="to write, or to continue")
        if name == "report":
            command.add_argument("--day", metavar="DAY", help="the last day of it, 2026-11-20 (default: today)")
            command.add_argument("--days", type=int, metavar="N", default=1, help="how many days (default: 1)")
            command.add_argument(
                "--out", type=Path, metavar="FILE", help=".html, .csv or .json (default: emotion-DAY.html)"
            )
        if name == "notice":
            command.add_argument("--language", metavar="CODE", help="en, de, ... (default: display.language)")
            command.add_argument("--out", type=Path, metavar="FILE", help="default: notice-LANGUAGE.html")
        if name == "assessment":
            command.add_argument("--out", type=Path, metavar="FILE", default=Path("assessment.md"))
        if name == "check-config":
            command.add_argument("file", type=Path, nargs="?", metavar="FILE", help="the same as --config FILE")
        if name == "bench":
            command.add_argument("--seconds", type=float, default=30.0, help="how long to measure (default: 30)")
            command.add_argument("--plot", type=Path, metavar="FILE", help="an SVG to write: how the cost grows")
    return parser


def _add_model_actions(parser: argparse.ArgumentParser) -> None:
    from edge.config.load import add_flags

    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    helps = {
        "list": "the models that are here; those with a star run",
        "install": "run another model, once its hash, its card and its self-test are seen to be right",
        "rollback": "run the model that ran before the last install; a second one takes the first back",
    }
    for name, text in helps.items():
        action = actions.add_parser(name, help=text, description=text, allow_abbrev=False)
        add_flags(action)
        if name == "install":
            action.add_argument(
                "model", metavar="MODEL", help="a model's folder, a .zip or .tar of one, or a name here"
            )
        if name == "rollback":
            kinds = ("emotion", "detector")
            action.add_argument("kind", choices=kinds, nargs="?", default=kinds[0], help="which of the two (emotion)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 0 success, 1 failure, 2 wrong settings or input, 130 Ctrl-C."""
    from edge.system.program import run_program

    return run_program("emotion-edge", lambda: _main(argv))


def _main(argv: Sequence[str] | None) -> int:
    from edge.system.late_imports import import_late

    import_late()  # before NumPy is imported, as the settings do
    from edge.config import setting_names
    from edge.config.load import load
    from edge.system.logs import start_logging
    from edge.system.process import use_one_heap

    words = sys.argv[1:] if argv is None else argv
    # The words before the command are flags without a value.
    parser = _parser(next((word for word in words if not word.startswith("-")), ""))
    arguments, unknown = parser.parse_known_args(words)
    if unknown:
        flags = [f"--{name}" for name in setting_names()]
        nearest = difflib.get_close_matches(unknown[0].split("=")[0], flags, n=1, cutoff=0)
        parser.error(f"{unknown[0]} is not a flag of {arguments.command} (did you mean {nearest[0]}?)")
    if getattr(arguments, "file", None):
        arguments.config = arguments.file
    reload_asked = threading.Event()
    if arguments.command == "run" and not sys.stdin.isatty():
        # Without a terminal SIGHUP requests a reload; on a terminal it keeps its default, the end of the program.
        signal.signal(signal.SIGHUP, lambda *_: reload_asked.set())
    settings = load(arguments)
    if service := arguments.command in ("run", "demo", "serve"):
        # Before the log's thread starts: glibc gives each new thread a heap of its own.
        use_one_heap()
    del parser
    start_logging(settings.log.level, service)
    _import_for(arguments.command)
    return _run(arguments, settings, reload_asked)


_MODULES: Final = {
    "run": "edge.daemon.run",
    "demo": "edge.daemon.run",
    "snapshot": "edge.commands.snapshot",
    "analyse": "edge.commands.analyse",
    "report": "edge.commands.report",
    "export": "edge.commands.report",
    "forget": "edge.outputs.mqtt.forget",
    "serve": "edge.serve.server",
    "notice": "edge.commands.notice",
    "assessment": "edge.commands.assessment",
    "check-config": "edge.commands.check_config",
    "doctor": "edge.commands.doctor",
    "model": "edge.commands.model",
    "bench": "edge.commands.bench",
}


def _import_for(command: str) -> None:
    """Import a command's module. Ctrl-C then ends the process at once: C libraries would turn it into other errors."""
    if threading.current_thread() is not threading.main_thread():
        return
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        importlib.import_module(_MODULES[command])
    finally:
        signal.signal(signal.SIGINT, before)


def _run(arguments: argparse.Namespace, settings: "Settings", reload_asked: threading.Event) -> int:
    match arguments.command:
        case "run":
            from edge.config.load import load
            from edge.daemon import run as daemon_run
            from edge.system.process import end_process

            reread = lambda: load(arguments)  # noqa: E731
            return end_process(daemon_run.run(settings, reread, sys.stdout.isatty(), reload_asked))
        case "demo":
            from edge.commands import demo
            from edge.daemon import run as daemon_run
            from edge.system.process import end_process

            with demo.demo_settings(settings) as filled:
                status = daemon_run.run(filled, console=True)
            return end_process(status)
        case "snapshot":
            from edge.commands.snapshot import snapshot
            from edge.system.process import end_process

            print(snapshot(settings, arguments.image, arguments.out, arguments.after))
            return end_process(0)
        case "analyse":
            from edge.commands.analyse import analyse

            return analyse(settings, arguments.source, arguments.csv)
        case "report":
            from edge.commands.report import report

            print(report(settings, arguments.day, arguments.days, arguments.out))
        case "export":
            from edge.commands.report import export

            export(settings, sys.stdout)
        case "forget":
            from edge.outputs.mqtt.forget import forget

            if forget(settings.mqtt):
                print("its status is online: a running daemon announces itself again, so stop it first")
            else:
                mqtt = settings.mqtt
                print(f"{mqtt.host}:{mqtt.port} keeps nothing of {mqtt.base_topic}/{mqtt.device_id} any more")
        case "serve":
            from edge.serve import server

            return server.run(settings)
        case "notice":
            from edge.commands.notice import notice

            print(notice(settings, arguments.language, arguments.out))
        case "assessment":
            from edge.commands.assessment import assessment

            print(assessment(settings, arguments.out))
        case "check-config":
            from edge.config.load import dump

            print(dump(settings), end="")
            for line in (found := _problems(arguments, settings)):
                print(f"emotion-edge: {line}", file=sys.stderr)
            return 1 if found else 0
        case "doctor":
            from edge.commands import doctor

            return doctor.report(settings, _problems(arguments, settings))
        case "model":
            from edge.commands import model

            model.run(arguments, settings)
        case "bench":
            from edge.commands import bench

            bench.report(settings, arguments.seconds, arguments.plot)
    return 0


def _problems(arguments: argparse.Namespace, settings: "Settings") -> list[str]:
    """Run check-config's checks; as root, with the rights of the service's user, for the rest of the process."""
    from edge.commands.check_config import config_problems
    from edge.config.load import config_path
    from edge.system.service_user import SERVICE_USER, become_service_user

    file = config_path(arguments.config)
    if service := become_service_user():
        print(f"emotion-edge: checked with the rights of the service's user, {SERVICE_USER}", file=sys.stderr)
    return config_problems(settings, file, service)


if __name__ == "__main__":
    sys.exit(main())
