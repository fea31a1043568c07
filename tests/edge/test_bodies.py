"""Request bodies that are received at the same time: bounds of their number and memory, and who makes room."""

from types import SimpleNamespace
from typing import Any

import pytest

from edge.outputs.web import bodies
from edge.outputs.web.bodies import Bodies


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(bodies, "time", clock)
    return clock


class Request:
    """A handler whose connection can be closed. ended: it was closed."""

    def __init__(self) -> None:
        self.ended = False
        self.request = SimpleNamespace(connection=SimpleNamespace(stream=self))

    def close(self) -> None:
        self.ended = True


def requests(count: int) -> Any:
    return [Request() for _ in range(count)]


def test_the_slowest_sender_makes_room_for_a_new_one(clock: Clock) -> None:
    received = Bodies(1000, 2, slow_s=1)
    fast, slow, new = requests(3)
    for one, chunk in ((fast, b"a" * 100), (slow, b"b")):
        assert received.begin(one)
        received.extend(one, chunk)
    assert not received.begin(new), "neither has had its second"
    clock.now = 1.1
    assert received.begin(new)
    assert (fast.ended, slow.ended, new.ended) == (False, True, False)
    assert len(received) == 2
    assert received.take(slow) is None
    assert received.take(fast) == bytearray(b"a" * 100)


def test_a_stalled_body_makes_room_for_the_bytes_of_another(clock: Clock) -> None:
    received = Bodies(100, 8, slow_s=1)
    stalled, whole, new = requests(3)
    for one in (stalled, whole):
        received.begin(one)
        received.extend(one, b"a" * 45)
    assert received.take(whole) == bytearray(b"a" * 45)
    clock.now = 1.1
    received.begin(new)
    received.extend(new, b"b" * 50)
    assert (stalled.ended, whole.ended) == (True, False)
    assert received.take(new) == bytearray(b"b" * 50)


def test_without_a_slow_sender_a_body_without_room_is_dropped(clock: Clock) -> None:
    received = Bodies(100, 8, slow_s=1)
    working, new = requests(2)
    received.begin(working)
    received.extend(working, b"a" * 90)
    received.take(working)
    clock.now = 1.1
    received.begin(new)
    received.extend(new, b"b" * 20)
    received.extend(new, b"b")
    assert received.take(new) is None
    received.end(new)
    received.end(working)
    received.begin(new)
    received.extend(new, b"b" * 100)
    assert received.take(new) == bytearray(b"b" * 100), "an answered request takes no memory"
