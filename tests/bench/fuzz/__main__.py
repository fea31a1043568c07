"""`python -m tests.bench.fuzz`: fuzzes every kind of untrusted input, and prints a table.

Takes about half an hour on two quiet cores. `--kind` runs one kind; `--first` and `--count` select inputs of it, to
repeat one. `--out` replaces the rows of the kinds that were run in a page's table, and leaves the others.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.bench.__main__ import END, put
from tests.bench.fuzz.kinds import KINDS
from tests.bench.fuzz.run import CPU_S, MEMORY_MB, run

BEGIN = "<!-- python -m tests.bench.fuzz -->"


def main() -> int:
    """Run the command; returns 0 if there was no fault, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=tuple(KINDS), action="append")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, help="inputs of each kind (default: the whole)")
    parser.add_argument("--out", type=Path, help="a page to write the table into, between its marks")
    options = parser.parse_args()
    rows, passed = dict[str, str](), True
    for name in options.kind or KINDS:
        count = options.count or KINDS[name].count
        result = run(name, options.seed, count, options.first)
        passed &= result.passed
        cells = [name, count - options.first, result.taken, result.refused, len(result.faults)]
        rows[name] = f"| {' | '.join(map(str, cells))} | {result.slowest:.1f} s | {result.megabytes:.0f} MB |"
        print(rows[name], file=sys.stderr, flush=True)
        for number, text in list(result.faults.items())[:5]:
            print(f"input {number} of {name}:\n{text}", file=sys.stderr)
    if options.out:
        put(options.out, _table(_rows_of(options.out) | rows), BEGIN)
    else:
        print(_table(rows))
    return 0 if passed else 1


def _rows_of(page: Path) -> dict[str, str]:
    """The rows of the table on a page, by kind."""
    table = page.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return {name: line for line in lines if (name := line.split("|")[1].strip()) in KINDS}


def _table(rows: Mapping[str, str]) -> str:
    head = [
        "| kind | inputs | taken | refused | faults | costliest | memory above rest |",
        "|---|---|---|---|---|---|---|",
    ]
    allowed = f"Allowed: no fault, {CPU_S:.0f} s of processor time for an input, {MEMORY_MB:.0f} MB above rest."
    return "\n".join([*head, *(rows[name] for name in KINDS if name in rows), "", allowed]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
