"""Runs the inputs of one kind, each kind in a process of its own whose memory and processor time are watched."""

import json
import os
import random
import select
import subprocess
import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import IO, Any, Final

from tests.bench.fuzz.kinds import KINDS, REFUSALS

MEMORY_MB: Final = 150.0
"""Largest memory above that at rest, in megabytes, of all processes together."""

CPU_S: Final = 5.0
"""Largest processor time of one input, in seconds."""

_SAMPLE_S: Final = 0.003


@dataclass
class Result:
    """Result of one kind of input.

    Attributes:
        taken: number of inputs that were accepted.
        refused: number of inputs refused with an error message.
        faults: description of any other outcome, by input number.
        slowest: largest processor time of an input, seconds.
        megabytes: peak memory above that at rest of all processes together, sampled every few milliseconds.
    """

    taken: int = 0
    refused: int = 0
    faults: dict[int, str] = field(default_factory=dict)
    slowest: float = 0.0
    megabytes: float = 0.0

    def add(self, number: int, message: dict[str, Any]) -> None:
        """Count the message that the process wrote about an input."""
        self.slowest = max(self.slowest, message["seconds"])
        if message["what"] == "fault":
            self.faults[number] = message["text"]
        elif message["what"] == "refused":
            self.refused += 1
        else:
            self.taken += 1

    @property
    def passed(self) -> bool:
        """Return True if there is no fault and no limit was exceeded."""
        return not self.faults and self.slowest <= CPU_S and self.megabytes <= MEMORY_MB


def run(kind: str, seed: int, count: int, first: int = 0) -> Result:
    """Try inputs `first` to `count` of a kind; a process that dies costs that input and is replaced."""
    result, number = Result(), first
    make = KINDS[kind].make
    while number < count:
        command = [sys.executable, "-m", "tests.bench.fuzz.run", kind]
        with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL) as process:
            assert process.stdin
            assert process.stdout
            watch = _Watch(process.pid)
            line = process.stdout.readline()
            watch.rest()
            while line and number < count:
                data = make(random.Random(f"{seed} {number}"))
                with suppress(BrokenPipeError):
                    process.stdin.write(len(data).to_bytes(8, "big") + data)
                    process.stdin.flush()
                line = watch.line(process.stdout)
                if line:
                    result.add(number, json.loads(line))
                    number += 1
            with suppress(BrokenPipeError):
                process.stdin.close()
            status = process.wait()
        result.megabytes = max(result.megabytes, watch.above_rest)
        if status:
            result.faults[number] = f"the process ended with status {status}"
            number += 1
    return result


class _Watch:
    """Watches the private memory of a process and its children, without shared pages of libraries."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._at_rest = 0.0
        self.above_rest = 0.0

    def rest(self) -> None:
        """Take the present memory as that at rest."""
        self._at_rest = self._now()

    def line(self, stream: IO[bytes]) -> bytes:
        """Read the next line that the process writes, sampling its memory meanwhile."""
        while not select.select([stream], [], [], _SAMPLE_S)[0]:
            self.above_rest = max(self.above_rest, self._now() - self._at_rest)
        return stream.readline()

    def _now(self) -> float:
        return sum(map(_own_mb, _family(self._pid)))


def _family(pid: int) -> list[int]:
    """List a process and its descendants by the kernel's lists of children, which is faster than scanning /proc."""
    found = [pid]
    for parent in found:
        with suppress(OSError):  # it has ended
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += map(int, (task / "children").read_text(encoding="ascii").split())
    return found


def _own_mb(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
        return int(text.partition("RssAnon:")[2].split()[0]) / 1000
    except (OSError, IndexError, ValueError):  # it has ended
        return 0.0


def _take(kind: str) -> None:
    """Run as the process of one kind: read inputs, each after its length, and write a line of JSON for each."""
    with KINDS[kind].taking() as take:
        print("ready", flush=True)
        while length := sys.stdin.buffer.read(8):
            data = sys.stdin.buffer.read(int.from_bytes(length, "big"))
            began, what, text = _cpu(), "taken", ""
            try:
                take(data)
            except REFUSALS:
                what = "refused"
            except Exception:
                what, text = "fault", traceback.format_exc(limit=-3)
            seconds = round(_cpu() - began, 3)
            print(json.dumps({"what": what, "seconds": seconds, "text": text}), flush=True)


def _cpu() -> float:
    """Seconds of processor time of this process and its descendants, including ended ones."""
    total = 0.0
    for pid in _family(os.getpid()):
        with suppress(OSError, IndexError):  # it has ended
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            total += sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime (proc(5))
    return total / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    _take(sys.argv[1])
