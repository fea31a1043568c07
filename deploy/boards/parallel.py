"""Run the same work on several boards at once, each line of output under its board's name."""

import concurrent.futures
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

from deploy.boards.inventory import Host
from edge.errors import EmotionEdgeError

_PARALLEL: Final = 8

Report = Callable[[str], None]
"""Prints a line under a board's name."""


def on_each_board(hosts: list[Host], work: Callable[[Host, Report], bool]) -> bool:
    """Run `work` on each board. Returns whether all succeeded; an EmotionEdgeError is reported as a failure."""
    lock, width = threading.Lock(), max(len(host.name) for host in hosts)
    live = len(hosts) == 1 and sys.stdout.isatty()

    def one(host: Host) -> bool:
        started, last = time.monotonic(), [-1]

        def report(text: str) -> None:
            # Where a line cannot be overwritten, a percentage is printed in steps of ten.
            percent = text.rpartition(": ")[2].removesuffix(" %")
            counted = text.endswith(" %") and percent.isdecimal()
            if counted and not live and (int(percent) // 10 == last[0]):
                return
            last[0] = int(percent) // 10 if counted else -1
            with lock:
                end = "\r" if counted and live and percent != "100" else "\n"
                print(f"{host.name:{width}}  {time.monotonic() - started:5.0f} s  {text}", end=end, flush=True)

        try:
            return work(host, report)
        except EmotionEdgeError as error:
            report(f"failed: {error}")
            return False

    with concurrent.futures.ThreadPoolExecutor(_PARALLEL) as pool:
        return all(list(pool.map(one, hosts)))
