"""What the mains of all programs share: escaped output, errors in one line, the exit status, types of flags."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from edge.errors import EmotionEdgeError, escaped


def run_program(name: str, run: Callable[[], int]) -> int:
    """Run a program and return its exit status; errors of the user are printed as one line.

    Args:
        name: the program, as users call it.
        run: does the work and returns the exit status.

    Returns:
        What `run` returned; 1 if the reader of the output has gone; 2, or the error's own status, after an error of
        the user; 130 after Ctrl-C.
    """
    with escaped_output():
        try:
            return run()
        except EmotionEdgeError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return error.status
        except BrokenPipeError:
            # The reader of the output has gone, as `head` does; Python's flush at exit must not fail.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except OSError as error:
            if error.filename is None:
                raise
            print(f"{name}: {error.filename}: {(error.strerror or str(error)).lower()}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            return 130


def whole_number(least: int) -> Callable[[str], int]:
    """Return an argparse type that takes whole numbers of `least` or more."""

    def number(text: str) -> int:
        if not text.isascii() or not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number of {least} or more")
        return int(text)

    return number


@contextmanager
def escaped_output() -> Iterator[None]:
    """Context manager: escape all that this process prints to `sys.stdout` and `sys.stderr`."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, _Escaping(unescaped(stream))) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def unescaped(stream: TextIO) -> TextIO:
    """Return the stream that takes control characters, for progress bars and colours."""
    return stream.stream if isinstance(stream, _Escaping) else stream


class _Escaping:
    """A text stream that escapes what is written; all else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        self.stream.write(escaped(text))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)
