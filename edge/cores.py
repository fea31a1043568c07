"""The processor cores we run on."""

import logging
import os
from functools import lru_cache
from pathlib import Path

import cv2

_log = logging.getLogger(__name__)


def use_cores(count: int) -> None:
    """Run on so many cores, with every thread there is and will be; 0: on all that the process was started with.

    The last ones are taken: a Raspberry Pi serves its interrupts on the first.
    """
    given = _given()
    cores = given[-count:] if count else given
    for task in Path("/proc/self/task").iterdir():
        try:
            os.sched_setaffinity(int(task.name), cores)
        except ProcessLookupError:  # a thread that has just ended
            continue
        except OSError as error:
            _log.warning("pace.cores: the system does not let us choose cores: %s", error.strerror)
            return
    cv2.setNumThreads(len(cores))


@lru_cache(maxsize=1)
def _given() -> list[int]:
    return sorted(os.sched_getaffinity(0))
