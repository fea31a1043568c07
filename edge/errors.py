"""The base class of all errors that are shown to users."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

if TYPE_CHECKING:
    from pydantic import ValidationError


_FAULTS: Final = 5

_CONTROLS: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]|\r(?!\n)")
"""C0, C1 and DEL but tab and line ends; Unicode's line separators and changes of direction (UAX #9); surrogates, which
stand for the bytes of a file name that are not UTF-8 and which cannot be printed.
"""


class EmotionEdgeError(Exception):
    """An error that the user can fix: the message has what is wrong, where, and what to do.

    The command line prints it without a traceback and exits with `status`.
    """

    status: ClassVar[int] = 2


def in_one_line(error: "ValidationError") -> str:
    """Describe the first invalid fields of a ValidationError, without their values, in one line."""
    found = error.errors()
    faults = [f"{'.'.join(map(str, fault['loc']))}: {reason_of(fault)}".removeprefix(": ") for fault in found[:_FAULTS]]
    return "; ".join(faults) + (f"; and {len(found) - _FAULTS} more" if len(found) > _FAULTS else "")


def reason_of(fault: Mapping[str, Any]) -> str:
    """Return the message of one fault of a ValidationError; a validator's own message without pydantic's prefix."""
    return str(fault["msg"]).removeprefix("Value error, ")


def escaped(text: str) -> str:
    """Replace control characters by their codes in Python's notation; tabs and line ends stay."""
    return _CONTROLS.sub(_escape, text)


def printable(text: str) -> str:
    """Join a text to one line and escape its control characters, so that they cannot change the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in escaped(" ".join(text.split())))


def shortened(text: str, most: int) -> str:
    """Cut a text for a message to `most` characters, with three dots after it if it was longer."""
    return text if len(text) <= most else f"{text[:most]}..."


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:
        # os.fsdecode: a byte that is not UTF-8.
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
