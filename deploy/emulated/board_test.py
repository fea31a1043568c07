"""Tests of deployment on a test board: `make board`, or some of its steps by name.

The board is an emulated Arm machine, or with `--native` a container of this machine's processor (native.py). Each step
leaves it running for the next, and a card that later runs start from: run-ARCH/card.img.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import Final

from deploy.emulated import base
from deploy.emulated.board import CLIP, SLOW, Board
from deploy.emulated.card import first_boot, image
from deploy.emulated.machine import Subscriber, wait_for
from deploy.emulated.power_cuts import cut_broken, cut_first_boot, cut_model, cut_upgrade
from deploy.emulated.rollouts import broken, canary, models, updates, upgrade
from edge.errors import EmotionEdgeError

_DAEMON: Final = "systemctl show -p MainPID --value emotion-edge"


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
    out = board.folder / "screen.png"
    board.machine.screenshot(out)
    board.log(f"screen: {out}")


def watchdog(board: Board) -> None:
    """systemd's watchdog restarts a daemon that hangs."""
    board.boot()
    # The watchdog counts from the end of the start, which comes after SSH on a slow machine.
    board.healthy()
    before = board.machine.shell(_DAEMON)
    board.machine.shell(f"kill -STOP {before}")
    seconds = wait_for(lambda: board.machine.shell(_DAEMON) not in (before, "0"), "the watchdog restarts it", SLOW)
    board.log(f"stopped; another daemon runs after {seconds:.0f} s")
    board.healthy()


STEPS: Final[tuple[Callable[[Board], None], ...]] = (
    image,
    first_boot,
    messages,
    camera,
    screen,
    watchdog,
    upgrade,
    broken,
    canary,
    updates,
    models,
    cut_upgrade,
    cut_broken,
    cut_model,
    cut_first_boot,
)


HARDWARE: Final = ("camera", "screen")
"""Steps that need a camera or a screen, which only the emulated machine has."""


def main() -> int:
    """`python -m deploy.emulated.board_test [STEP ...]`: all steps, or these. Status 1 where one failed."""
    names = [step.__name__ for step in STEPS]
    parser = argparse.ArgumentParser(prog="make board", description=__doc__)
    parser.add_argument("steps", nargs="*", choices=[*names, []], metavar="STEP", help=", ".join(names))
    parser.add_argument("--native", action="store_true", help="in a container of this machine's processor")
    arguments = parser.parse_args()
    chosen = arguments.steps or [name for name in names if not (arguments.native and name in HARDWARE)]
    arch = "amd64" if arguments.native else "arm64"
    folder = base.CACHE / f"run-{arch}"
    os.nice(5)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "board.log").open("a") as log:
        board = None
        try:
            base.build(arch)
            board = Board(log, folder, arch)
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
