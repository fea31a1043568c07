"""Run the same work on several boards at once, each line of output under its board's name."""

import concurrent.futures
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from deploy.boards.inventory import Host
from edge.errors import EmotionEdgeError, escaped
from edge.system.program import unescaped

_PARALLEL: Final = 8

Report = Callable[[str], None]
"""Function that prints a line of output under a board's name."""


@dataclass(frozen=True)
class Outcome:
    """Result of the work on a board. text: last line of its output."""

    host: Host
    succeeded: bool
    text: str


def on_each_board(
    hosts: list[Host],
    work: Callable[[Host, Report], bool],
    max_failures: int | None = None,
    quiet: bool = False,
    timed: bool = True,
    ended: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Run work on boards, eight at a time.

    Args:
        hosts: the boards.
        work: called with a board and a function that prints a line; returns whether it succeeded. An EmotionEdgeError
            is printed and is a failure.
        max_failures: after so many failures no further board is started.
        quiet: print nothing.
        timed: print the seconds since the start before each line.
        ended: called with each outcome in the order of `hosts`, once the board and all before it are done.

    Returns:
        The outcomes, in the order of `hosts`.
    """
    lock, width = threading.Lock(), max(len(host.name) for host in hosts)
    live = len(hosts) == 1 and sys.stdout.isatty()
    failures: list[str] = []

    def one(host: Host) -> Outcome:
        started, last, text = time.monotonic(), -1, ""

        def report(line: str) -> None:
            nonlocal last, text
            line = escaped(line)
            # Where a line cannot be overwritten, a percentage is printed in steps of ten.
            percent = line.rpartition(": ")[2].removesuffix(" %")
            counted = line.endswith(" %") and percent.isdecimal()
            if counted and not live and (int(percent) // 10 == last):
                return
            last = int(percent) // 10 if counted else -1
            text = line
            if quiet:
                return
            with lock:
                end = "\r" if counted and live and percent != "100" else "\n"
                seconds = f"{time.monotonic() - started:5.0f} s  " if timed else ""
                shown = f"{escaped(host.name):{width}}  {seconds}{line}"
                print(shown, end=end, flush=True, file=unescaped(sys.stdout))

        if max_failures is not None and len(failures) >= max_failures:
            return Outcome(host, False, f"skipped after {len(failures)} failures")
        try:
            succeeded = work(host, report)
        except EmotionEdgeError as error:
            report(f"failed: {error}")
            succeeded = False
        if not succeeded:
            failures.append(host.name)
        return Outcome(host, succeeded, text)

    with concurrent.futures.ThreadPoolExecutor(_PARALLEL) as pool:
        outcomes = []
        for outcome in pool.map(one, hosts):
            outcomes.append(outcome)
            if ended:
                ended(outcome)
        return outcomes


def all_succeeded(outcomes: list[Outcome]) -> bool:
    """Whether the work succeeded on every board."""
    return all(outcome.succeeded for outcome in outcomes)
