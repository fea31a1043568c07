"""The one error a user is meant to read."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError


class EmotionEdgeError(Exception):
    """Something the user can mend: the message says what is wrong, where, and what to do.

    The command line prints it without a traceback and exits with status 2.
    """


def in_one_line(error: "ValidationError") -> str:
    """Each place that does not fit, and why, without its value."""
    faults = (f"{'.'.join(map(str, fault['loc']))}: {reason_of(fault)}".removeprefix(": ") for fault in error.errors())
    return "; ".join(faults)


def reason_of(fault: Mapping[str, Any]) -> str:
    """Why one of a ValidationError's faults does not fit; a validator's own words as they are."""
    return str(fault["msg"]).removeprefix("Value error, ")
