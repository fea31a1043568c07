"""Exponential back-off: delays between attempts at something that failed."""

import random


class Backoff:
    """Delays that double from `first` to `longest`. Not thread-safe."""

    def __init__(self, first: float, longest: float, jitter: float = 0.0) -> None:
        """Set the delays, in seconds.

        Args:
            first: delay after the first failure.
            longest: no delay is longer.
            jitter: largest share, 0 to 1, that is randomly subtracted from each delay, so that many boards do not retry
                at the same time.
        """
        self._first = first
        self._longest = longest
        self._jitter = jitter
        self._next = first

    def next(self) -> float:
        """Return the delay after a failure; the next one is twice as long."""
        delay, self._next = self._next, min(2 * self._next, self._longest)
        return delay * (1 - self._jitter * random.random()) if self._jitter else delay

    def reset(self) -> None:
        """Start again with the first delay."""
        self._next = self._first

    def worked(self, seconds: float) -> None:
        """Report that the operation worked for `seconds` and then failed.

        If that was more than the longest delay, the delays start again with the first one. An operation that fails soon
        after each success is not retried at the shortest delay forever.
        """
        if seconds > self._longest:
            self.reset()
