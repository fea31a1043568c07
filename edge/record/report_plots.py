"""The plots of a report as SVG and HTML, in the colours and words of the live page.

SVGs stretch with the page; one unit of their width is one time slot. Text is HTML beside them and keeps its size on a
phone.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from html import escape
from typing import Final

from edge.labels import CIRCUMPLEX, UNCERTAIN
from edge.outputs.drawing.colours import COLOURS, colour_of
from edge.record.summary import CELLS, Slot, Summary
from edge.translations import capitalised, label_text, words_of

_MOST_TICKS: Final = 9
_HEIGHT: Final = 100


def duration(seconds: float) -> str:
    """Format seconds as `3 h 12 min`, `12 min` or `40 s`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def percent(share: float) -> str:
    """Format a share, 0 to 1, such as `12%`; a share above zero but below half a percent as `<1%`."""
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"


def ordered(emotions: Iterable[str]) -> list[str]:
    """Sort emotions by valence on the circumplex, the most pleasant first; unknown names last."""
    known = list(COLOURS)

    def place(emotion: str) -> tuple[float, int]:
        return -CIRCUMPLEX.get(emotion, (-2.0, 0.0))[0], known.index(emotion) if emotion in known else len(known)

    return sorted(emotions, key=place)


def time_label(slot: Slot, days: int) -> str:
    """Format the start of a slot: `14:15`, preceded by the day in a report of several days."""
    return f"{slot.start:%H:%M}" if days == 1 else f"{slot.start:%a %d %b, %H:%M}"


def legend(summary: Summary) -> str:
    """Return the legend of emotions and their colours."""
    items = "".join(
        f'<li style="--hue:{colour_of(emotion)}"><i></i>{_name(emotion)}</li>' for emotion in ordered(summary.seconds)
    )
    return f'<ul class="legend">{items}<li class="unwatched"><i></i>not watched</li></ul>'


def shares(summary: Summary) -> str:
    """Plot a stacked column per slot, the most pleasant emotion on top; below it, the share of time with a face."""
    order = ordered(summary.seconds)
    days = (summary.last - summary.first).days + 1
    columns, bars = [], []
    for index, slot in enumerate(summary.slots):
        total = sum(slot.seconds.values())
        parts, top = [], 0.0
        for emotion in order:
            height = _HEIGHT * slot.seconds.get(emotion, 0.0) / total if total else 0.0
            if height:
                parts.append(f'<rect {_place(index, top, height)} fill="{colour_of(emotion)}"/>')
                top += height
        if parts:
            columns.append(f"<g><title>{escape(_slot_title(slot, order, total, days))}</title>{''.join(parts)}</g>")
        present = _HEIGHT * slot.present / slot.length
        if present:
            bars.append(f"<rect {_place(index, _HEIGHT - present, present)}/>")
    outlines = [
        f'<rect class="outline" x="{first}" y="0" width="{end - first}" height="{_HEIGHT}"/>'
        for first, end in _runs([bool(slot.seconds) for slot in summary.slots])
    ]
    ground = _watched(summary)
    divided = _svg(summary, ground + "".join(columns) + "".join(outlines), "Shares of the emotions through the time")
    in_view = _svg(summary, ground + "".join(bars), "How much of the time a face was in view")
    return (
        f'<div class="plot tall">{divided}</div><p class="strip-name">In view</p>'
        f'<div class="plot strip">{in_view}</div>{_ticks(summary)}'
    )


def axis_line(summary: Summary, axis: str, high: str, low: str) -> str:
    """Plot valence or arousal over time, one step per slot.

    Args:
        summary: the days.
        axis: `valence` or `arousal`.
        high: word for +1.
        low: word for -1.
    """
    values: list[float | None] = [getattr(slot, axis) for slot in summary.slots]
    path = []
    for first, end in _runs([value is not None for value in values]):
        for index in range(first, end):
            value = values[index] or 0.0
            y = _short(_HEIGHT * (1 - value) / 2)
            path.append(f"{'M' if index == first else 'L'}{index} {y}H{index + 1}")
    line = f'<line x1="0" x2="{len(values)}" y1="50" y2="50"/><path class="{axis}" d="{"".join(path)}"/>'
    return (
        f'<h3>{axis.capitalize()}</h3><div class="ends"><span>{high}</span><span>{low}</span>'
        f'<div class="plot low">{_svg(summary, _watched(summary) + line, f"{axis} through the time")}</div></div>'
    )


