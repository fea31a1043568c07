"""Steps of the board's test: upgrades and model installations, and the rollback of broken ones."""

import contextlib
import io
import json
import shutil
import time
from pathlib import Path

from deploy.boards.commands import model
from deploy.boards.facts import HOME
from deploy.boards.inventory import Host
from deploy.boards.rollout import Plan, roll_out
from deploy.emulated.board import SLOW, Board
from deploy.emulated.packages import ROOT, current_package
from deploy.emulated.repository import Repository, tamper
from edge.errors import EmotionEdgeError


def upgrade(board: Board) -> None:
    """A push over SSH installs the next version."""
    board.boot()
    _push(board, board.next_version("a"), well=True)
    board.healthy()


def broken(board: Board) -> None:
    """The board rolls back a version that does not start."""
    board.boot()
    before = board.installed()
    _push(board, board.next_version("b", breaks=True), well=False)
    if board.installed() != before:
        raise EmotionEdgeError(f"{board.installed()} is installed, not {before}")
    board.healthy()


def canary(board: Board) -> None:
    """A version that does not start is undone on the first board, and no other board is touched."""
    board.boot()
    before = board.installed()
    hosts = [board.machine.host, Host("second", "nobody@127.0.0.1", 1)]
    plan = Plan(canary=1, start_timeout=SLOW)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        done = roll_out(hosts, board.next_version("b", breaks=True), plan, board.machine.options)
    summary = printed.getvalue().splitlines()[-3:]
    board.log("; ".join(summary))
    if done or "skipped: a canary failed" not in summary[-1] or board.installed() != before:
        raise EmotionEdgeError(f"the push came to: {summary}, and {board.installed()} is installed")
    board.healthy()


def updates(board: Board) -> None:
    """The board installs a signed version by itself, undoes one that does not start, and refuses altered files."""
    board.boot()
    repository = Repository(board.folder, board.machine.repository, board.machine.repository_url)
    # The running version must be in the repository for a rollback.
    repository.publish(current_package(board.arch))
    good = repository.publish(board.next_version("u"))
    _update(board)
    if board.installed() != good:
        raise EmotionEdgeError(f"{board.installed()} is installed, not {good}")
    board.healthy()
    repository.publish(board.next_version("v", breaks=True))
    _update(board)
    if board.installed() != good:
        raise EmotionEdgeError(f"{board.installed()} is installed, not {good}")
    board.log(f"once more: {_update(board)}")
    board.healthy()
    for part in ("package", "index"):
        repository.publish(board.next_version("w"))
        undo = tamper(board.machine.repository, part)
        board.log(f"changed {part}: {_update(board)}")
        undo()
        if board.installed() != good:
            raise EmotionEdgeError(f"{board.installed()} is installed, not {good}")
    board.healthy()


def _update(board: Board) -> str:
    """Start the update service, as its timer would, and wait for its end; returns the last line of its log."""
    shell = board.machine.shell
    shell("systemctl is-enabled emotion-edge-update.timer")
    shell(f"rm -f {HOME}/result; systemctl start emotion-edge-update.service || true")
    last = shell("journalctl -u emotion-edge-update.service -o cat --no-pager | grep -v systemd | tail -4")
    if result := shell(f"cat {HOME}/result 2>/dev/null || true"):
        board.log(result)
    return " / ".join(last.splitlines())


def models(board: Board) -> None:
    """A model is installed over SSH, and rolled back."""
    board.boot()
    released = _other_model(other := board.folder / "emotion-other")
    for words, folder, runs in ((["install"], other, "9.9.9"), (["rollback"], None, released)):
        if not model([board.machine.host], words, folder, board.machine.options):
            raise EmotionEdgeError(f"model {words[0]}: failed")
        if not any(line.startswith("*") and f" {runs} " in line for line in board.models()):
            raise EmotionEdgeError(f"after {words[0]}, {runs} does not run: {board.models()}")
        board.log(f"model {words[0]}: {runs} runs")
    board.healthy()


def _other_model(folder: Path) -> str:
    """Pack emotion-small as version 9.9.9 into a folder; returns the version of the original."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "models/emotion-small", folder)
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | {"version": "9.9.9"}))
    return str(card["version"])


def _push(board: Board, package: Path, well: bool, start_timeout: int = SLOW) -> None:
    started = time.monotonic()
    done = roll_out([board.machine.host], package, Plan(start_timeout=start_timeout), board.machine.options)
    verdict = board.machine.shell(f"cat {HOME}/result")
    board.log(f"push took {time.monotonic() - started:.0f} s: {verdict}")
    if done != well or not verdict.startswith("ok " if well else "rolled-back "):
        raise EmotionEdgeError(f"the push came to: {verdict}")
