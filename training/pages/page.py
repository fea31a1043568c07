"""A report as one self-contained HTML page without scripts: light and dark, for phone and paper.

All functions that make HTML return `Markup`; text put into it is escaped unless it is `Markup` itself.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

Cell = str | int | float | None

_TALL: Final = 40
"""Number of rows from which a table gets a scroll bar of its own."""

_PAGES: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True, slots=True)
class Section:
    """A titled section of a page. html: concatenated output of the functions of this package."""

    title: str
    html: str

    @property
    def anchor(self) -> str:
        """Fragment identifier for links to the section."""
        kept = "".join(letter if letter.isalnum() else " " for letter in self.title.lower())
        return "-".join(kept.split()) or "section"


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence shown above all sections, which the reader must not miss."""

    text: str
    kind: Literal["note", "warning"] = "warning"

    @property
    def word(self) -> str:
        """First word of the notice, such as "Warning", so that its kind is not shown by colour alone."""
        return "Warning:" if self.kind == "warning" else "Note:"


FACES_SHOWN: Final = Notice(
    "This file contains pictures of people's faces. Do not publish it or pass it on unless you have the right to the "
    "pictures.",
    "note",
)
"""Notice for every report that contains pictures from a data set."""


def render_page(
    title: str, lead: str, sections: Sequence[Section], notices: Sequence[Notice] = (), footer: str = ""
) -> str:
    """Render the whole page as HTML. lead: introduction of one or two sentences, plain text or Markup."""
    return _PAGES.get_template("base.html.j2").render(
        title=title, lead=lead, sections=sections, notices=notices, footer=footer or "Made by Emotion Edge."
    )


def paragraph(text: str, quiet: bool = False) -> Markup:
    """A paragraph of plain text."""
    return Markup('<p class="quiet">{}</p>' if quiet else "<p>{}</p>").format(text)


def heading(text: str) -> Markup:
    """A heading within a section."""
    return Markup("<h3>{}</h3>").format(text)


def bullets(items: Iterable[str]) -> Markup:
    """An HTML list of plain-text items."""
    return Markup("<ul>{}</ul>").format(Markup("").join(Markup("<li>{}</li>").format(item) for item in items))


def together(parts: Iterable[str]) -> Markup:
    """Concatenate pieces of HTML."""
    return Markup("\n").join(Markup(part) for part in parts)


def columns(parts: Iterable[str]) -> Markup:
    """Place pieces of HTML side by side, or below one another on a narrow screen."""
    return Markup('<div class="columns">{}</div>').format(
        Markup("").join(Markup("<div>{}</div>").format(Markup(part)) for part in parts)
    )


def tiles(figures: Iterable[tuple[str, str, str]]) -> Markup:
    """Key figures, each as (label, figure, short remark or "")."""
    shown = []
    for name, figure, remark in figures:
        rest = Markup("<dd>{}</dd>").format(remark) if remark else ""
        shown.append(Markup("<div><dt>{}</dt><dd>{}</dd>{}</div>").format(name, figure, rest))
    return Markup('<dl class="tiles">{}</dl>').format(Markup("").join(shown))


def table_html(header: Sequence[str], rows: Iterable[Sequence[Cell]], caption: str = "") -> Markup:
    """Make a table that scrolls sideways on a narrow screen, and vertically if it is long.

    The first cell of a row is its heading. Whole numbers get thousands separators, floats are shown to two decimals,
    None is left blank. A column in which every cell is a number, or text that starts with one, is aligned right.
    """
    body = [list(row) for row in rows]
    right = [bool(body) and all(_is_figure(row[column]) for row in body) for column in range(len(header))]
    right[:1] = [False]
    style = [Markup(' class="number"') if number else Markup("") for number in right]
    head = Markup("").join(
        Markup('<th scope="col"{}>{}</th>').format(kind, name) for kind, name in zip(style, header, strict=True)
    )
    lines = []
    for first, *rest in body:
        cells = Markup("").join(
            Markup("<td{}>{}</td>").format(kind, _shown(cell)) for kind, cell in zip(style[1:], rest, strict=True)
        )
        lines.append(Markup('<tr><th scope="row">{}</th>{}</tr>').format(_shown(first), cells))
    top = Markup("<caption>{}</caption>").format(caption) if caption else ""
    tall = Markup(" tall") if len(body) >= _TALL else ""
    # A scrollable region must be reachable by keyboard, and what gets the focus needs a name for screen readers.
    return Markup(
        '<div class="scroll{}" role="region" aria-label="{}" tabindex="0">'
        "<table>{}<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>"
    ).format(tall, caption or f"Table of {', '.join(header)}", top, head, Markup("\n").join(lines))


def _is_figure(cell: Cell) -> bool:
    return cell is None or isinstance(cell, int | float) or cell == "" or cell.lstrip("−+")[:1].isdigit()


def _shown(cell: Cell) -> Markup:
    if cell is None:
        return Markup("")
    if isinstance(cell, float):
        return escape(f"{cell:,.2f}".replace("-", "−"))
    return escape(f"{cell:,}") if isinstance(cell, int) else escape(cell)
