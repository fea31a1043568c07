"""Matplotlib figures as inline SVG in the colours and fonts of the page, light or dark."""

import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Placeholder colours for Matplotlib, replaced in the SVG by the CSS variables of the page.
INK: Final = "#010101"
QUIET: Final = "#010102"
LINE: Final = "#010103"
CARD: Final = "#010104"
HEAT: Final = "#01010b"
SERIES: Final = ("#010105", "#010106", "#010107", "#010108", "#010109", "#01010a")
"""Colours of the series of a plot, in order of use: after Okabe and Ito, "Color Universal Design" (2008), adapted to a
light or dark background. Only the first two or three are easily told apart, so lines get different dashes too.
"""
_VARIABLES: Final = {
    INK: "var(--ink)",
    QUIET: "var(--quiet)",
    LINE: "var(--line)",
    CARD: "var(--card)",
    HEAT: "var(--heat)",
    **{colour: f"var(--series-{number})" for number, colour in enumerate(SERIES, 1)},
}

WIDTH: Final = 4.6
"""Width of a figure in inches: text of 10 points is then 10 pixels high on a phone's screen 390 pixels wide."""
STYLE: Final[Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "emotion-edge",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.facecolor": "none",
    "axes.labelcolor": QUIET,
    "axes.labelsize": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "figure.facecolor": "none",
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "lines.linewidth": 1.8,
    "patch.linewidth": 0,
}


@contextmanager
def in_style() -> Iterator[None]:
    """Context manager or decorator: figures made within have the fonts and colours of the page."""
    with mpl.rc_context(STYLE):
        yield


def new_axes(height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    """Create an empty figure with automatic layout, sizes in inches; call it within `in_style`."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def figure_svg(figure: Figure, alt: str, caption: str = "") -> Markup:
    """Render the figure as an HTML `<figure>` with inline SVG. alt: text alternative for screen readers."""
    below = Markup("<figcaption>{}</figcaption>").format(caption) if caption else ""
    return Markup('<figure class="plot">{}{}</figure>').format(Markup(_svg(figure, alt)), below)


def write_svg(figure: Figure, path: Path, alt: str) -> None:
    """Write the figure as an SVG file with the page's light and dark colours. alt: text alternative."""
    css = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
    colours = css[: css.index("*, ::before")] + "svg { background: var(--card); }"
    opening = '<svg xmlns="http://www.w3.org/2000/svg"'
    svg = _svg(figure, alt).replace("<svg", opening, 1).replace(">", f"><style>{colours}</style>", 1)
    path.write_text(svg + "\n", encoding="utf-8")


def _svg(figure: Figure, alt: str) -> str:
    """Render the figure as an `<svg>` element whose colours are CSS variables of style.css."""
    text = StringIO()
    with in_style():
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->\s*|<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'^<svg [^>]*?viewBox="([^"]+)"[^>]*>', r'<svg viewBox="\1" role="img" aria-label="">', svg)
    svg = svg.replace('aria-label=""', Markup('aria-label="{}"').format(alt), 1)
    # SVG ids are global to the page: remove unreferenced ones, and make the others unique to this figure.
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', svg))
    own = f"f{zlib.crc32(svg.encode()):08x}-"
    svg = re.sub(r' id="([^"]+)"', lambda found: f' id="{own}{found[1]}"' if found[1] in used else "", svg)
    svg = re.sub(r'(href="|url\()#', rf"\g<1>#{own}", svg).replace("xlink:href", "href")
    # Fonts and line styles are set by the page (style.css).
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    svg = svg.replace("font-family: 'DejaVu Sans'; ", "").replace("'DejaVu Sans'", "system-ui, sans-serif")
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    return re.sub(r">\s+<", "><", svg)
