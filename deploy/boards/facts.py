"""Reads facts about a board and its state over SSH, without changing anything."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from deploy.boards.ssh import Connection
from edge.errors import printable, shortened

HOME: Final = "/var/lib/emotion-deploy"
"""Folder on a board in which the upgrade script keeps packages and results."""

UNIT: Final = "emotion-edge-upgrade.service"

_SECONDS: Final = 120.0
_TEXT_MAX: Final = 300
_DIGITS_MAX: Final = 12
_NUMBERS: Final = ("fps", "temperature")

_FACTS: Final = f"""
echo arch=$(dpkg --print-architecture)
. /etc/os-release; echo suite=$VERSION_CODENAME
dpkg-query -W -f='${{db:Status-Status}}=${{Version}}\n' emotion-edge 2>/dev/null | grep ^installed=
# The folder of packages is closed to all but root.
echo kept=$(sudo -n sh -c 'dpkg-deb -f {HOME}/current/emotion-edge_*.deb Version' 2>/dev/null)
echo opt=$(df -Pk /opt | awk 'NR==2 {{print $4}}')
echo var=$(df -Pk /var/lib | awk 'NR==2 {{print $4}}')
echo service=$(systemctl is-active emotion-edge.service)
echo busy=$(systemctl is-active {UNIT})
echo uptime=$(cut -d. -f1 /proc/uptime)
echo result=$(cat {HOME}/result 2>/dev/null)
echo daemon=$(cat /run/emotion-edge/status.json 2>/dev/null)
sudo -n true 2>/dev/null && echo sudo=yes
exit 0
"""


@dataclass(frozen=True)
class Board:
    """Facts of a board.

    kept: version whose package the board keeps for a rollback. opt, var: free space in /opt and /var/lib, KiB.
    uptime: seconds. result: result of the last upgrade. daemon: contents of the daemon's status file, empty if it does
    not run.
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
    uptime: int
    result: str
    daemon: Mapping[str, Any]


def gather_facts(connection: Connection) -> Board:
    """Read a board's facts."""
    lines = connection.run("sh -s", _FACTS, _SECONDS).splitlines()
    given = dict(line.split("=", 1) for line in lines if "=" in line)
    facts = {name: _text(value) for name, value in given.items()}
    return Board(
        arch=facts.get("arch", ""),
        suite=facts.get("suite", ""),
        installed=facts.get("installed", ""),
        kept=facts.get("kept", ""),
        opt=_whole(facts.get("opt", "")),
        var=_whole(facts.get("var", "")),
        service=facts.get("service", ""),
        busy=facts.get("busy", ""),
        can_sudo=facts.get("sudo") == "yes",
        uptime=_whole(facts.get("uptime", "")),
        result=facts.get("result", ""),
        daemon=_daemon(given.get("daemon", "")),
    )


def upgrading(board: Board) -> bool:
    """Whether an upgrade runs on the board."""
    return board.busy in ("active", "activating")


def _text(value: str) -> str:
    return shortened(printable(value), _TEXT_MAX)


def _whole(text: str) -> int:
    """Return a whole number of at most _DIGITS_MAX digits, and 0 for any other text."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _DIGITS_MAX else 0


def _daemon(text: str) -> Mapping[str, str | float | bool | None]:
    """Read the daemon's status file: short texts and finite numbers; what else a broken board sends is left out."""
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    daemon: dict[str, str | float | bool | None] = {}
    for key, value in found.items() if isinstance(found, dict) else ():
        is_number = isinstance(value, (int, float)) and abs(value) < 1e12
        if key in _NUMBERS:
            daemon[key] = value if is_number and math.isfinite(value) and not isinstance(value, bool) else None
        elif isinstance(value, str):
            daemon[key] = _text(value)
        elif value is None or isinstance(value, bool):
            daemon[key] = value
    return daemon
