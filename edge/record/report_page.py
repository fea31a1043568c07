"""A report as one HTML file without scripts or external files, for screens of any size, light and dark, and paper."""

from base64 import b64encode
from datetime import date
from html import escape
from pathlib import Path
from typing import Final

from edge import __version__
from edge.record import report_plots as plots
from edge.record.summary import Summary, zone
from edge.translations import capitalised

_FOLDER: Final = Path(__file__).parent.parent / "outputs" / "web" / "page"
_CHANGES_SHOWN: Final = 10


def report_page(summary: Summary, device: str) -> str:
    """Return the report as an HTML page. device: name of the board, as users know it."""
    title = _title(summary.first, summary.last)
    style = "\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in ("style.css", "report.css"))
    icon = "data:image/svg+xml;base64," + b64encode((_FOLDER / "icon.svg").read_bytes()).decode()
    body = _body(summary) if summary.watched or summary.seconds else _NOTHING
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{title} – {escape(device)} – Emotion Edge</title>
<link rel="icon" href="{icon}">
<style>
{style}</style>
</head>
<body class="report">
<header class="top">
<div class="brand"><img src="{icon}" alt="" width="32" height="32">
<div><h1>{title}</h1>
<p class="quiet">Emotion Edge on {escape(device)}. Times are local: {escape(zone(summary))}.</p></div></div>
</header>
<main>
<p class="notice wide"><strong>An emotion is a model's estimate.</strong> It describes an expression in a picture, not
what a person feels, and it is often wrong about a single moment.</p>
{body}
</main>
<footer class="quiet">Made by Emotion Edge {escape(__version__)} from the record on the board. It holds no images and no
names; a person who leaves and comes back counts as another face.</footer>
</body>
</html>
"""


_NOTHING: Final = """<section class="card"><h2>Nothing was recorded</h2>
<p>The daemon did not run in this time, or <code>record.enabled</code> was off.</p></section>"""


def _body(summary: Summary) -> str:
    if not summary.seconds:
        return f'{_facts(summary)}<section class="card"><h2>Nobody was in view</h2><p>No face was seen.</p></section>'
    days = f"""<section class="card wide"><h2>Day by day</h2>
<p class="quiet">In the colour of the emotion shown most, the stronger the longer a face was in view.</p>
{plots.days(summary)}</section>
"""
    return f"""{_facts(summary)}
{days if summary.first != summary.last else ""}<section class="card wide"><h2>Emotions through {_span(summary)}</h2>
<p class="quiet">Each column is {_slot_words(summary)}, divided by the time that faces showed each emotion, the more
pleasant the higher.</p>
{plots.legend(summary)}
{plots.shares(summary)}</section>
<section class="card wide"><h2>Valence and arousal</h2>
{plots.axis_line(summary, "valence", "pleasant", "unpleasant")}
{plots.axis_line(summary, "arousal", "lively", "calm")}
{plots.axis_ticks(summary)}</section>
<section class="card"><h2>Time in each emotion</h2>
<p class="quiet">Two faces in view at once both count.</p>
<ul class="scores">{plots.bars(summary)}</ul>
<h3>Changes</h3>{_changes(summary)}</section>
<section class="card"><h2>Where the time was spent</h2>
<p class="quiet">The stronger the blue, the longer; a dot is the place of an emotion.</p>
{plots.circumplex(summary)}</section>
<details class="card wide"><summary>All figures as a table</summary>
<div class="scroll" tabindex="0" role="region" aria-label="All figures">{plots.table(summary)}</div></details>"""


def _facts(summary: Summary) -> str:
    seconds = summary.seconds
    shown = next(iter(seconds), "")
    share = plots.percent(seconds[shown] / sum(seconds.values())) if shown else ""
    in_view = plots.percent(summary.present / summary.watched) if summary.watched else ""
    facts = (
        ("Watched", plots.duration(summary.watched), ""),
        ("A face in view", plots.duration(summary.present), f"{in_view} of that time" if in_view else ""),
        ("Shown most", capitalised(shown) or "–", f"{share} of the time" if share else ""),
        ("Changes of emotion", str(summary.changed), f"{summary.appeared} faces came into view"),
    )
    items = "".join(
        f'<div class="card"><dt>{name}</dt><dd>{escape(value)}</dd><dd class="quiet">{detail}</dd></div>'
        for name, value, detail in facts
    )
    return f'<dl class="figures wide">{items}</dl>'


def _changes(summary: Summary) -> str:
    if not summary.changes:
        return '<p class="quiet">No face changed its emotion.</p>'
    left = len(summary.changes) - _CHANGES_SHOWN
    more = f'<p class="quiet">And {left} more kinds of change, each rarer.</p>' if left > 0 else ""
    return plots.changes_table(summary.changes, _CHANGES_SHOWN) + more


def _title(first: date, last: date) -> str:
    def written(day: date, form: str) -> str:
        return day.strftime(form).replace("@", str(day.day))

    if first == last:
        return written(first, "%A, @ %B %Y")
    form = (
        "@"
        if (first.year, first.month) == (last.year, last.month)
        else "@ %B"
        if first.year == last.year
        else "@ %B %Y"
    )
    return f"{written(first, form)} to {written(last, '@ %B %Y')}"


def _span(summary: Summary) -> str:
    return "the day" if summary.first == summary.last else "the days"


def _slot_words(summary: Summary) -> str:
    minutes = summary.slot_minutes
    if minutes < 60:
        return f"{minutes} minutes"
    hours = minutes // 60
    return "a day" if hours == 24 else "an hour" if hours == 1 else f"{hours} hours"
