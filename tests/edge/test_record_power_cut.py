"""The record through power cuts and full disks: processes that are killed, and disks that end."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.record_writer import BATCH

KILLS = 20


def started(path: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.record_writer", str(path), *words],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def found(path: Path) -> int:
    """Count the rows of a record; fails if the file is damaged."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        query = "SELECT (SELECT count(*) FROM seen) + (SELECT count(*) FROM watched)"
        return int(connection.execute(query).fetchone()[0])


def test_a_record_that_is_killed_while_it_writes_is_whole_and_lacks_the_last_batch_at_most(tmp_path: Path) -> None:
    path = tmp_path / "record.sqlite3"
    chance = random.Random(20)
    process = started(path, "batches")
    assert process.stdin
    assert process.stdout
    for _ in range(KILLS):
        print("go", file=process.stdin, flush=True)
        written = 0
        for _ in range(chance.randint(1, 8)):
            child, written = map(int, process.stdout.readline().split())
        time.sleep(chance.uniform(0, 0.02))  # at a random moment in the next batches
        os.kill(child, signal.SIGKILL)
        while (line := process.stdout.readline()) != "ended\n":
            written = int(line.split()[1])
        assert written <= found(path) <= written + 2 * BATCH
    process.communicate()
    assert list(tmp_path.glob("*damaged*")) == []


def recovered(process: subprocess.Popen[str], path: Path) -> None:
    """Check that the record logged one line at its pause, one when it resumed, and that no row is missing."""
    output, log = process.communicate(timeout=60)
    assert process.returncode == 0, log
    paused, figures = output.splitlines()
    rows, dropped = map(int, figures.split())
    assert paused == "paused"
    assert dropped == 0
    assert found(path) == rows
    assert [line.split(":")[1].split()[0] for line in log.splitlines() if line.startswith("record")] == [
        "paused",
        "resumed",
    ]


def test_a_file_that_may_not_grow_pauses_the_record_until_it_may(tmp_path: Path) -> None:
    path = tmp_path / "record.sqlite3"
    recovered(started(path, "limited", "200000"), path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 1 MB; yields its folder."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mount.returncode:
        pytest.skip(f"a small disk cannot be mounted by this user: {mount.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_pauses_the_record_until_there_is_space(small_disk: Path) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(600_000))
    path = small_disk / "record.sqlite3"
    recovered(started(path, "beside", str(filler)), path)
