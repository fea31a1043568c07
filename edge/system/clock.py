"""Tells whether the system's clock can be trusted: it is synchronised, and was not set recently."""

import ctypes
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

TIMESYNC: Final = Path("/run/systemd/timesync")
"""Folder in which systemd-timesyncd creates a file `synchronized` once the clock is (systemd-timesyncd.service(8))."""

JUMP_S: Final = 10.0
"""Seconds by which the system's clock may drift from the steady one before it counts as having been set."""
SETTLE_S: Final = 3600.0
"""Seconds without another jump after which a clock that was set is trusted again."""

_TIME_ERROR: Final = 5
"""Return value of adjtimex(2): the clock is not synchronised."""
_TIMEX_BYTES: Final = 512
"""Size of the buffer for `struct timex`, larger than on any platform; zeros in it change nothing."""


def synchronised(timesync: Path = TIMESYNC) -> bool | None:
    """Whether a time server has set the clock since the start; None if unknown."""
    if (timesync / "synchronized").exists():
        return True
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (AttributeError, OSError):
        state = -1
    if state == -1:
        # The service's sandbox forbids the call (ProtectClock=).
        return False if timesync.is_dir() else None
    return bool(state != _TIME_ERROR)


class TrustedClock:
    """Watches the clock for jumps; `trusted` must be called regularly. Not thread-safe."""

    def __init__(
        self,
        synchronised: Callable[[], bool | None] = synchronised,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    ) -> None:
        """Start to watch.

        Args:
            synchronised: whether the clock is synchronised; None: not known.
            wall: the clock, in seconds since the epoch.
            steady: a clock that cannot be set and that continues during suspend, in seconds.
        """
        self._synchronised = synchronised
        self._wall = wall
        self._steady = steady
        self._offset = wall() - steady()
        self._was_synchronised = False
        self._settled_at = -float("inf")
        self._began = steady()

    def trusted(self) -> bool:
        """Whether the system's clock is known to be right.

        If it is unknown whether the clock is synchronised, it is trusted after an hour in which it was not set.
        """
        now, state = self._steady(), self._synchronised()
        offset = self._wall() - now
        if abs(offset - self._offset) > JUMP_S:
            self._offset = offset
            # The first setting of a clock that was not synchronised puts it right.
            if self._was_synchronised or state is None:
                self._settled_at = now + SETTLE_S
        self._was_synchronised = self._was_synchronised or bool(state)
        if state is None:
            return now >= max(self._settled_at, self._began + SETTLE_S)
        return state and now >= self._settled_at

    def now(self) -> float:
        """Return the seconds since the epoch."""
        return self._wall()
