"""The log: limits per place in the code, priorities in the journal, and that a slow reader blocks nobody."""

import json
import logging
import os
import re
import subprocess
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from edge.media import CLIP
from edge.system.logs import LINES_MAX, PERIOD_S, RateLimit
from tests.conftest import ROOT
from tests.support.daemon import free_port, wait_until


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def record(line: int, level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord("name", level, "file.py", line, "odd request from %s", ("somebody",), None)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_one_place_logs_so_many_lines_and_then_says_how_many_were_left_out(clock: Clock) -> None:
    limit = RateLimit(clock)
    assert [limit.filter(record(1)) for _ in range(LINES_MAX + 500)] == [True] * LINES_MAX + [False] * 500
    assert limit.filter(record(2))
    clock.now = PERIOD_S
    late = record(1)
    assert limit.filter(late)
    assert late.getMessage() == "odd request from somebody (and 500 more like this were not logged)"
    again = record(1)
    assert limit.filter(again)
    assert again.getMessage() == "odd request from somebody"


def test_debug_output_is_whole(clock: Clock) -> None:
    limit = RateLimit(clock)
    assert all(limit.filter(record(1, logging.DEBUG)) for _ in range(1000))


def test_a_terminal_that_shows_the_log_is_not_steered_by_it() -> None:
    code = (
        "import logging; from edge.system.logs import start_logging; start_logging('info');"
        "[logging.warning('name \\x1b[2J\\x9b1m %s', n) for n in range(1000)]"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr
    assert "name \\x1b[2J\\x9b1m 0" in shown
    assert len(shown.splitlines()) == LINES_MAX


def logged(code: str, **environment: str) -> tuple[list[str], int]:
    """Run a program whose standard error seems to be the journal; returns its lines and exit status."""
    read_end, write_end = os.pipe()
    status = os.fstat(write_end)
    stream = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
    program = f"import logging, os; from edge.system.logs import start_logging; start_logging('debug')\n{code}"
    with subprocess.Popen(
        [sys.executable, "-c", program], stderr=write_end, env=os.environ | stream | environment
    ) as process:
        os.close(write_end)
        with os.fdopen(read_end) as lines:
            return lines.read().splitlines(), process.wait(60)


LEVELS = """
logging.debug("one"); logging.info("two"); logging.warning("three")
try: 1 / 0
except ZeroDivisionError: logging.exception("four")
"""


def test_in_the_journal_each_line_has_its_priority_and_no_time_of_its_own() -> None:
    lines, status = logged(LEVELS)
    assert lines[:5] == ["<7>one", "<6>two", "<4>three", "<3>four", "<3>Traceback (most recent call last):"]
    assert lines[-1] == "<3>ZeroDivisionError: division by zero"
    assert all(line.startswith("<3>") for line in lines[3:])
    assert status == 0


def test_elsewhere_a_line_has_one_time_and_its_level() -> None:
    for other in ({"JOURNAL_STREAM": ""}, {"JOURNAL_STREAM": "1:2"}):
        lines, _ = logged(LEVELS, **other)
        assert re.fullmatch(r"\d\d:\d\d:\d\d WARNING three", lines[2])


def test_a_log_that_is_not_read_holds_up_neither_the_program_nor_its_end() -> None:
    code = (
        "import logging; from edge.system.logs import start_logging; start_logging('debug')\n"
        "for n in range(20_000): logging.debug('%d %s', n, 'x' * 100)\n"
        "print('done', flush=True)"
    )
    read_end, write_end = os.pipe()  # holds 64 kB
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=write_end, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"done\n")
    os.close(write_end)
    os.close(read_end)


def test_a_daemon_whose_log_is_not_read_shows_its_page_and_ends(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    with suppress(BlockingIOError):
        while True:
            os.write(write_end, bytes(4096))
    os.set_blocking(write_end, True)
    flags = {"camera.source": CLIP, "web.port": (port := free_port()), "display.mode": "off", "log.level": "debug"}
    command = [sys.executable, "-m", "edge.cli", "run", *(f"--{name}={value}" for name, value in flags.items())]
    environment = os.environ | {"STATE_DIRECTORY": str(tmp_path)}
    with subprocess.Popen(command, stdout=write_end, stderr=write_end, env=environment) as daemon:

        def analyses() -> bool:
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/latest.json", timeout=5) as page:
                return bool((json.load(page) or {"faces": []})["faces"])
            return False

        try:
            wait_until(analyses, "a face on the page")
            daemon.terminate()
            assert daemon.wait(timeout=10) == 0
        finally:
            daemon.kill()
    os.close(write_end)
    os.close(read_end)


def test_the_log_is_written_to_a_pipe_that_may_not_be_opened_again() -> None:
    """As in a container without root, where standard error is a pipe owned by another user."""
    read, write = os.pipe()
    os.fchmod(write, 0)
    program = (
        "import logging, os\nfrom edge.system.logs import start_logging\n"
        "try:\n    os.open('/proc/self/fd/2', os.O_WRONLY)\nexcept PermissionError:\n"
        "    start_logging('info', service=True)\n    logging.info('started')\n    logging.shutdown()"
    )
    words = [sys.executable, "-c", program]
    if os.geteuid() == 0:  # root may open any pipe
        words = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all", *words]
    with os.fdopen(read) as log:
        subprocess.run(words, stderr=write, cwd=ROOT, timeout=60, check=True)
        os.close(write)
        assert log.read().endswith(" INFO started\n")
