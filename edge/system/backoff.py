"""Exponential back-off: how long until something that failed is tried again."""

import random


class Backoff:
    """Delays that double from `first` to `longest`. Belongs to one thread."""

    def __init__(self, first: float, longest: float, jitter: float = 0.0) -> None:
        """Seconds.

        Args:
            first: delay after the first failure.
            longest: no delay is longer.
            jitter: share of each delay, 0 to 1, that is taken off at random, so that many boards do not try together.
        """
        self._first = first
        self._longest = longest
        self._jitter = jitter
        self._next = first

    def next(self) -> float:
        """The delay after a failure; the one after it is twice as long."""
        delay, self._next = self._next, min(2 * self._next, self._longest)
        return delay * (1 - self._jitter * random.random()) if self._jitter else delay

    def reset(self) -> None:
        """Begin with the first delay again."""
        self._next = self._first

    def worked(self, seconds: float) -> None:
        """Report that the operation worked for so many seconds and then failed.

        After more than the longest delay, the next delay is the first one again. What fails soon after each success is
        not retried at the shortest delay forever.
        """
        if seconds > self._longest:
            self.reset()
