"""When the system's clock is trusted, independently of the test machine's clock."""

from pathlib import Path

import pytest

from edge.system.clock import JUMP_S, SETTLE_S, TrustedClock, synchronised

DAY = 86400.0


class Times:
    """Simulated clocks: one that can be set, a monotonic one, and whether the first is synchronised."""

    def __init__(self, state: bool | None) -> None:
        self.steady, self.off, self.state = 1000.0, 0.0, state
        self.clock = TrustedClock(lambda: self.state, lambda: self.steady + self.off, lambda: self.steady)

    def after(self, seconds: float, jump: float = 0.0) -> bool:
        """Let time pass and set the clock by `jump` seconds; returns whether it is then trusted."""
        self.steady += seconds
        self.off += jump
        return self.clock.trusted()


def test_a_synchronised_clock_is_trusted_at_once_and_another_never() -> None:
    assert Times(True).after(0)
    unset = Times(False)
    assert not any(unset.after(DAY) for _ in range(30))


def test_the_first_setting_puts_the_clock_right() -> None:
    """A board without a battery starts with a clock in the past, or at the time it was switched off."""
    times = Times(False)
    assert not times.after(10)
    times.state = True
    assert times.after(10, jump=400 * DAY)
    assert times.after(10)


@pytest.mark.parametrize("jump", [40 * DAY, -40 * DAY, 2 * JUMP_S])
def test_a_clock_that_was_right_and_is_set_is_not_trusted_for_an_hour(jump: float) -> None:
    times = Times(True)
    assert times.after(60)
    assert not times.after(60, jump)
    assert not times.after(SETTLE_S - 1)
    assert times.after(2)
    assert not times.after(1, jump)


def test_slow_corrections_and_suspend_are_no_jump() -> None:
    times = Times(True)
    for jump in (JUMP_S / 2, -JUMP_S / 2, JUMP_S / 2):
        assert times.after(10 * DAY, jump)


def test_where_nothing_is_known_a_clock_is_trusted_that_nobody_set_for_an_hour() -> None:
    times = Times(None)
    assert not times.after(SETTLE_S - 1)
    assert times.after(2)
    assert not times.after(10, jump=DAY)
    assert not times.after(SETTLE_S - 1)
    assert times.after(2)


def test_the_time_service_s_file_says_that_the_clock_is_synchronised(tmp_path: Path) -> None:
    (tmp_path / "synchronized").touch()
    assert synchronised(tmp_path)
    assert synchronised(tmp_path / "none") in (True, False, None)
