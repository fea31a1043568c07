"""The end of the process where a thread hangs in a driver, or in a terminal that stands still."""

import logging
import os
import sys
import threading
from typing import Final

_log = logging.getLogger(__name__)

_OURS: Final = frozenset({"capture", "console", "edge-tpu", "mqtt", "record", "web"})
"""Threads that are left behind when they do not end in time."""


def leave(status: int) -> int:
    """The status to exit with; does not return where a thread of ours was left behind.

    The interpreter would end such a thread inside OpenCV or FFmpeg as soon as it comes back, which aborts the process,
    or wait for a lock that it holds. By now everything was closed that can be, so the process ends here and now.
    """
    left = [thread.name for thread in threading.enumerate() if thread.daemon and thread.name in _OURS]
    if not left:
        return status
    _log.warning("ended without waiting for what hangs: %s", ", ".join(left))
    if "console" not in left:  # it holds the lock of standard output
        sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
