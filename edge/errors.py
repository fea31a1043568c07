"""The base class of all errors that are shown to users."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pydantic import ValidationError


_FAULTS: Final = 5


class EmotionEdgeError(Exception):
    """An error that the user can fix: the message has what is wrong, where, and what to do.

    The command line prints it without a traceback and exits with status 2.
    """


def in_one_line(error: "ValidationError") -> str:
    """Describe the first invalid fields of a ValidationError, without their values, in one line."""
    found = error.errors()
    faults = [f"{'.'.join(map(str, fault['loc']))}: {reason_of(fault)}".removeprefix(": ") for fault in found[:_FAULTS]]
    return "; ".join(faults) + (f"; and {len(found) - _FAULTS} more" if len(found) > _FAULTS else "")


def reason_of(fault: Mapping[str, Any]) -> str:
    """Return the message of one fault of a ValidationError; a validator's own message without pydantic's prefix."""
    return str(fault["msg"]).removeprefix("Value error, ")


def printable(text: str) -> str:
    """Join a text to one line and replace its control characters, so that they cannot change the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))


def shortened(text: str, most: int) -> str:
    """Cut a text for a message to `most` characters, with three dots after it if it was longer."""
    return text if len(text) <= most else f"{text[:most]}..."
