"""What is printed cannot change the terminal."""

import io
import sys
from pathlib import Path

import pytest

from edge.errors import escaped, printable
from edge.system.program import escaped_output, unescaped


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x07\x7f\x9b", "\\x1b[2J\\x07\\x7f\\x9b"),
        ("one\ttwo\r\nthree\n", "one\ttwo\r\nthree\n"),
        ("good\rbad\x08", "good\\x0dbad\\x08"),
        ("file\u202egpj.exe\u2028", "file\\u202egpj.exe\\u2028"),
        ("\udcff\ud800", "\\xff\\ud800"),
        ("Grüße, 感情 🙂 \xa0", "Grüße, 感情 🙂 \xa0"),
    ],
)
def test_control_characters_become_visible_and_all_else_stays(text: str, shown: str) -> None:
    assert escaped(text) == shown
    assert escaped(shown) == shown


def test_texts_of_other_processes_fit_one_line() -> None:
    assert printable(" one\n\ttwo\x1b[2J ") == "one two\\x1b[2J"


def test_all_that_is_printed_is_escaped_except_what_asks_for_the_stream_itself(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sys.stdout, sys.stderr
    with escaped_output():
        print("out \x1b[2J", Path("\udc80"), flush=True)
        print("error \x1b[2J", file=sys.stderr)
        sys.stdout.writelines(["\x07\n"])
        print("\r50 %", end="", file=unescaped(sys.stderr))
        with escaped_output():
            print("\x07")
        assert not isinstance(unescaped(sys.stdout), type(sys.stdout))
    assert (sys.stdout, sys.stderr) == before
    assert unescaped(stream := io.StringIO()) is stream
    captured = capsys.readouterr()
    assert captured.out == "out \\x1b[2J \\x80\n\\x07\n\\x07\n"
    assert captured.err == "error \\x1b[2J\n\r50 %"
