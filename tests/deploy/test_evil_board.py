"""Boards that were broken into or are broken: what they send over SSH hurts neither the terminal nor the memory."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.boards.commands import logs
from deploy.boards.inventory import Host
from deploy.boards.ssh import OUTPUT_MAX, Connection
from deploy.boards.status import status
from edge.errors import EmotionEdgeError

EVIL = Host("evil", "evil.example")
FACTS = "arch=arm64\nsuite=trixie\ninstalled=1.0.0\nservice=active\nvar=1048576\nuptime=60\n"
ESCAPES = "\x1b]0;mine\x07\x1b[2J\x9b31m"


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a script that stands in for ssh first on the path; each test writes it."""
    script = tmp_path / "ssh"
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return script


def answers(script: Path, text: str | bytes, after: str = "") -> None:
    answer = script.with_name("answer")
    answer.write_bytes(text if isinstance(text, bytes) else text.encode())
    script.write_text(f"#!/bin/sh\ncase \"$*\" in *'-O exit'*) exit;; esac\ncat '{answer}'\n{after}\n")
    script.chmod(0o755)


@pytest.mark.parametrize(
    "facts",
    [
        "installed=1.0.0" + ESCAPES,
        "result=failed" + ESCAPES,
        "uptime=" + "9" * 5000,
        "var=1e9",
        "uptime=-\u0663",
        "daemon=" + "[" * 100_000,
        'daemon={"fps": "fast", "temperature": {}, "model": [1], "camera": 7}',
        'daemon={"fps": 1e999, "temperature": NaN}',
        'daemon={"fps": true, "temperature": ' + "9" * 4000 + "}",
        "daemon=" + json.dumps({"last_error": ESCAPES * 1000, "camera": "\u202e" * 1000, "fps": 1.0}),
        "=\n==\n\x00=\x00",
    ],
)
def test_a_status_of_any_form_is_one_short_printable_line(
    facts: str, board: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers(board, f"{FACTS}{facts}\n")
    status([EVIL], as_json=False)
    line = capsys.readouterr().out
    assert line.startswith("evil  ")
    assert line.count("\n") == 1
    assert len(line) < 1500
    assert line.rstrip("\n").isprintable()
    status([EVIL], as_json=True)
    assert json.loads(capsys.readouterr().out)[0]["board"] == "evil"


def test_what_a_board_prints_as_a_reason_cannot_change_the_terminal(
    board: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers(board, "", f"printf '%s' '{ESCAPES}no' >&2; exit 1")
    assert not status([EVIL], as_json=False)
    assert not logs([EVIL], 10, follow=False)
    printed = capsys.readouterr().out
    assert "\\x1b" in printed
    assert "\x1b" not in printed


@pytest.mark.parametrize("follow", [False, True])
def test_a_log_of_a_board_cannot_change_the_terminal(
    follow: bool, board: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers(board, f"one {ESCAPES} line\n{'x' * 200_000}\n")
    assert logs([EVIL], 10, follow)
    printed = capsys.readouterr().out
    assert "one \\x1b]0;mine\\x07" in printed
    assert "\x1b" not in printed


ENDLESS = """
import sys
from deploy.boards.inventory import Host
from deploy.boards.status import status
status([Host("evil", "evil.example")], as_json=False)
"""


@pytest.mark.parametrize("where", ["", " >&2"])
def test_a_board_that_prints_without_end_is_left(where: str, board: Path) -> None:
    """The command has 1 GB of address space, which reading all would pass."""
    answers(board, "", f"exec cat /dev/zero{where}")
    done = subprocess.run(
        [sys.executable, "-c", ENDLESS],
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)),
    )
    assert done.stdout == "evil  failed: it prints more than 4 MiB: is this the board?\n", done.stderr[-500:]


def test_a_board_that_never_answers_is_left(board: Path) -> None:
    answers(board, "partly", "exec sleep 60")
    with Connection(EVIL) as connection, pytest.raises(EmotionEdgeError, match="no answer within 1 s"):
        connection.run("sh -s", "x" * OUTPUT_MAX, seconds=1)
