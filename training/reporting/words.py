"""Formatting of figures, the same in every part of a report."""

from collections.abc import Sequence

from training.evaluation.figures import Figures
from training.evaluation.judge import COMMITTEE
from training.evaluation.members import Member
from training.evaluation.metrics import Interval


def ends(interval: Interval) -> str:
    """Format the two ends of an interval of shares (0 to 1) in percent."""
    return f"{interval[0]:.1%} to {interval[1]:.1%}"


def points(interval: Interval) -> str:
    """Format an interval of differences of shares in percentage points."""
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}".replace("-", "−")


def figure_with_ends(value: float, interval: Interval) -> str:
    """Format a share (0 to 1) in percent, with its interval."""
    return f"{value:.2%} ({ends(interval)})"


def out_of(figures: Figures, place: int) -> str:
    """Recall of a class as text: `303 out of 491 (61.71%)`."""
    row = figures.confusion[place]
    part = f" ({row[place] / row.sum():.2%})" if row.sum() else ""
    return f"{row[place]:,} out of {row.sum():,}{part}"


def derived(yes: bool) -> str:
    """Return the prefix of "valence" or "arousal" for values derived from class scores; "" if `yes` is False."""
    return "derived " if yes else ""


def titled(members: Sequence[Member], voter: str) -> str:
    """Format the name of a voter (a network or the committee) with its role in a committee."""
    if voter == COMMITTEE:
        return f"committee of {len(members)}"
    return f"{voter} (leads)" if len(members) > 1 and voter == members[0].name else voter
