"""`python -m tests.bench.fuzz`: everything that strangers send, damaged in thousands of ways; prints a table.

Takes about an hour on two cores. `--kind` runs one kind, `--first` and `--count` a part of it: to see one input again.
"""

import argparse
import os
import sys
from pathlib import Path

from tests.bench.__main__ import put
from tests.bench.fuzz.kinds import KINDS
from tests.bench.fuzz.run import CPU_S, MEMORY_MB, run

BEGIN = "<!-- python -m tests.bench.fuzz -->"


def main() -> int:
    """The exit status: 0 where nothing happened that must not."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=tuple(KINDS), action="append")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, help="inputs of each kind (default: the whole)")
    parser.add_argument("--out", type=Path, help="a page to write the table into, between its marks")
    options = parser.parse_args()
    os.nice(10)
    lines = ["| | inputs | taken | refused | faults | costliest | memory above rest |", "|---|---|---|---|---|---|---|"]
    passed = True
    for name in options.kind or KINDS:
        count = options.count or KINDS[name].count
        result = run(name, options.seed, count, options.first)
        passed &= result.passed
        cells = [name, count - options.first, result.taken, result.refused, len(result.faults)]
        lines.append(f"| {' | '.join(map(str, cells))} | {result.slowest:.1f} s | {result.megabytes:.0f} MB |")
        print(lines[-1], file=sys.stderr, flush=True)
        for number, text in list(result.faults.items())[:5]:
            print(f"input {number} of {name}:\n{text}", file=sys.stderr)
    lines += ["", f"Allowed: no fault, {CPU_S:.0f} s of processor time for an input, {MEMORY_MB:.0f} MB above rest."]
    text = "\n".join(lines) + "\n"
    if options.out:
        put(options.out, text, BEGIN)
    else:
        print(text)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
