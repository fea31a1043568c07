"""Reports the state of boards: `emotion-deploy status`."""

import json
from typing import Any

from deploy.boards.facts import Board, gather_facts, upgrading
from deploy.boards.inventory import Host
from deploy.boards.parallel import Outcome, Report, all_succeeded, on_each_board
from deploy.boards.ssh import Connection


def status(hosts: list[Host], as_json: bool, options: tuple[str, ...] = ()) -> bool:
    """Print how boards are doing, in the order of `hosts`.

    Args:
        hosts: the boards.
        as_json: print a JSON list in place of a line per board.
        options: options of ssh, as after `-o`.

    Returns:
        Whether all of them are healthy.
    """
    found: dict[str, dict[str, Any]] = {}

    def one(host: Host, report: Report) -> bool:
        with Connection(host, options) as connection:
            found[host.name] = {"board": host.name, **_status_of(gather_facts(connection))}
        report(_line(found[host.name]))
        return bool(found[host.name]["healthy"])

    width = max(len(host.name) for host in hosts)

    def print_line(outcome: Outcome) -> None:
        if not as_json:
            print(f"{outcome.host.name:{width}}  {outcome.text}", flush=True)

    outcomes = on_each_board(hosts, one, quiet=True, ended=print_line)
    if as_json:
        lost = {
            outcome.host.name: {"board": outcome.host.name, "healthy": False, "error": outcome.text}
            for outcome in outcomes
        }
        print(json.dumps([found.get(host.name) or lost[host.name] for host in hosts], indent=2))
    return all_succeeded(outcomes)


def _status_of(board: Board) -> dict[str, Any]:
    """Return a board's status for JSON; a value is None if the daemon does not run or is too old to report it."""
    daemon = board.daemon if board.service == "active" else {}
    lacks_frames = daemon.get("watching", True) and daemon.get("fps") == 0
    lacks_broker = daemon.get("broker") not in (None, "connected")
    return {
        "healthy": board.service == "active" and not lacks_frames and not lacks_broker,
        "version": board.installed or None,
        "service": board.service,
        "upgrading": upgrading(board),
        **{key: daemon.get(key) for key in ("model", "camera", "broker", "fps", "temperature", "last_error")},
        "uptime": board.uptime,
        "free_mib": board.var // 1024,
        "suite": board.suite,
        "arch": board.arch,
        "last_upgrade": board.result or None,
    }


def _line(status: dict[str, Any]) -> str:
    # While dpkg works, no version is installed.
    facts = [status["version"] or ("being installed" if status["upgrading"] else "not installed"), status["service"]]
    if status["upgrading"] and status["version"]:
        facts.append("an upgrade is running")
    if status["model"]:
        facts.append(status["model"])
    if status["camera"]:
        facts.append(f"camera {status['camera']}")
    if status["broker"]:
        facts.append(f"broker {status['broker']}")
    if status["fps"] is not None:
        facts.append(f"{status['fps']:.1f} frames/s")
    if status["temperature"] is not None:
        facts.append(f"{status['temperature']:.0f} °C")
    facts.append(f"up {_duration(status['uptime'])}")
    facts.append(f"{status['free_mib'] / 1024:.1f} GiB free")
    if status["last_error"]:
        facts.append(f"last error: {status['last_error']}")
    elif status["last_upgrade"] not in (None, f"ok {status['version']}"):
        facts.append(f"last upgrade: {status['last_upgrade']}")
    return ", ".join(facts)


def _duration(seconds: int) -> str:
    if seconds >= 86400:
        return f"{seconds // 86400} d"
    return f"{seconds // 3600} h" if seconds >= 3600 else f"{seconds // 60} min"
