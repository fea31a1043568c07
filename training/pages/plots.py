"""The plots of reports, as matplotlib figures; `figure_svg` puts them on a page."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from training.pages.figures import CARD, HEAT, INK, LINE, QUIET, SERIES, WIDTH, in_style, new_axes

Values = npt.ArrayLike

_STROKES: Final = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
_BAR: Final = 0.22
"""Height of a bar in inches."""


@in_style()
def bars(
    labels: Sequence[str], series: Mapping[str, Sequence[float]], axis: str, percent: bool = False, spread: bool = False
) -> Figure:
    """Horizontal bars, one group per label, each with its value at its end.

    Args:
        labels: Labels of the groups.
        series: By name, one value per label; NaN omits a bar.
        axis: Label of the axis.
        percent: True if the values are shares from 0 to 1.
        spread: True if the values of the series are parts of a whole; they are stacked into one bar.
    """
    count = 1 if spread else len(series)
    figure, axes = new_axes(0.75 + len(labels) * (count * _BAR + 0.12) + (0.3 if len(series) > 1 else 0))
    places = np.arange(len(labels))
    thick = 0.8 / count
    start = np.zeros(len(labels))
    for number, (name, given) in enumerate(series.items()):
        values = np.asarray(given, np.float64)
        shift = 0.0 if spread else (number - (count - 1) / 2) * thick
        drawn = axes.barh(
            places + shift, values, thick * 0.92, left=start if spread else None, color=SERIES[number], label=name
        )
        if spread:
            start = start + np.nan_to_num(values)
        else:
            known = ["" if np.isnan(value) else f"{value:.1%}" if percent else f"{value:,.4g}" for value in values]
            if not percent and np.all(np.nan_to_num(values) == np.round(np.nan_to_num(values))):
                known = ["" if np.isnan(value) else f"{value:,.0f}" for value in values]
            axes.bar_label(drawn, known, padding=3, fontsize=9)
    if spread:
        for place, whole in zip(places, start, strict=True):
            axes.annotate(
                f"{whole:.1%}" if percent else f"{whole:,.0f}",
                (whole, place),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
            )
    axes.set_yticks(places, list(labels))
    axes.invert_yaxis()
    axes.margins(x=0.16, y=0.15 / len(labels))
    axes.set_xlim(left=0)
    _quiet_axis(axes, "x", axis, percent)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    _legend(figure, axes, len(series))
    return figure


@in_style()
def histogram(
    series: Mapping[str, Values],
    axis: str,
    bins: int | None = None,
    limits: tuple[float, float] | None = None,
    of: str = "faces",
) -> Figure:
    """Histogram as lines, one per series, as shares of that series.

    Args:
        series: Values by name.
        axis: Label of the axis.
        bins: Number of bins; None: 8 to 40, depending on the number of values.
        limits: Range shown; values beyond count in the outermost bins. None: the range of all values.
        of: What is counted, for the label of the vertical axis.
    """
    figure, axes = new_axes(2.6)
    parts = {name: np.asarray(values, np.float64) for name, values in series.items()}
    everything = np.concatenate([*parts.values()])
    low, high = limits or (float(everything.min()), float(everything.max()))
    if bins is None:
        bins = int(np.clip(1.5 * np.sqrt(min(len(values) for values in parts.values())), 8, 40))
    edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    for number, (name, values) in enumerate(parts.items()):
        counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
        share = counts / max(len(values), 1)
        axes.stairs(
            share, edges, color=SERIES[number], label=name, linewidth=1.6, linestyle=_STROKES[number], baseline=None
        )
        if len(parts) == 1:
            axes.stairs(share, edges, color=SERIES[number], fill=True, alpha=0.25)
    axes.set_ylim(bottom=0)
    axes.set_xlim(edges[0], edges[-1])
    _quiet_axis(axes, "y", f"share of {of}", percent=True)
    axes.set_xlabel(axis)
    _legend(figure, axes, len(parts))
    return figure


@in_style()
def confusion_plot(
    matrix: npt.NDArray[np.int64],
    labels: Sequence[str],
    columns: Sequence[str] | None = None,
    down: str = "true",
    across: str = "predicted",
) -> Figure:
    """Plot a matrix of counts [len(labels), len(columns or labels)]; a cell is darker the larger its share of the row.

    down, across: what the rows and the columns are.
    """
    names = labels if columns is None else columns
    figure, axes = new_axes(1.0 + 0.42 * len(labels))
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    for (row, column), share in np.ndenumerate(shares):
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=HEAT, alpha=float(share)))
        axes.text(
            column, row, f"{matrix[row, column]:,}", ha="center", va="center", fontsize=8.5 if len(names) < 9 else 7.5,
            color=CARD if share > 0.65 else INK,
        )  # fmt: skip
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xticks(np.arange(len(names)), list(names), rotation=40, ha="left", rotation_mode="anchor")
    axes.set_yticks(np.arange(len(labels)), list(labels))
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.set_ylabel(down)
    axes.set_xlabel(across)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


@in_style()
def reliability_plot(curves: Mapping[str, tuple[Values, Values, Values]]) -> Figure:
    """Reliability diagram: accuracy by confidence (0 to 1), with the diagonal of a perfectly calibrated classifier.

    curves: by name, for each non-empty bin of confidence: mean confidence, accuracy, number of faces.
    """
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    upper.plot((0, 1), (0, 1), color=QUIET, linewidth=1, linestyle=":")
    for number, (name, (confidence, accuracy, counts)) in enumerate(curves.items()):
        sure, many = np.asarray(confidence, np.float64), np.asarray(counts, np.float64)
        upper.plot(
            sure, np.asarray(accuracy, np.float64), marker="os^D"[number % 4], markersize=4.5, color=SERIES[number],
            linestyle=_STROKES[number], label=name,
        )  # fmt: skip
        lower.plot(
            sure, many / many.sum(), marker="os^D"[number % 4], markersize=3.5, linewidth=1.2, color=SERIES[number],
            linestyle=_STROKES[number],
        )  # fmt: skip
    upper.set_xlim(0, 1)
    upper.set_ylim(0, 1)
    _quiet_axis(upper, "y", "accuracy", percent=True)
    _quiet_axis(lower, "y", "share of faces", percent=True)
    lower.set_ylim(bottom=0)
    lower.set_xlabel("confidence")
    lower.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    _legend(figure, upper, len(curves))
    return figure


@in_style()
def lines(
    x: Values, series: Mapping[str, Values], across: str, up: str, percent: bool = False, mark: float | None = None
) -> Figure:
    """Line plot of several curves over a common x.

    across, up: labels of the axes. mark: x position of a vertical line, such as the selected epoch.
    """
    figure, axes = new_axes(2.9)
    for number, (name, values) in enumerate(series.items()):
        axes.plot(
            np.asarray(x), np.asarray(values), color=SERIES[number % 6], linestyle=_STROKES[number % 6], label=name
        )
    if mark is not None:
        axes.axvline(mark, color=QUIET, linewidth=1, linestyle=":")
    _quiet_axis(axes, "y", up, percent)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=bool(np.all(np.asarray(x) == np.round(np.asarray(x))))))
    axes.set_xlabel(across)
    _legend(figure, axes, len(series))
    return figure


@in_style()
def affect_plot(valence: Values, arousal: Values, places: Mapping[str, tuple[float, float]], bins: int = 41) -> Figure:
    """Density of faces on the plane of valence and arousal (-1 to 1), with labelled reference points."""
    counts, edges, _ = np.histogram2d(np.asarray(valence), np.asarray(arousal), bins, ((-1, 1), (-1, 1)))
    figure, axes = new_axes(4.9)
    side = edges[1] - edges[0]
    shade = np.log1p(counts) / np.log1p(max(counts.max(), 1))
    axes.axhline(0, color=LINE, linewidth=1)
    axes.axvline(0, color=LINE, linewidth=1)
    for column, row in np.argwhere(counts > 0):
        alpha = float(round(0.1 + 0.9 * shade[column, row], 2))
        axes.add_patch(
            Rectangle((edges[column], edges[row]), side, side, facecolor=HEAT, alpha=alpha, antialiased=False)
        )
    for name, (x, y) in places.items():
        # A name is written above its point, or below it if a close point above would make the names overlap.
        below = any(0 < np.hypot(x - there, up - y) < 0.25 and up > y for there, up in places.values())
        axes.plot(
            x, y, marker="o", markersize=5, markerfacecolor="none", markeredgecolor=SERIES[1], markeredgewidth=1.6
        )
        axes.annotate(
            name, (x, y), xytext=(0, -6 if below else 6), textcoords="offset points", ha="center", fontsize=9,
            va="top" if below else "bottom", bbox={"facecolor": CARD, "alpha": 0.75, "pad": 0.8},
        )  # fmt: skip
    axes.set_xlim(-1, 1)
    axes.set_ylim(-1, 1)
    axes.set_xticks((-1, -0.5, 0, 0.5, 1))
    axes.set_yticks((-1, -0.5, 0, 0.5, 1))
    axes.set_aspect("equal")
    axes.set_xlabel("valence: unpleasant to pleasant")
    axes.set_ylabel("arousal: calm to excited")
    return figure


def _quiet_axis(axes: Axes, which: str, label: str, percent: bool) -> None:
    """Style an axis: gridlines instead of an axis line; ticks in percent or with thousands separators."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.grid(True)
    axis.set_label_text(label)
    axis.set_tick_params(length=0)
    axis.set_major_locator(_ticks())
    axis.set_major_formatter(
        PercentFormatter(1, decimals=None) if percent else FuncFormatter(lambda value, _: f"{value:,.6g}")
    )
    axes.spines["bottom" if which == "x" else "left"].set_visible(False)


def _ticks() -> MaxNLocator:
    return MaxNLocator(5, steps=[1, 2, 2.5, 5, 10])


def _legend(figure: Figure, axes: Axes, count: int) -> None:
    """Add a legend above the plot, where it hides nothing; none for a single series."""
    if count > 1:
        columns = 2 if count == 4 else 3
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=columns, handlelength=2.2)
