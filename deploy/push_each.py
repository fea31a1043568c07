"""The same work on several boards at once, each line of what they say under its name."""

import concurrent.futures
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

from deploy.push_hosts import Host
from edge.errors import EmotionEdgeError

_AT_ONCE: Final = 8

Said = Callable[[str], None]


def each(hosts: list[Host], work: Callable[[Host, Said], bool]) -> bool:
    """Do the work with each board; whether all of it went well. An EmotionEdgeError is said, and is not well."""
    lock, width = threading.Lock(), max(len(host.name) for host in hosts)
    live = len(hosts) == 1 and sys.stdout.isatty()

    def one(host: Host) -> bool:
        started, last = time.monotonic(), [-1]

        def said(text: str) -> None:
            # A percentage is news at every tenth, where lines cannot be written over.
            percent = text.rpartition(": ")[2].removesuffix(" %")
            counted = text.endswith(" %") and percent.isdecimal()
            if counted and not live and (int(percent) // 10 == last[0]):
                return
            last[0] = int(percent) // 10 if counted else -1
            with lock:
                end = "\r" if counted and live and percent != "100" else "\n"
                print(f"{host.name:{width}}  {time.monotonic() - started:5.0f} s  {text}", end=end, flush=True)

        try:
            return work(host, said)
        except EmotionEdgeError as error:
            said(f"failed: {error}")
            return False

    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
        return all(list(pool.map(one, hosts)))
