"""Controls this process: its processor cores, its heap, and its end if a thread hangs."""

import ctypes
import logging
import os
import sys
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Final

from edge.system import threads

_log = logging.getLogger(__name__)

_M_ARENA_MAX: Final = -8
"""Parameter of mallopt(3): number of heaps."""


def end_process(status: int) -> int:
    """Return the status to exit with, or end the process at once if a worker thread still hangs.

    At a normal exit, the interpreter would stop such a thread inside OpenCV or FFmpeg, which aborts the process, or
    wait for a lock that it holds. Call it after everything that can be closed is closed.
    """
    left = threads.hanging()
    if not left:
        return status
    _log.warning("ended without waiting for what hangs: %s", ", ".join(left))
    logging.shutdown()
    sys.stdout.flush()
    os._exit(status)


def use_cores(count: int) -> None:
    """Limit the process, with all present and future threads, to `count` cores; 0: all that it was started with.

    The last ones are used: a Raspberry Pi serves its interrupts on the first.
    """
    # Imported here: commands that only end the process need no OpenCV.
    import cv2

    given = _given()
    cores = given[-count:] if count else given
    for task in Path("/proc/self/task").iterdir():
        try:
            os.sched_setaffinity(int(task.name), cores)
        except ProcessLookupError:
            # The thread has just ended.
            continue
        except OSError as error:
            _log.warning("pace.cores: the system does not let us choose cores: %s", error.strerror)
            return
    cv2.setNumThreads(len(cores))


@lru_cache(maxsize=1)
def _given() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def use_one_heap() -> None:
    """Make all threads share one glibc heap, to save memory; call before any thread is started.

    By default each thread has a heap of its own. Images are allocated in one thread and freed in another: with one heap
    the daemon takes 157 MB instead of 161 at rest (`python -m tests.bench.at_rest`). Other C libraries ignore the call.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def return_free_memory() -> None:
    """Return the free pages of glibc's heap to the system, which it keeps otherwise: what uploads and viewers took."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
