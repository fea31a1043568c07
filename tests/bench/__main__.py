"""`python -m tests.bench`: compares frame rate and accuracy with alternatives that a user could choose.

All get the same clips; a round runs one process of each, one after the other, so that other load on the machine affects
all equally. The result is printed as a table, and with `--out` written to a page.
"""

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge.errors import EmotionEdgeError
from tests.bench.clips import FACES, SIZES, write_clips
from tests.bench.contestants import CACHE, CONTESTANTS, OURS, Contestant, install, start
from training.datasets.fer2013 import read_fer2013

ROUNDS: Final = 3
FRAMES: Final = 57
JUDGED: Final = 1000
"""Number of random faces of PrivateTest on which accuracy is measured."""
BEGIN: Final = "<!-- python -m tests.bench -->"
END: Final = "<!-- end -->"


@dataclass(frozen=True, slots=True)
class Measured:
    """Result of one contestant on one clip. milliseconds: mean of a call, median of rounds. ratio: to this project's.

    found: faces per frame. load: seconds to the first frame. megabytes: peak resident memory.
    """

    milliseconds: float
    ratio: float
    found: float
    load: float
    megabytes: float


def measure(there: Sequence[Contestant], rounds: int) -> dict[tuple[str, str, int], Measured]:
    """Measure all contestants; results by name, clip and width. Raises EmotionEdgeError if a contestant fails."""
    clips = write_clips(CACHE / "clips")
    results: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
    for number in range(rounds):
        for (clip, width, height), path in clips.items():
            for contestant in there:
                print(f"round {number + 1}: {clip}, {width} x {height}: {contestant.name}", file=sys.stderr)
                said = json.loads(start(contestant, "frames", path, width, height, FRAMES))
                results.setdefault((contestant.name, clip, width), []).append(said)
    means = {key: [1000 * statistics.fmean(it["seconds"]) for it in said] for key, said in results.items()}
    return {
        (name, clip, width): Measured(
            statistics.median(means[name, clip, width]),
            statistics.median(
                a / b for a, b in zip(means[name, clip, width], means[OURS, clip, width], strict=True)
            ),
            said[0]["faces"],
            statistics.median(it["load"] for it in said),
            max(it["megabytes"] for it in said),
        )
        for (name, clip, width), said in results.items()
    }  # fmt: skip


def judge(there: Sequence[Contestant], data: Path) -> dict[str, float]:
    """Measure each contestant's accuracy on FER-2013's seven classes, on the same JUDGED faces of PrivateTest."""
    part = read_fer2013(data).part("PrivateTest")
    part = part.take(np.random.default_rng(5).permutation(len(part))[:JUDGED])
    path = CACHE / "faces.grey"
    path.write_bytes(part.pixels.tobytes())
    truth = part.labels["fer7"].judged
    return {
        it.name: float(np.mean(np.array(json.loads(start(it, "faces", path, JUDGED))["labels"]) == truth))
        for it in there
    }


def page(
    measured: Mapping[tuple[str, str, int], Measured], accuracy: Mapping[str, float], absent: Sequence[str]
) -> str:
    """Format the tables as Markdown."""
    names = list(dict.fromkeys(name for name, _, _ in measured))
    facts = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    lines = [f"Machine: {facts}. Median of the rounds; `x` is the time a frame takes, of ours.", ""]
    for width, height in SIZES:
        lines += [f"### {width} x {height}", "", "| | " + " | ".join(FACES) + " |", "|---" * (len(FACES) + 1) + "|"]
        for name in names:
            cells = []
            for clip, faces in FACES.items():
                it = measured[name, clip, width]
                seen = "" if it.found == faces else f", sees {it.found:.2g}"
                cells.append(f"{it.milliseconds:.1f} ms, {1000 / it.milliseconds:.0f} fps, x{it.ratio:.1f}{seen}")
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        lines.append("")
    lines += ["| | to the first frame | memory | FER-2013 |", "|---|---|---|---|"]
    for name in names:
        it = measured[name, "one face", SIZES[0][0]]
        share = f"{100 * accuracy[name]:.1f}%" if name in accuracy else "not measured"
        lines.append(f"| {name} | {it.load:.1f} s | {it.megabytes:.0f} MB | {share} |")
    return "\n".join([*lines, "", *absent, ""])


def put(page: Path, text: str, mark: str = BEGIN) -> None:
    """Write the tables into a page, between `mark` and END. Raises EmotionEdgeError where it has none."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(mark)
    _, end, after = rest.partition(END)
    if not end:
        raise EmotionEdgeError(f"{page}: has no {mark} and {END} to write between")
    page.write_text(f"{before}{begin}\n{text}{end}{after}", encoding="utf-8")


def main() -> int:
    """Run the command; returns 0, or 1 if a contestant could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--data", type=Path, help="fer2013.csv or its folder, for the accuracy")
    parser.add_argument("--out", type=Path, help="a page to write it into, between its marks")
    options = parser.parse_args()
    there, absent = [], []
    for contestant in CONTESTANTS:
        try:
            install(contestant)
            start(contestant, "frames", write_clips(CACHE / "clips")["no face", *SIZES[0]], *SIZES[0], 1)
            there.append(contestant)
        except EmotionEdgeError as error:
            print(f"{contestant.name}: {error}", file=sys.stderr)
            absent.append(f"{contestant.name} could not be run here: `make compare` says why.")
    measured = measure(there, options.rounds)
    accuracy = judge(there, options.data) if options.data else {}
    text = page(measured, accuracy, absent)
    if options.out:
        put(options.out, text)
    else:
        print(text)
    return 1 if absent else 0


if __name__ == "__main__":
    sys.exit(main())
