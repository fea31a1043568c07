"""How much one place in the code may write to the log."""

import logging
import subprocess
import sys

import pytest

from edge.system.logs import LINES_MAX, PERIOD_S, RateLimit


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
