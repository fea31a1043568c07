"""Tests of deployment on an emulated board: `make board`, or some of its steps by name.

Each step leaves the machine running for the next, and a card that later runs start from: run/card.img.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TextIO

import yaml

from deploy.boards.commands import model
from deploy.boards.facts import HOME
from deploy.boards.rollout import Plan, roll_out
from deploy.emulated import base
from deploy.emulated.machine import USER, Machine, Subscriber, copy_sparse, wait_for
from deploy.emulated.packages import ROOT, current_package, emotion_deploy, later_package
from edge.errors import EmotionEdgeError

RUN: Final = base.CACHE / "run"
CARD: Final = RUN / "card.img"
FRESH: Final = RUN / "fresh.img"
CLIP: Final = "/opt/emotion-edge/lib/python3.13/site-packages/edge/media/clip.mp4"
SLOW: Final = 3600
"""Time limit of any wait, s."""

_EMOTION_EDGE: Final = "/opt/emotion-edge/bin/emotion-edge"
_DAEMON: Final = "systemctl show -p MainPID --value emotion-edge"


class Board:
    """What the steps share: the machine, and a log that goes to the screen and to a file."""

    def __init__(self, log: TextIO) -> None:
        self._log = log
        self._started = time.monotonic()
        self.machine = Machine(CARD, RUN)

    def log(self, text: str) -> None:
        line = f"{time.monotonic() - self._started:6.0f} s  {text}"
        print(line, flush=True)
        print(line, file=self._log, flush=True)

    def boot(self) -> None:
        """Start the machine unless it runs, and wait for SSH."""
        if not self.machine.reached():
            self.machine.cut_power()
            self.machine.start()
            seconds = wait_for(self.machine.reached, "it accepts SSH", SLOW)
            self.log(f"booted and accepted SSH after {seconds:.0f} s")

    def installed(self) -> str:
        return self.machine.shell("dpkg-query -W -f='${Version}' emotion-edge")

    def healthy(self) -> None:
        """Wait until the service is active and a subscriber here receives a face."""
        self.boot()
        seconds = wait_for(lambda: self._state() == "active", "the service is active", SLOW)
        since = time.monotonic()
        subscriber = Subscriber(self.machine.mqtt_port)
        try:
            subscriber.wait("status", lambda word: word == "online", SLOW)
            subscriber.wait("faces", lambda body: bool(body["faces"]), SLOW, since)
        finally:
            subscriber.close()
        self.log(f"the service is active ({seconds:.0f} s) and a face was published ({time.monotonic() - since:.0f} s)")

    def _state(self) -> str:
        return self.machine.shell("systemctl is-active emotion-edge || true")


def image(board: Board) -> None:
    """A card from the base image, made by `emotion-deploy image`."""
    package = current_package()
    site = {
        "hostname": "emulated",
        "user": {
            "name": USER,
            "ssh_key_files": [str(board.machine.key.with_suffix(".pub"))],
            "password": "on the wall",
        },
        "wifi": {"ssid": "attic", "password": "no radio here", "country": "DE"},
        "timezone": "Europe/Berlin",
        "files": {"/etc/emotion-edge/id.pub": str(board.machine.key.with_suffix(".pub"))},
        "settings": {
            "camera": {"source": CLIP},
            "mqtt": {"host": "127.0.0.1", "device_id": "emulated"},
            "web": {"port": 8080},
        },
        "start_timeout": SLOW,
    }
    file = RUN / "site.yaml"
    file.write_text(yaml.safe_dump(site))
    emotion_deploy("image", "--base", str(base.BASE), "--config", str(file), "-o", str(CARD), "--package", str(package))
    copy_sparse(CARD, FRESH)
    board.log(f"card: {CARD.stat().st_size / 1e6:.0f} MB, package {package.stat().st_size / 1e6:.0f} MB")


def first_boot(board: Board) -> None:
    """The package is installed without network, the service runs, and no secret stays on the boot partition."""
    board.boot()
    _installed_by_first_boot(board)
    board.healthy()
    _no_secrets(board)


def _installed_by_first_boot(board: Board) -> None:
    seconds = wait_for(lambda: bool(board.machine.shell(f"cat {HOME}/result || true")), "the first boot installs", SLOW)
    result = board.machine.shell(f"cat {HOME}/result")
    board.log(f"the first boot installed after {seconds:.0f} s more: {result}")
    if not result.startswith("ok "):
        raise EmotionEdgeError(
            board.machine.shell(f"cat {HOME}/progress {HOME}/install.log; journalctl -n 50 --no-pager")
        )


def _no_secrets(board: Board) -> None:
    gone = "! test -e /boot/firmware/emotion-edge && ! grep -q passwd /boot/firmware/user-data && echo gone"
    wait_for(lambda: board.machine.shell(f"{gone} || true") == "gone", "secrets leave the boot partition", SLOW)
    if modes := board.machine.shell(
        "find /etc/emotion-edge/config.yaml /etc/emotion-edge/id.pub /etc/netplan -type f -perm /o=r"
    ):
        raise EmotionEdgeError(f"world-readable: {modes}")
    if board.machine.shell("hostname; readlink /etc/localtime").split() != [
        "emulated",
        "/usr/share/zoneinfo/Europe/Berlin",
    ]:
        raise EmotionEdgeError("the board does not have the host name and time zone of its site file")
    board.log("no secret is left on the boot partition or world-readable on the root partition")


def messages(board: Board) -> None:
    """A subscriber on this machine receives status, state, faces and stats through the board's broker."""
    board.boot()
    since, subscriber = time.monotonic(), Subscriber(board.machine.mqtt_port)
    try:
        status = subscriber.wait("status", lambda word: word == "online", SLOW)
        faces = subscriber.wait("faces", lambda body: bool(body["faces"]), SLOW)
        state = subscriber.wait("state", lambda body: body.get("faces", 1), SLOW)
        stats = subscriber.wait("stats", lambda _: True, SLOW)
    finally:
        subscriber.close()
    board.log(f"status: {status.payload}; state: {state.payload}")
    board.log(f"faces: {faces.payload}")
    board.log(f"stats: {stats.payload} (after {time.monotonic() - since:.0f} s)")


