"""Console output: a line per change, on a terminal or a pipe, also one that is blocked or closed."""

import io
import os
import time
from collections.abc import Callable

import pytest

from edge.outputs.console import Console
from tests.support.samples import face, reading, stats


def lines(feed: Callable[[Console], None]) -> list[str]:
    """Return the lines written while `feed` uses a Console, without their times."""
    stream = io.StringIO()
    console = Console(stream)
    feed(console)
    console.close()
    return [line.split("  ", 1)[1] for line in stream.getvalue().splitlines()]


def test_a_line_a_change_and_none_a_frame() -> None:
    def feed(console: Console) -> None:
        for confidence in (0.87, 0.88, 0.9):
            console.put(reading([face(3, "happy", confidence)]))
        console.put(reading([face(3, "surprise", 0.6), face(4, "sad", 0.5)]))
        console.put(reading([face(4, "sad", 0.55)]))
        console.put(reading([]))

    assert lines(feed) == [
        "face 3  happy 0.87",
        "face 3  surprise 0.60",
        "face 4  sad 0.50",
        "face 3 left",
        "face 4 left",
    ]


def test_clock_is_the_frame_s() -> None:
    stream = io.StringIO()
    console = Console(stream)
    seen = reading([face(3)])
    console.put(seen)
    console.close()
    assert stream.getvalue() == time.strftime("%H:%M:%S", time.localtime(seen.wall_time)) + "  face 3  happy 0.87\n"


def test_camera_is_told_when_it_is_lost_and_found() -> None:
    def feed(console: Console) -> None:
        for camera in ("online", "online", "camera 0: unplugged", "camera 0: unplugged", "online"):
            console.report(stats(camera))

    assert lines(feed) == ["camera: camera 0: unplugged", "camera: online"]


@pytest.mark.parametrize("no_colour", [False, True])
def test_colour_on_a_terminal_only(no_colour: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_colour:
        monkeypatch.setenv("NO_COLOR", "1")
    try:
        ours, theirs = os.openpty()
    except OSError as error:
        pytest.skip(f"no pseudo-terminal can be had here: {error}")
    with os.fdopen(ours, "rb", buffering=0) as screen, os.fdopen(theirs, "w") as terminal:
        console = Console(terminal)
        console.put(reading([face(3)]))
        console.close()
        assert (b"\x1b[" in screen.read(200)) is not no_colour
    assert lines(lambda console: console.put(reading([face(3)]))) == ["face 3  happy 0.87"]


def test_stream_that_takes_nothing_stalls_nobody() -> None:
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb", buffering=0) as reader, os.fdopen(write_end, "w") as stalled:
        console = Console(stalled)
        for turn in range(20_000):  # far more than a pipe holds: the call must return all the same
            console.put(reading([face(turn)]))
        # Once somebody reads, the newest lines arrive and most of the older ones were dropped.
        text = b""
        while b"face 19999  happy" not in text:
            text += reader.read(65536)
        console.close()
    assert text.count(b"\n") < 20_000


def test_a_stream_that_takes_nothing_does_not_hold_up_the_end() -> None:
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb", buffering=0):
        stalled = os.fdopen(write_end, "w")
        console = Console(stalled)
        for turn in range(20_000):
            console.put(reading([face(turn)]))
        console.close()  # as nobody reads, the writer thread is abandoned
        stalled.close()  # must not wait for a lock held by the writer


def test_reader_that_goes_away_ends_nothing() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as stream:
        console = Console(stream)
        console.put(reading([face(1)]))
        console.put(reading([face(2)]))
        console.close()