def axis_ticks(summary: Summary) -> str:
    """Return the time labels below the plots of `axis_line`."""
    return f'<div class="ends"><span></span><span></span>{_ticks(summary)}</div>'


def bars(summary: Summary) -> str:
    """Plot the time in each emotion as bars, longest first; the full width of a bar is the total time."""
    seconds = summary.seconds
    total = sum(seconds.values())
    return "".join(
        f'<li style="--hue:{colour_of(emotion)};--share:{_short(value / total)}">'
        f'<span class="name">{_name(emotion)}</span>'
        f'<span class="bar"><i></i></span><span class="share">{duration(value)}</span>'
        f'<span class="share">{percent(value / total)}</span></li>'
        for emotion, value in seconds.items()
        if total
    )


def days(summary: Summary) -> str:
    """Plot each day as a strip of its slots, in the colour of the most frequent emotion, stronger with more face time.

    Beside it are the day's most frequent emotion and the time with a face in view.
    """
    by_day: dict[date, list[Slot]] = {}
    for slot in summary.slots:
        by_day.setdefault(slot.start.date(), []).append(slot)
    rows = []
    for day, slots in by_day.items():
        seconds: dict[str, float] = {}
        marks = []
        for index, slot in enumerate(slots):
            for emotion, value in slot.seconds.items():
                seconds[emotion] = seconds.get(emotion, 0.0) + value
            if slot.seconds:
                most = max(slot.seconds, key=lambda emotion: slot.seconds[emotion])
                strength = _short(0.3 + 0.7 * min(1.0, slot.present / slot.length) ** 0.5)
                title = f"{slot.start:%H:%M}: {most}; in view for {duration(slot.present)}"
                marks.append(
                    f'<rect {_place(index, 0, _HEIGHT)} fill="{colour_of(most)}" opacity="{strength}">'
                    f"<title>{escape(title)}</title></rect>"
                )
            elif slot.watched >= slot.length / 100:
                marks.append(f'<rect class="watched" {_place(index, 0, _HEIGHT)}/>')
        shown = _name(max(seconds, key=lambda emotion: seconds[emotion])) if seconds else "–"
        present = sum(slot.present for slot in slots)
        label = f"{day:%A}: {shown}"
        rows.append(
            f'<li><span>{day:%a %d %b}</span><span class="plot strip"><svg viewBox="0 0 {len(slots)} {_HEIGHT}" '
            f'preserveAspectRatio="none" role="img" aria-label="{escape(label)}">{"".join(marks)}</svg></span>'
            f'<span>{shown}</span><span class="share">{duration(present) if present else "–"}</span></li>'
        )
    ends = "".join(f"<span>{hour}:00</span>" for hour in (0, 6, 12, 18, 24))
    rows.append(f'<li aria-hidden="true"><span></span><span class="hours">{ends}</span></li>')
    return f'<ol class="days">{"".join(rows)}</ol>'


def circumplex(summary: Summary) -> str:
    """Plot time on the plane of valence and arousal as a smoothed heat map; dots mark the emotions' places."""
    smooth = _smoothed(_smoothed(summary.circumplex))
    most = max((cell for row in smooth for cell in row), default=0.0)
    cells = [
        # The square root keeps rare values visible beside common ones.
        f'<rect x="{column}" y="{CELLS - 1 - row}" width="1" height="1" opacity="{_short((cell / most) ** 0.5)}"/>'
        for row, line in enumerate(smooth)
        for column, cell in enumerate(line)
        if cell > most / 200
    ]
    half = CELLS / 2
    dots = [
        f'<circle cx="{_short(half * (1 + valence))}" cy="{_short(half * (1 - arousal))}" r="0.36" '
        f'fill="{colour_of(emotion)}"><title>{_name(emotion)}</title></circle>'
        for emotion, (valence, arousal) in CIRCUMPLEX.items()
        if emotion in summary.seconds and emotion != UNCERTAIN
    ]
    cross = f'<line x1="{half}" x2="{half}" y1="0" y2="{CELLS}"/><line x1="0" x2="{CELLS}" y1="{half}" y2="{half}"/>'
    return (
        '<div class="plane"><span>lively</span><span>unpleasant</span>'
        f'<svg viewBox="0 0 {CELLS} {CELLS}" role="img" aria-label="Time by valence and arousal">'
        f"{''.join(cells)}{cross}{''.join(dots)}</svg><span>pleasant</span><span>calm</span></div>"
    )


