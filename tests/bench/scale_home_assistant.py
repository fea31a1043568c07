"""`python -m tests.bench.scale_home_assistant`: measures a real Home Assistant with many boards at once.

The simulated boards of `tests.bench.scale` announce themselves and publish, all at once, to one Mosquitto that a Home
Assistant made by tests/support/home_assistant.sh is connected to.
"""

import argparse
import os
import selectors
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from tests.bench.scale import Board, script_of_clip
from tests.support.broker import Mosquitto
from tests.support.daemon import wait_until
from tests.support.home_assistant import HomeAssistant

_COUNT: Final = "{{ integration_entities('mqtt') | count }}"
_DEVICES: Final = "{{ integration_entities('mqtt') | map('device_id') | unique | list | count }}"
_UNKNOWN: Final = """\
{{ states.sensor | selectattr('entity_id', 'search', '_emotion$')
   | rejectattr('state', 'in', ['unknown', 'unavailable']) | list | count }}"""


@dataclass(frozen=True)
class Result:
    """Figures of a run.

    entities, devices: number of them in Home Assistant. shown_s: seconds from the first board's connection until Home
    Assistant shows an emotion of every board. cpu_quiet, cpu: Home Assistant's share of a core before the boards
    connect and while all publish. mb_quiet, mb: its resident memory at these times. offline_s: seconds from the loss of
    the boards until all are shown as unavailable.
    """

    boards: int
    devices: int
    entities: int
    shown_s: float
    cpu_quiet: float
    cpu: float
    mb_quiet: float
    mb: float
    offline_s: float


@contextmanager
def _publishing(boards: Sequence[Board], selector: selectors.BaseSelector) -> Iterator[None]:
    """Context manager: runs the boards in a thread, and ends them like in a power cut."""
    ended = threading.Event()

    def loop() -> None:
        while not ended.is_set():
            for key, _ in selector.select(0.005):
                key.data.read()
            now = time.monotonic()
            for board in boards:
                board.step(now)

    thread = threading.Thread(target=loop, name="boards")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        for board in boards:
            if opened := board.client.socket():
                opened.close()


def run(count: int, seconds: float, faces_rate: float = 5) -> Result:
    """Connect boards to the broker of a Home Assistant that runs already."""
    script = script_of_clip()
    selector = selectors.DefaultSelector()
    with Mosquitto() as broker, tempfile.TemporaryDirectory() as folder, HomeAssistant(Path(folder)) as home:
        home.connect(broker.port)
        process = psutil.Process(home.pid)

        def cpu() -> float:
            before, began = sum(process.cpu_times()[:2]), time.monotonic()
            time.sleep(seconds)
            return (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - began)

        def shown() -> int:
            return int(home.render(_UNKNOWN))

        cpu_quiet, mb_quiet = cpu(), process.memory_info().rss / 1e6
        boards = [Board(f"board-{n:04}", broker.port, script, faces_rate, selector) for n in range(count)]
        began = time.monotonic()
        with _publishing(boards, selector):
            wait_until(lambda: shown() == count, "an emotion of every board", 300)
            shown_s = time.monotonic() - began
            entities, devices = int(home.render(_COUNT)), int(home.render(_DEVICES))
            cpu_busy, mb = cpu(), process.memory_info().rss / 1e6
        ended = time.monotonic()
        wait_until(lambda: shown() == 0, "all boards as unavailable", 120)
        offline_s = time.monotonic() - ended
    return Result(count, devices, entities, shown_s, cpu_quiet, cpu_busy, mb_quiet, mb, offline_s)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures of a run."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale_home_assistant", description=__doc__)
    parser.add_argument("--boards", type=int, default=100, metavar="N")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each measurement (default: 15)")
    given = parser.parse_args(arguments)
    for name, value in vars(run(given.boards, given.seconds)).items():
        print(f"{name:12} {value:.2f}" if isinstance(value, float) else f"{name:12} {value}")
    print(f"{'load':12} {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
