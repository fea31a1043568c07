"""Records that something else wrote or damaged: each command ends with one line."""

import os
import sqlite3
import time
from pathlib import Path

import pytest

from edge.cli import main
from edge.record.database import Database

COLUMNS = "run, track, start, began, duration, emotion, confidence, valence, arousal, frames"


@pytest.fixture
def record(tmp_path: Path) -> Path:
    path = tmp_path / "record.db"
    Database(path, "1", "model", "hash").close()
    with sqlite3.connect(path) as connection:
        began = round(time.time() * 1000)
        connection.execute("INSERT INTO runs VALUES (1, ?, '1', 'model', 'hash')", (began,))
        connection.execute("INSERT INTO watched VALUES (1, 1, ?, 1000, 30)", (began,))
        connection.execute(
            f"INSERT INTO seen ({COLUMNS}) VALUES (1, 1, 'appeared', ?, 1000, 'happy', 0.5, 0.1, 0.1, 30)", (began,)
        )
    return path


ENDLESS = """
DROP TABLE seen;
CREATE VIEW seen AS WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT x AS id, 1 AS run,
1 AS track, 'appeared' AS start, strftime('%s') * 1000 AS began, 1 AS duration, 'happy' AS emotion,
0.5 AS confidence, 0.0 AS valence, 0.0 AS arousal, 1 AS frames FROM r;
"""


@pytest.mark.parametrize(
    ("script", "commands"),
    [
        ("UPDATE seen SET began = 1 << 62", ("export",)),
        ("UPDATE seen SET began = -(1 << 62)", ("export",)),
        ("UPDATE seen SET valence = -9e999", ("report",)),
        (ENDLESS, ("report", "export")),
        ("DROP TABLE watched", ("report", "export")),
    ],
)
def test_a_record_with_values_that_cannot_be_is_one_line(
    script: str, commands: tuple[str, ...], record: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with sqlite3.connect(record) as connection:
        connection.executescript(script)
    for command in commands:
        out = ["--out", str(tmp_path / "r.html")] if command == "report" else []
        assert main([command, *out, "--record.file", str(record)]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"emotion-edge: record {record}: ")
        assert error.count("\n") == 1


def test_a_pipe_in_place_of_the_record_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "record.db")
    assert main(["export", "--record.file", str(tmp_path / "record.db")]) == 2
    assert "is not a regular file" in capsys.readouterr().err


def test_control_characters_of_a_tampered_record_do_not_reach_the_terminal(
    record: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with sqlite3.connect(record) as connection:
        connection.execute("PRAGMA ignore_check_constraints = 1")
        connection.execute("UPDATE seen SET emotion = ?, start = ?", ("\x1b]0;mine\x07", "\x9b2J\r"))
    written = tmp_path / "r.csv"
    assert main(["export", "--record.file", str(record)]) == 0
    printed = capsys.readouterr().out
    assert main(["report", "--out", str(written), "--record.file", str(record)]) == 0
    for text in (printed, written.read_text(encoding="utf-8")):
        assert "\\x9b2J\\x0d,\\x1b]0;mine\\x07" in text
        assert "".join(text.splitlines()).isprintable()
