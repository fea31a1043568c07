"""The result of one check of `emotion-edge doctor`."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check. state: `ok`; `note`, something optional is missing; `fault`, the daemon cannot work."""

    state: Literal["ok", "note", "fault"]
    text: str
