"""What a check of the doctor found."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """One part. state: `ok`; `note`, something that need not be there; `fault`, the daemon cannot work without it."""

    state: Literal["ok", "note", "fault"]
    text: str
