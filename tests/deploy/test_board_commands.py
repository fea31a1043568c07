"""Wrong usage of the commands on boards, and Ctrl-C in them."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy import cli
from deploy.boards import commands
from deploy.boards.commands import logs, model
from deploy.boards.facts import gather_facts
from deploy.boards.inventory import Host
from deploy.boards.push import Package, check_board
from edge.errors import EmotionEdgeError
from tests.support.daemon import wait_until


@pytest.mark.parametrize(
    "words",
    ["push --canary -1", "push --canary one", "push --max-failures 0", "push --start-timeout 0", "logs -n -5"],
)
def test_numbers_that_make_no_sense_are_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([*words.split(), "pi@kitchen"])
    assert ended.value.code == 2
    assert "is no whole number of 1 or more" in capsys.readouterr().err


def test_a_folder_that_is_no_model_is_refused_before_a_board_is_asked(tmp_path: Path) -> None:
    with pytest.raises(EmotionEdgeError, match=r"is no model: it has no card\.json"):
        model([Host("nowhere", "nowhere.invalid")], ["install"], tmp_path)


class _Board:
    """Imitates a connection to a board that installs its first package."""

    def __init__(self, *_: Any) -> None: ...
    def __enter__(self) -> "_Board":
        return self

    def __exit__(self, *_: object) -> None: ...
    def run(self, command: str, *_: Any) -> str:
        return "busy=activating\n" if command == "sh -s" else "one line\nanother\n"


def test_a_model_is_not_pushed_into_an_upgrade(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(commands, "Connection", _Board)
    assert not model([Host("kitchen", "pi@kitchen")], ["list"])
    assert "kitchen  failed: an upgrade is running there" in capsys.readouterr().out


def test_logs_have_the_boards_name_and_no_other_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(commands, "Connection", _Board)
    assert logs([Host("kitchen", "pi@kitchen"), Host("hall", "pi@hall")], 2, follow=False)
    assert sorted(capsys.readouterr().out.splitlines()) == [
        "hall     another",
        "hall     one line",
        "kitchen  another",
        "kitchen  one line",
    ]


def test_a_full_disk_stops_a_package_and_not_settings_alone() -> None:
    package = Package(Path("emotion-edge.deb"), "1", "arm64", "trixie", 54_000, 222_000, "emotion-edge_1_arm64.deb")
    board = gather_facts(_FullBoard())  # type: ignore[arg-type]
    check_board(board, package, has_package=True)
    with pytest.raises(EmotionEdgeError, match="/opt has 98 MiB free, 335 MiB are needed"):
        check_board(board, package, has_package=False)


class _FullBoard(_Board):
    def run(self, *_: Any) -> str:
        return "arch=arm64\nsuite=trixie\nopt=100000\nvar=100000\nsudo=yes\nbusy=inactive\n"


def test_ctrl_c_ends_a_command_without_a_traceback(tmp_path: Path) -> None:
    ssh, started = tmp_path / "ssh", tmp_path / "started"
    ssh.write_text(f"#!/bin/sh\ncase \"$*\" in *'-O exit'*) exit 0 ;; esac\n: >{started}\nexec sleep 60\n")
    ssh.chmod(0o755)
    words = [sys.executable, "-m", "deploy.cli", "status", "pi@a", "pi@b"]
    path = f"{tmp_path}:{os.environ['PATH']}"
    # A terminal sends the signal to ssh as well, which is in the same process group.
    with subprocess.Popen(
        words, stderr=subprocess.PIPE, text=True, env={**os.environ, "PATH": path}, start_new_session=True
    ) as process:
        wait_until(started.exists, "ssh runs")
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip() == "emotion-deploy: interrupted"
