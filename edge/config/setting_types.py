"""Types of settings: bounds, conversion from text, and whether a change needs a restart."""

import re
from collections import Counter
from enum import Enum
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Final

import yaml
from pydantic import AfterValidator, BeforeValidator, Field

from edge.errors import EmotionEdgeError
from edge.labels import label_problem, labels_of


class OnReload(Enum):
    """What happens to a changed setting when the settings are reloaded; every setting is marked with one of the two."""

    LIVE = "applied"
    RESTART = "needs a restart"


LIVE: Final = OnReload.LIVE
RESTART: Final = OnReload.RESTART

Fraction = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=86400)]
Period = Annotated[float, Field(gt=0, le=86400)]
Port = Annotated[int, Field(ge=1, le=65535)]
Pixels = Annotated[int, Field(ge=16, le=8192)]


def _inside(region: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    x, y, width, height = region
    if width <= 0 or height <= 0 or x + width > 1 + 1e-9 or y + height > 1 + 1e-9:
        raise ValueError("a region is [x, y, width, height], fractions of the picture that lie inside it")
    return region


def _listed(value: object) -> object:
    """Split a list given as text, `0.25,0,0.5,1` or `[0.25, 0, 0.5, 1]`; return None for `null` or an empty text."""
    if not isinstance(value, str):
        return value
    parts = re.split(r"[,\s]+", value.strip().removeprefix("[").removesuffix("]").strip())
    return None if parts in ([""], ["null"]) else parts


Region = Annotated[
    Annotated[tuple[Fraction, Fraction, Fraction, Fraction], AfterValidator(_inside)] | None, BeforeValidator(_listed)
]


def none_or_one_up(rate: float) -> float:
    """Check a limit in frames per second: 0 (none) or at least 1. Raises ValueError."""
    if 0 < rate < 1:
        raise ValueError("must be 0, or 1 and more: fewer frames a second look like a camera that is lost")
    return rate


def _as_text(value: object) -> object:
    """Undo YAML's conversion of an unquoted `0` to a number and of `off` to false, where the setting is a word."""
    if value is False:
        return "off"
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Text = BeforeValidator(_as_text)


def _none_if_empty(value: object) -> object:
    return None if value in ("", "null") else value


OptionalPath = Annotated[Path | None, BeforeValidator(_none_if_empty)]


def _networks(text: str) -> str:
    for network in filter(None, map(str.strip, text.split(","))):
        try:
            ip_network(network, strict=False)
        except ValueError as error:
            raise ValueError(f"{network!r} is no IP address or network") from error
    return text


def _groups(value: object) -> object:
    """Parse groups of labels given as text, `{good: [happy, surprise], bad: [sad]}`; return other values unchanged."""
    if isinstance(value, str) and value.strip().startswith("{"):
        try:
            value = yaml.safe_load(value[:_GROUPS_MAX])
        except yaml.YAMLError:
            raise ValueError("must be a label set, or groups such as {good: [happy, surprise], bad: [sad]}") from None
    if not isinstance(value, dict):
        return value
    return {group: [members] if isinstance(members, str) else members for group, members in value.items()}


def _checked_groups(value: str | dict[str, tuple[str, ...]]) -> str | dict[str, tuple[str, ...]]:
    if isinstance(value, str):
        try:
            labels_of(value) if value else ()
        except EmotionEdgeError as error:
            raise ValueError(str(error)) from None
        return value
    if len(value) < 2:
        raise ValueError("must have two groups or more")
    for group, members in value.items():
        if problem := label_problem(group):
            raise ValueError(f"group {problem}")
        if not members:
            raise ValueError(f"group {group} is empty")
    counts = Counter(member for members in value.values() for member in members)
    if twice := [member for member, count in counts.items() if count > 1]:
        raise ValueError(f"{twice[0]} is in two groups, or twice in one")
    return value


_GROUPS_MAX: Final = 10_000
LabelChoice = Annotated[
    str | dict[str, tuple[str, ...]], BeforeValidator(_groups), AfterValidator(_checked_groups), Field(max_length=64)
]
"""The name of a label set, or groups of labels by name; empty: none."""

Networks = Annotated[str, AfterValidator(_networks)]
"""IP addresses and networks, separated by commas."""