def table(summary: Summary) -> str:
    """Return the slots in which faces were seen, as an HTML table."""
    order = ordered(summary.seconds)
    days = (summary.last - summary.first).days + 1
    names = ("from", *map(_name, order), "in view", "changes", "valence", "arousal")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    rows = []
    for slot in summary.slots:
        if slot.seconds:
            figures = [duration(slot.seconds[emotion]) if emotion in slot.seconds else "–" for emotion in order]
            figures += [duration(slot.present), str(slot.changed)]
            figures += ["–" if value is None else f"{value:+.2f}" for value in (slot.valence, slot.arousal)]
            cells = "".join(f"<td>{figure}</td>" for figure in figures)
            rows.append(f'<tr><th scope="row">{time_label(slot, days)}</th>{cells}</tr>')
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def changes_table(changes: Mapping[tuple[str, str], int], most: int) -> str:
    """Return the most frequent changes from one emotion to another as an HTML table of at most `most` rows."""
    rows = "".join(
        f'<tr><td><i style="--hue:{colour_of(before)}"></i>{_name(before)}</td>'
        f'<td><i style="--hue:{colour_of(after)}"></i>{_name(after)}</td><td>{count}</td></tr>'
        for (before, after), count in list(changes.items())[:most]
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in ("from", "to", "times"))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _slot_title(slot: Slot, order: Sequence[str], total: float, days: int) -> str:
    parts = [f"{emotion} {percent(slot.seconds[emotion] / total)}" for emotion in order if slot.seconds.get(emotion)]
    return f"{time_label(slot, days)}: {', '.join(parts)}; in view for {duration(slot.present)}"


def _svg(summary: Summary, content: str, label: str) -> str:
    return (
        f'<svg viewBox="0 0 {len(summary.slots)} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}">{content}</svg>'
    )


def _watched(summary: Summary) -> str:
    """Return rectangles for the slots in which frames were analysed; elsewhere the hatched background shows."""
    runs = _runs([slot.watched >= slot.length / 100 or bool(slot.seconds) for slot in summary.slots])
    return "".join(
        f'<rect class="watched" x="{first}" y="0" width="{end - first}" height="{_HEIGHT}"/>' for first, end in runs
    )


def _place(index: int, top: float, height: float) -> str:
    # A little wider than its slot: else the background would show between two columns.
    return f'x="{index}" y="{_short(top)}" width="1.02" height="{_short(height)}"'


def _runs(flags: Sequence[bool]) -> list[tuple[int, int]]:
    """Return runs of set flags as (first index, one past the last)."""
    edges = [index for index in range(len(flags) + 1) if _at(flags, index) != _at(flags, index - 1)]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _at(flags: Sequence[bool], index: int) -> bool:
    return 0 <= index < len(flags) and flags[index]


def _ticks(summary: Summary) -> str:
    """Return labels below a plot: hours of one day, or days; on narrow screens CSS hides every other one."""
    slots = summary.slots
    if summary.first == summary.last:
        marks = [(index, f"{slot.start:%H:%M}") for index, slot in enumerate(slots) if _on_the_hour(slot, 3)]
    else:
        starts = [(index, slot) for index, slot in enumerate(slots) if slot.start.hour == slot.start.minute == 0]
        step = -(-len(starts) // _MOST_TICKS)
        weekday = "%a %d" if len(starts) <= _MOST_TICKS else "%d %b"
        marks = [(index, slot.start.strftime(weekday)) for index, slot in starts[::step]]
    spans = "".join(f'<span style="left:{_short(100 * index / len(slots))}%">{label}</span>' for index, label in marks)
    return f'<div class="ticks" aria-hidden="true">{spans}</div>'


def _on_the_hour(slot: Slot, every: int) -> bool:
    return slot.start.minute == 0 and slot.start.hour % every == 0


def _name(emotion: str) -> str:
    return escape(capitalised(label_text(emotion, words_of())))


def _smoothed(cells: Sequence[Sequence[float]]) -> list[list[float]]:
    """Smooth the cells with a binomial filter (1, 2, 1) in both directions."""

    def line(values: Sequence[float]) -> list[float]:
        padded = [values[0], *values, values[-1]]
        return [(padded[at] + 2 * padded[at + 1] + padded[at + 2]) / 4 for at in range(len(values))]

    rows = [line(row) for row in cells]
    return [list(row) for row in zip(*(line(column) for column in zip(*rows, strict=True)), strict=True)]


def _short(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")
