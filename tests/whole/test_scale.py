"""A few simulated boards survive a restart of the broker; `python -m tests.bench.scale` runs many."""

from edge.outputs.mqtt import output
from tests.bench.scale import BACKOFF, run


def test_boards_come_back_after_a_restart_and_lose_nothing() -> None:
    result = run(30, 2, 5)
    assert result.messages_s > 30
    assert result.retained == 3 * 30
    assert result.events > 0
    assert result.lost == 0
    # The broker is down for three seconds, in which a board with back-off tries only a few times.
    assert 30 <= result.attempts <= 30 * 6


def test_the_simulated_boards_wait_as_the_daemon_does() -> None:
    assert BACKOFF[:2] == (output._SHORTEST_DELAY_S, output._LONGEST_DELAY_S)