def camera(board: Board) -> None:
    """The service reads a V4L2 camera (the kernel's `vivid`) under its sandbox; then the clip again."""
    board.boot()
    _settings(board, source="/dev/video0")
    since, subscriber = time.monotonic(), Subscriber(board.machine.mqtt_port)
    try:
        message = subscriber.wait("faces", lambda body: "faces" in body, SLOW, since)
    finally:
        subscriber.close()
    board.log(f"from /dev/video0: {message.payload}")
    _settings(board, source=CLIP)
    board.healthy()


def _settings(board: Board, source: str) -> None:
    board.machine.shell(f"sed -i 's|^  source: .*|  source: {source}|' /etc/emotion-edge/config.yaml")
    board.machine.shell("systemctl restart emotion-edge")


def screen(board: Board) -> None:
    """A screenshot of the board's display."""
    board.boot()
    out = RUN / "screen.png"
    board.machine.screenshot(out)
    board.log(f"screen: {out}")


def watchdog(board: Board) -> None:
    """systemd's watchdog restarts a daemon that hangs."""
    board.boot()
    before = board.machine.shell(_DAEMON)
    board.machine.shell(f"kill -STOP {before}")
    seconds = wait_for(lambda: board.machine.shell(_DAEMON) not in (before, "0"), "the watchdog restarts it", SLOW)
    board.log(f"stopped; another daemon runs after {seconds:.0f} s")
    board.healthy()


def upgrade(board: Board) -> None:
    """A push over SSH installs the next version."""
    board.boot()
    _push(board, _next_version(board, "a"), well=True)
    board.healthy()


def broken(board: Board) -> None:
    """The board rolls back a version that does not start."""
    board.boot()
    before = board.installed()
    _push(board, _next_version(board, "b", breaks=True), well=False)
    if board.installed() != before:
        raise EmotionEdgeError(f"{board.installed()} is installed, not {before}")
    board.healthy()


def models(board: Board) -> None:
    """A model is installed over SSH, and rolled back."""
    board.boot()
    released = _other_model(other := RUN / "emotion-other")
    for words, folder, runs in ((["install"], other, "9.9.9"), (["rollback"], None, released)):
        if not model([board.machine.host], words, folder, board.machine.options):
            raise EmotionEdgeError(f"model {words[0]}: failed")
        if not any(line.startswith("*") and f" {runs} " in line for line in _models(board)):
            raise EmotionEdgeError(f"after {words[0]}, {runs} does not run: {_models(board)}")
        board.log(f"model {words[0]}: {runs} runs")
    board.healthy()


