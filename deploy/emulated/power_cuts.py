"""Steps of the board's test: power cuts during installations."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from deploy.boards.facts import HOME
from deploy.emulated.board import EMOTION_EDGE, SLOW, Board
from deploy.emulated.card import first_boot
from deploy.emulated.machine import wait_for
from deploy.emulated.packages import ROOT
from edge.errors import EmotionEdgeError

_PUSHER: Final = """
import sys
from pathlib import Path
from deploy.emulated.machine import USER
from deploy.boards.rollout import Plan, roll_out
from deploy.boards.inventory import Host
package, port, *options = sys.argv[1:]
roll_out([Host("board", f"{USER}@127.0.0.1", int(port))], Path(package), Plan(start_timeout=3600), tuple(options))
"""


def cut_first_boot(board: Board) -> None:
    """Power cut while the first boot installs: the next boot finishes it."""
    board.machine.insert(board.fresh_card)
    board.machine.start()
    wait_for(board.machine.reached, "it accepts SSH", SLOW)
    unpacking = "dpkg-query -W -f='${db:Status-Status}' emotion-edge 2>/dev/null || true"
    states = ("half-installed", "unpacked", "half-configured")
    wait_for(lambda: board.machine.shell(unpacking) in states, "the package is being installed", SLOW)
    board.log(f"the power goes while the package is {board.machine.shell(unpacking)}")
    board.machine.cut_power()
    first_boot(board)


def cut_upgrade(board: Board) -> None:
    """Power cut while a push installs: the next boot finishes it."""
    _cut_push(board, board.next_version("c"), "installing ", "ok ")


def cut_broken(board: Board) -> None:
    """Power cut during a rollback: the next boot finishes it."""
    _cut_push(board, board.next_version("d", breaks=True), "going back ", "rolled-back ")


def _cut_push(board: Board, package: Path, step: str, ends: str) -> None:
    """Push, cut the power some seconds after a step begins, and check that the board finishes by itself."""
    board.boot()
    delay = 20 if board.arch == "arm64" else 3
    at_step = f"test -e {HOME}/incoming/ready && grep -q '^{step}' {HOME}/progress && echo yes || true"

    def cut() -> bool:
        if board.machine.shell(at_step) != "yes":
            return False
        time.sleep(delay)
        board.machine.cut_power()
        return True

    pusher = subprocess.Popen(
        [sys.executable, "-c", _PUSHER, str(package), str(board.machine.ssh_port), *board.machine.options], cwd=ROOT
    )
    wait_for(cut, f"the board reports {step}", SLOW)
    pusher.wait()
    board.log(f"power cut {delay} s after {step}")
    board.boot()
    wait_for(lambda: bool(board.machine.shell(f"cat {HOME}/result || true")), "the board finishes by itself", SLOW)
    result = board.machine.shell(f"cat {HOME}/result")
    board.log(result)
    if not result.startswith(ends):
        raise EmotionEdgeError(f"it should have ended with {ends}")
    board.healthy()


def cut_model(board: Board) -> None:
    """Power cut while a model is installed: afterwards the old one or the new one runs, complete."""
    board.boot()
    there, store = "/var/tmp/emotion-other", "/var/lib/emotion-edge/models"
    board.machine.shell(f"rm -rf {there}; cp -r /usr/share/emotion-edge/models/emotion-small {there}; sync")
    board.machine.shell(f"""sed -i '0,/"version"/s/"version": "[^"]*"/"version": "9.9.9"/' {there}/card.json""")
    # The board itself watches for the moment, which would be over before SSH could report it.
    install = f"nohup {EMOTION_EDGE} model install {there} >/dev/null 2>&1 &"
    board.machine.shell(f"{install}\nuntil ls -d {store}/.coming-* >/dev/null 2>&1; do sleep 0.1; done")
    board.machine.cut_power()
    board.log("the power went while the model was being installed")
    board.boot()
    listed = board.models()
    if not any(line.startswith("*") and ("9.9.9" in line or "emotion-small" in line) for line in listed):
        raise EmotionEdgeError(f"no emotion model runs: {listed}")
    board.log(f"runs: {next(line for line in listed if line.startswith('*'))}")
    board.healthy()
