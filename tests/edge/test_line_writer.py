"""LineWriter: lines are written in order by a thread, dropped if nobody reads, and never block the caller."""

import threading

from edge.system.line_writer import LineWriter


def test_lines_are_written_in_order() -> None:
    written: list[str] = []
    writer = LineWriter(written.append, "test", 100)
    writer.put(["one\n", "two\n"])
    assert writer.flush(10)
    writer.put(["three\n"])
    writer.close(10)
    assert "".join(written) == "one\ntwo\nthree\n"
    assert writer.dropped == 0


def test_of_lines_that_are_not_taken_the_newest_are_kept() -> None:
    release, begun, written = threading.Event(), threading.Event(), list[str]()

    def write(text: str) -> None:
        begun.set()
        assert release.wait(30)
        written.append(text)

    writer = LineWriter(write, "test", 3)
    writer.put(["first "])
    assert begun.wait(10)
    writer.put(str(number) for number in range(10))
    assert not writer.flush(0.05)
    assert writer.dropped == 7
    release.set()
    writer.close(10)
    assert "".join(written) == "first 789"


def test_what_cannot_be_written_to_is_given_up() -> None:
    def write(_: str) -> None:
        raise BrokenPipeError(32, "nobody reads")

    writer = LineWriter(write, "test", 3)
    writer.put(["lost"])
    assert writer.flush(10)
    assert isinstance(writer.failed, BrokenPipeError)
    writer.put(["lost, too"])
    assert writer.flush(10)
    writer.close(10)