def _other_model(folder: Path) -> str:
    """emotion-small as version 9.9.9; its own version."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "models/emotion-small", folder)
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | {"version": "9.9.9"}))
    return str(card["version"])


def _models(board: Board) -> list[str]:
    return board.machine.shell(f"{_EMOTION_EDGE} model list").splitlines()


def cut_first_boot(board: Board) -> None:
    """Power cut while the first boot installs: the next boot finishes it."""
    board.machine.cut_power()
    copy_sparse(FRESH, CARD)
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
    _cut_push(board, _next_version(board, "c"), "installing ", "ok ")


def cut_broken(board: Board) -> None:
    """Power cut during a rollback: the next boot finishes it."""
    _cut_push(board, _next_version(board, "d", breaks=True), "going back ", "rolled-back ")


def _cut_push(board: Board, package: Path, step: str, ends: str) -> None:
    """Push, cut the power 20 s after a step begins, and check that the board finishes by itself."""
    board.boot()
    at_step = f"test -e {HOME}/incoming/ready && grep -q '^{step}' {HOME}/progress && echo yes || true"

    def cut() -> bool:
        if board.machine.shell(at_step) != "yes":
            return False
        time.sleep(20)
        board.machine.cut_power()
        return True

    pusher = subprocess.Popen(
        [sys.executable, "-c", _PUSHER, str(package), str(board.machine.ssh_port), *board.machine.options], cwd=ROOT
    )
    wait_for(cut, f"the board reports {step}", SLOW)
    pusher.wait()
    board.log(f"power cut 20 s after {step}")
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
    # Watched for on the board: over SSH it would be over before it is seen.
    install = f"nohup {_EMOTION_EDGE} model install {there} >/dev/null 2>&1 &"
    board.machine.shell(f"{install}\nuntil ls -d {store}/.coming-* >/dev/null 2>&1; do sleep 0.1; done")
    board.machine.cut_power()
    board.log("the power went while the model was being installed")
    board.boot()
    listed = _models(board)
    if not any(line.startswith("*") and ("9.9.9" in line or "emotion-small" in line) for line in listed):
        raise EmotionEdgeError(f"no emotion model runs: {listed}")
    board.log(f"runs: {next(line for line in listed if line.startswith('*'))}")
    board.healthy()


_PUSHER: Final = """
import sys
from pathlib import Path
from deploy.emulated.machine import USER
from deploy.boards.rollout import Plan, roll_out
from deploy.boards.inventory import Host
package, port, *options = sys.argv[1:]
roll_out([Host("board", f"{USER}@127.0.0.1", int(port))], Path(package), Plan(start_timeout=3600), tuple(options))
"""

STEPS: Final[tuple[Callable[[Board], None], ...]] = (
    image,
    first_boot,
    messages,
    camera,
    screen,
    watchdog,
    upgrade,
    broken,
    models,
    cut_upgrade,
    cut_broken,
    cut_model,
    cut_first_boot,
)


def _next_version(board: Board, suffix: str, breaks: bool = False) -> Path:
    made = later_package(RUN, suffix, breaks)
    board.log(f"packed {made.name}")
    return made


def _push(board: Board, package: Path, well: bool, start_timeout: int = SLOW) -> None:
    started = time.monotonic()
    done = roll_out([board.machine.host], package, Plan(start_timeout=start_timeout), board.machine.options)
    verdict = board.machine.shell(f"cat {HOME}/result")
    board.log(f"push took {time.monotonic() - started:.0f} s: {verdict}")
    if done != well or not verdict.startswith("ok " if well else "rolled-back "):
        raise EmotionEdgeError(f"the push came to: {verdict}")


def main() -> int:
    """`python -m deploy.emulated.board_test [STEP ...]`: all steps, or these. Status 1 where one failed."""
    names = [step.__name__ for step in STEPS]
    parser = argparse.ArgumentParser(prog="make board", description=__doc__)
    parser.add_argument("steps", nargs="*", choices=[*names, []], metavar="STEP", help=", ".join(names))
    chosen = parser.parse_args().steps or names
    os.nice(5)
    RUN.mkdir(parents=True, exist_ok=True)
    with (RUN / "board.log").open("a") as log:
        board = None
        try:
            base.build()
            board = Board(log)
            for step in STEPS:
                if step.__name__ in chosen:
                    board.log(f"== {step.__name__}: {(step.__doc__ or '').splitlines()[0]}")
                    step(board)
            board.log("== all done")
        except EmotionEdgeError as error:
            (board.log if board else print)(f"FAILED: {error}")
            return 1
        finally:
            if board:
                board.machine.cut_power()
    return 0


if __name__ == "__main__":
    sys.exit(main())
