"""The one error a user is meant to read."""

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
    """The first places that do not fit, and why, without their values."""
    found = error.errors()
    faults = [f"{'.'.join(map(str, fault['loc']))}: {reason_of(fault)}".removeprefix(": ") for fault in found[:_FAULTS]]
    return "; ".join(faults) + (f"; and {len(found) - _FAULTS} more" if len(found) > _FAULTS else "")


def reason_of(fault: Mapping[str, Any]) -> str:
    """Why one of a ValidationError's faults does not fit; a validator's own words as they are."""
    return str(fault["msg"]).removeprefix("Value error, ")


def printable(text: str) -> str:
    """A text in one line, its control characters replaced, so that a terminal shows it and does not obey it."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))
