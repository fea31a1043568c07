"""Whether the system's clock can be trusted: it is synchronised, and nobody set it to another time lately."""

import ctypes
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

TIMESYNC: Final = Path("/run/systemd/timesync")
"""Of systemd-timesyncd, which keeps a file `synchronized` in it once it is (systemd-timesyncd.service(8))."""

JUMP_S: Final = 10.0
"""A clock that is this far off another one that nobody can set has been set."""
SETTLE_S: Final = 3600.0
"""How long a clock must go on undisturbed before it is trusted again after it was set."""

_TIME_ERROR: Final = 5
"""Of adjtimex(2): the clock is not synchronised."""
_TIMEX_BYTES: Final = 512
"""More than `struct timex` takes on any platform; zeros in it change nothing."""


def synchronised(timesync: Path = TIMESYNC) -> bool | None:
    """Whether the clock was set by a time server since the start; None where it cannot be found out."""
    if (timesync / "synchronized").exists():
        return True
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (AttributeError, OSError):
        state = -1
    if state == -1:  # a sandbox does not let us ask (ProtectClock=)
        return False if timesync.is_dir() else None
    return bool(state != _TIME_ERROR)


class TrustedClock:
    """Watches the clock for jumps; `trusted` must be asked now and then. Belongs to one thread."""

    def __init__(
        self,
        synchronised: Callable[[], bool | None] = synchronised,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    ) -> None:
        """Begin to watch.

        Args:
            synchronised: whether the clock is synchronised; None: not known.
            wall: the clock, in seconds since the epoch.
            steady: a clock that nobody can set and that goes on during suspend, in seconds.
        """
        self._synchronised = synchronised
        self._wall = wall
        self._steady = steady
        self._offset = wall() - steady()
        self._was_synchronised = False
        self._settled_at = -float("inf")
        self._began = steady()

    def trusted(self) -> bool:
        """Whether the clock is known to be right.

        Where it is not known whether it is synchronised, it is trusted once nobody set it for an hour.
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
        """Seconds since the epoch."""
        return self._wall()
