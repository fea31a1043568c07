"""Reads facts about a board and its state over SSH, without changing anything."""

import json
from dataclasses import dataclass
from typing import Any, Final

from deploy.boards.ssh import Connection

HOME: Final = "/var/lib/emotion-deploy"
"""Folder on a board in which the upgrade script keeps packages and results."""

UNIT: Final = "emotion-edge-upgrade.service"

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
    daemon: dict[str, Any]


def gather_facts(connection: Connection) -> Board:
    """Read a board's facts."""
    lines = connection.run("sh -s", _FACTS).splitlines()
    facts = dict(line.split("=", 1) for line in lines if "=" in line)
    try:
        daemon = json.loads(facts.get("daemon") or "{}")
    except ValueError:
        daemon = {}
    return Board(
        arch=facts.get("arch", ""),
        suite=facts.get("suite", ""),
        installed=facts.get("installed", ""),
        kept=facts.get("kept", ""),
        opt=int(facts.get("opt") or 0),
        var=int(facts.get("var") or 0),
        service=facts.get("service", ""),
        busy=facts.get("busy", ""),
        can_sudo=facts.get("sudo") == "yes",
        uptime=int(facts.get("uptime") or 0),
        result=facts.get("result", ""),
        daemon=daemon if isinstance(daemon, dict) else {},
    )
