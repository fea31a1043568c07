"""Plots used only by the report on a model."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from training.evaluation.slices import Slice
from training.pages.figures import SERIES, in_style, new_axes


@in_style()
def slices_plot(series: Mapping[str, Sequence[Slice]], ranges: Sequence[str], axis: str) -> Figure:
    """Plot accuracy by slice with its 95% interval, one line per series.

    ranges: label of each slice. axis: label of the axis.
    """
    figure, axes = new_axes(3.0)
    count = len(series)
    for number, (name, found) in enumerate(series.items()):
        places = np.array([one.place for one in found]) + (number - (count - 1) / 2) * 0.09
        middle = np.array([one.accuracy for one in found])
        ends = np.abs(np.array([one.interval for one in found]).T - middle)
        axes.errorbar(
            places, middle, ends, color=SERIES[number % 6], marker="os^Dvp"[number % 6], markersize=4.5, capsize=2.5,
            linestyle=("-", "--", "-.", ":")[number % 4], linewidth=1.4, elinewidth=1.2, label=name,
        )  # fmt: skip
    axes.set_xticks(np.arange(len(ranges)), list(ranges), fontsize=9)
    axes.set_xlim(-0.4, len(ranges) - 0.6)
    axes.tick_params(length=0)
    axes.set_xlabel(axis)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_ylabel("accuracy")
    axes.grid(True, axis="y")
    axes.spines["left"].set_visible(False)
    if count > 1:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2, handlelength=2.4)
    return figure
