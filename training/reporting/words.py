"""Figures in words, the same in every part of a report."""

from collections.abc import Sequence

from training.evaluation.figures import Figures
from training.evaluation.judge import COMMITTEE
from training.evaluation.members import Member
from training.evaluation.metrics import Interval


def ends(interval: Interval) -> str:
    """An interval of parts of 1, in per cent."""
    return f"{interval[0]:.1%} to {interval[1]:.1%}"


def points(interval: Interval) -> str:
    """An interval of differences of parts of 1, in percentage points."""
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}".replace("-", "−")


def figure_with_ends(value: float, interval: Interval) -> str:
    """A part of 1 in per cent, with its interval."""
    return f"{value:.2%} ({ends(interval)})"


def out_of(figures: Figures, place: int) -> str:
    """How many faces of a class were found, as `303 out of 491 (61.71%)`."""
    row = figures.confusion[place]
    part = f" ({row[place] / row.sum():.2%})" if row.sum() else ""
    return f"{row[place]:,} out of {row.sum():,}{part}"


def derived(yes: bool) -> str:
    """What goes before "valence" or "arousal"."""
    return "derived " if yes else ""


def titled(members: Sequence[Member], voter: str) -> str:
    """A voter's name, with its part in a committee."""
    if voter == COMMITTEE:
        return f"committee of {len(members)}"
    return f"{voter} (leads)" if len(members) > 1 and voter == members[0].name else voter
