"""Program that writes a record and reports its rows, for tests that kill it or fill its disk.

python -m tests.support.record_writer FILE batches          a line `rows` after each batch, until it is killed
python -m tests.support.record_writer FILE limited BYTES    until no file may grow over BYTES, then without that limit
python -m tests.support.record_writer FILE beside FILLER    until the disk is full, then without the file FILLER
"""

import logging
import os
import resource
import sys
import time
from pathlib import Path

from edge.config import RecordSettings
from edge.reading import Reading
from edge.record.output import RecordOutput
from edge.record.rows import RowBuilder
from tests.support.daemon import wait_until
from tests.support.samples import face, frame, reading

BATCH = 40


class Scene:
    """Readings, ten a second, of a face whose emotion changes with each, so that each makes a row."""

    def __init__(self, history: RecordOutput) -> None:
        self.rows = 0
        self._history = history
        self._counted = RowBuilder()
        self._now = time.time() - 86400
        self._began = self._now
        self._steps = 0
        self._frame = frame()

    def play(self, steps: int) -> None:
        """Send `steps` more Readings to the record."""
        for _ in range(steps):
            self._steps += 1
            passed = self._steps * 0.1
            emotion = "happy" if self._steps % 2 else "sad"
            seen: Reading = reading([face(1, emotion)], self._frame)
            seen = Reading(self._steps, passed, self._began + passed, seen.width, seen.height, seen.faces, seen.stages)
            self.rows += len(self._counted.add(seen))
            self._history.put(seen)

    def ended(self) -> int:
        """Close the record; returns the number of all rows, including those that end with it."""
        return self.rows + len(self._counted.end())


def main(path: Path, mode: str, value: str = "") -> None:
    logging.basicConfig(level="INFO", format="%(message)s")
    if mode == "batches":
        for _ in sys.stdin:
            child = os.fork()
            if not child:
                write_batches(path)
            os.waitpid(child, 0)
            print("ended", flush=True)
        return
    if mode == "limited":
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(value), resource.RLIM_INFINITY))
    history, scene = begun(path)
    while not history.paused:
        scene.play(BATCH)
        time.sleep(0.005)
    print("paused", flush=True)
    scene.play(BATCH)
    if mode == "limited":
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    else:
        Path(value).unlink()
    wait_until(lambda: not history.paused and history.rows == scene.rows, "everything is written")
    history.close()
    print(scene.ended(), history.dropped, flush=True)


def begun(path: Path) -> tuple[RecordOutput, Scene]:
    """Open a record, and make a Scene that writes to it."""
    history = RecordOutput(RecordSettings(file=path), "emotion-small", "0" * 64, every=0.005, retry=0.05)
    wait_until(lambda: history.bytes > 0, "the file is there")
    return history, Scene(history)


def write_batches(path: Path) -> None:
    """Write batches without end, reporting each on standard output once it is written."""
    history, scene = begun(path)
    before = history.rows
    while True:
        scene.play(BATCH)
        wait_until(lambda: history.rows - before == scene.rows, "the batch is written")
        print(os.getpid(), history.rows, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
