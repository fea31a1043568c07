"""The one error a user is meant to read."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class EmotionEdgeError(Exception):
    """Something the user can mend: the message says what is wrong, where, and what to do.

    The command line prints it without a traceback and exits with status 2.
    """


def in_one_line(error: "ValidationError") -> str:
    """Each place that does not fit, and why, without its value."""
    faults = [
        (".".join(map(str, fault["loc"])), fault["msg"].removeprefix("Value error, ")) for fault in error.errors()
    ]
    return "; ".join(f"{place}: {reason}".removeprefix(": ") for place, reason in faults)
