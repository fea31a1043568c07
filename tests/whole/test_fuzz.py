"""Runs a part of the fuzzing of `python -m tests.bench.fuzz`, with a fixed seed."""

import pytest

from tests.bench.fuzz.kinds import KINDS
from tests.bench.fuzz.run import run

SEED = 20


@pytest.mark.parametrize("kind", KINDS)
def test_what_strangers_send_is_taken_or_refused_in_bounded_memory_and_time(kind: str) -> None:
    result = run(kind, SEED, KINDS[kind].part)
    assert result.faults == {}
    assert result.taken + result.refused == KINDS[kind].part
    assert result.refused > KINDS[kind].part / 10, "what nothing refuses is not damaged enough to find anything"
    assert result.passed, result
