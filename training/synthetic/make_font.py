r"""Makes the fonts of overlay and page from an OpenType font: outlines as polygons, and a WOFF subset.

    apt-get download fonts-inter && dpkg-deb -x fonts-inter_*.deb inter
    python training/synthetic/make_font.py inter/usr/share/fonts/opentype/inter/Inter-{Medium,Bold}.otf \
        edge/outputs/drawing/font/inter.npz edge/outputs/web/page

OpenCV fills polygons at any size, so the board needs no font library; browsers take the WOFF files. Needs fontTools,
which the training environment has.
"""

import argparse
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from fontTools.pens.recordingPen import DecomposingRecordingPen
from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont

CAPITAL: Final = 1000
"""Height of a capital letter in the units of the outline file."""

_TOLERANCE: Final = 1.5
"""Largest distance of a polygon from its curve, in units: a quarter of a pixel for capitals 160 pixels high."""

_RANGES: Final = (
    (0x0020, 0x007E),  # ASCII
    (0x00A0, 0x017F),  # Latin-1 and Latin Extended-A
    (0x0218, 0x021B),  # Romanian
    (0x0386, 0x03CE),  # Greek
    (0x0400, 0x045F),  # Cyrillic
    (0x0490, 0x0491),  # Ukrainian
    (0x2010, 0x2026),  # dashes, quotation marks, ellipsis
    (0x2212, 0x2212),  # minus
)

_Points = npt.NDArray[np.float64]


def _curve(control: _Points, scale: float) -> _Points:
    """Approximate a Bézier curve of any degree by points, without its first point."""
    bend = np.abs(np.diff(control, n=2, axis=0)).sum(axis=1).max() * scale
    degree = len(control) - 1
    # By Wang's bound, chords of so many pieces stay within the tolerance.
    pieces = max(1, int(np.ceil(np.sqrt(degree * (degree - 1) / 8 * bend / _TOLERANCE))))
    at = np.linspace(0, 1, pieces + 1)[1:, None]
    points: list[Any] = list(control)
    while len(points) > 1:  # de Casteljau
        points = [a * (1 - at) + b * at for a, b in pairwise(points)]
    return np.asarray(points[0])


def _outline(font: TTFont, glyph: str, scale: float) -> list[npt.NDArray[np.int16]]:
    """The closed polygons of a glyph, y downwards from the baseline."""
    glyphs = font.getGlyphSet()
    pen = DecomposingRecordingPen(glyphs)
    glyphs[glyph].draw(pen)
    contours: list[list[_Points]] = []
    for action, arguments in pen.value:
        points = np.array(arguments, np.float64)
        match action:
            case "moveTo":
                contours.append([points])
            case "lineTo":
                contours[-1].append(points)
            case "curveTo":
                contours[-1].append(_curve(np.vstack([contours[-1][-1][-1:], points]), scale))
            case "qCurveTo":
                # Between two control points lies an implied point of the curve.
                for index, point in enumerate(points[:-1]):
                    last = index == len(points) - 2
                    end = points[-1] if last else (point + points[index + 1]) / 2
                    control = np.vstack([contours[-1][-1][-1:], point[None], end[None]])
                    contours[-1].append(_curve(control, scale))
    return [np.rint(np.vstack(contour) * (scale, -scale)).astype(np.int16) for contour in contours if len(contour) > 2]


def _weight(path: Path, codes: list[int]) -> dict[str, npt.NDArray[Any]]:
    font = TTFont(path)
    names = font.getBestCmap()
    scale = CAPITAL / font["OS/2"].sCapHeight
    outlines = [_outline(font, names[code], scale) for code in codes]
    contours = [contour for outline in outlines for contour in outline]
    return {
        "advance": np.array([round(font["hmtx"][names[code]][0] * scale) for code in codes], np.int16),
        "contours": np.array([len(outline) for outline in outlines], np.uint8),
        "points": np.array([len(contour) for contour in contours], np.uint16),
        "xy": np.vstack(contours),
    }


def _write_woff(source: Path, codes: list[int], out: Path) -> None:
    """Write a subset of the font with these characters, keeping kerning and marks."""
    font = TTFont(source)
    subsetter = Subsetter(Options(layout_features=["kern", "mark", "mkmk", "tnum"], hinting=False, desubroutinize=True))
    subsetter.populate(unicodes=codes)
    subsetter.subset(font)
    font.flavor = "woff"
    font.save(out)
    print(f"{out}: {out.stat().st_size} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description="A font's outlines for the board.")
    parser.add_argument("regular", type=Path)
    parser.add_argument("bold", type=Path)
    parser.add_argument("out", type=Path, help="the file of outlines")
    parser.add_argument("page", type=Path, help="the folder of the page, for inter-regular.woff and inter-bold.woff")
    arguments = parser.parse_args()
    have = [set(TTFont(path).getBestCmap()) for path in (arguments.regular, arguments.bold)]
    codes = [code for first, last in _RANGES for code in range(first, last + 1) if all(code in font for font in have)]
    arrays: dict[str, npt.NDArray[Any]] = {"codes": np.array(codes, np.uint16)}
    for name in ("regular", "bold"):
        arrays |= {f"{name}_{key}": array for key, array in _weight(getattr(arguments, name), codes).items()}
    np.savez_compressed(arguments.out, **arrays)
    print(f"{arguments.out}: {len(codes)} characters, {arguments.out.stat().st_size} bytes")
    for name in ("regular", "bold"):
        _write_woff(getattr(arguments, name), codes, arguments.page / f"inter-{name}.woff")


if __name__ == "__main__":
    main()
