"""Building blocks of a report, rendered both as HTML (by `training.pages`) and as Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from matplotlib.figure import Figure

from training.pages import page
from training.pages.figures import figure_svg
from training.pages.sheets import image_sheet

Cell = str | int


@dataclass(frozen=True, slots=True)
class Words:
    """A paragraph. quiet: True for small print."""

    text: str
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Points:
    """A list of sentences."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading within a part."""

    text: str


@dataclass(frozen=True, slots=True)
class Tiles:
    """Key figures, each as (label, figure, short remark)."""

    figures: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first cell of each row is its heading."""

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot, in HTML only; Markdown shows `instead`. alt: text alternative."""

    figure: Figure
    alt: str
    caption: str = ""
    instead: tuple[Table, ...] = ()


@dataclass(frozen=True, slots=True)
class Faces:
    """Pictures of faces with captions under a heading, in HTML only.

    shares: for each picture, the label and share (0 to 1) of the bars under its caption; empty: no bars.
    """

    title: str
    images: tuple[npt.NDArray[np.uint8], ...]
    captions: tuple[str, ...]
    shares: tuple[tuple[tuple[str, float], ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Beside:
    """Blocks placed side by side if the page is wide enough."""

    blocks: tuple["Block", ...]


Block = Words | Points | Heading | Tiles | Table | Plot | Faces | Beside


@dataclass(frozen=True, slots=True)
class Part:
    """A titled group of blocks."""

    title: str
    blocks: tuple[Block, ...]


def to_html(title: str, lead: str, parts: Sequence[Part], notices: Sequence[page.Notice]) -> str:
    """Render the report as one self-contained HTML page."""
    sections = [page.Section(part.title, page.together(_html(block) for block in part.blocks)) for part in parts]
    shown = any(isinstance(block, Faces) for part in parts for block in part.blocks)
    return page.render_page(title, lead, sections, [*notices, page.FACES_SHOWN] if shown else notices)


def to_markdown(title: str, lead: str, parts: Sequence[Part], notices: Sequence[page.Notice]) -> str:
    """Render the report as Markdown with aligned tables."""
    lines = [f"# {title}", "", lead, ""]
    for notice in notices:
        lines += [f"> {notice.word} {notice.text}", ""]
    for part in parts:
        found = [text for block in part.blocks for text in _markdown(block)]
        lines += [f"## {part.title}", "", *(line for text in found for line in (text, ""))]
    return "\n".join(lines).rstrip() + "\n"


def _html(block: Block) -> Markup:
    match block:
        case Words():
            return page.paragraph(block.text, block.quiet)
        case Points():
            return page.bullets(block.items)
        case Heading():
            return page.heading(block.text)
        case Tiles():
            return page.tiles(block.figures)
        case Table():
            return page.table_html(block.header, block.rows, block.caption)
        case Plot():
            return figure_svg(block.figure, block.alt, block.caption)
        case Faces():
            return page.together(
                [page.heading(block.title), image_sheet(block.images, block.captions, shares=block.shares)]
            )
        case Beside():
            return page.columns(_html(one) for one in block.blocks)


def _markdown(block: Block) -> list[str]:
    match block:
        case Words():
            return [block.text]
        case Points():
            return ["\n".join(f"- {item}" for item in block.items)]
        case Heading():
            return [f"### {block.text}"]
        case Tiles():
            return ["\n".join(f"- {name}: **{figure}** {words}".rstrip() for name, figure, words in block.figures)]
        case Table():
            return [_markdown_table(block)]
        case Plot():
            return [_markdown_table(table) for table in block.instead]
        case Faces():
            return []
        case Beside():
            return [text for one in block.blocks for text in _markdown(one)]


def _markdown_table(table: Table) -> str:
    rows = [[_escaped(cell) for cell in row] for row in (table.header, *table.rows)]
    widths = [max(3, *(len(row[column]) for row in rows)) for column in range(len(table.header))]
    right = [column > 0 and _figures(row[column] for row in table.rows) for column in range(len(table.header))]
    lines = []
    for row in rows:
        cells = (
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(row, widths, right, strict=True)
        )
        lines.append(f"| {' | '.join(cells)} |")
    rule = (f"{'-' * (width + 1)}:" if flush else "-" * (width + 2) for width, flush in zip(widths, right, strict=True))
    lines.insert(1, f"|{'|'.join(rule)}|")
    return "\n".join([table.caption, "", *lines] if table.caption else lines)


def _escaped(cell: Cell) -> str:
    return (f"{cell:,}" if isinstance(cell, int) else cell).replace("|", "\\|")


def _figures(cells: Any) -> bool:
    return all(isinstance(cell, int) or cell.lstrip("−+")[:1].isdigit() or not cell for cell in cells)
