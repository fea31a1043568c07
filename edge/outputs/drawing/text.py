"""Text rendering with the font Inter, since OpenCV's own fonts end at ASCII.

The glyph outlines are in font/inter.npz (112 KB: two weights of 514 Latin, Greek and Cyrillic characters), made by
training/synthetic/make_font.py. Pillow would add 20 MB, and cv2.freetype is not in OpenCV's wheels.
"""

import math
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np
import numpy.typing as npt

Weight = Literal["regular", "bold"]
Coverage = npt.NDArray[np.uint8]
"""Coverage of each pixel by the glyphs, uint8 [height, width], 0 to 255."""

_FILE: Final = Path(__file__).parent / "font" / "inter.npz"
# Height of capitals in the units of the font file.
_CAPITAL: Final = 1000
_RING: Final = 0.352
"""Height of the tallest letter, Å, above the capitals, in capital heights; no descender is longer."""

_SUPERSAMPLING: Final = 4
"""Factor of the resolution at which glyphs are filled before they are averaged down."""

# Number of fractional bits in OpenCV's coordinates.
_SHIFT: Final = 4


@lru_cache(maxsize=1)
def _glyphs() -> dict[Weight, dict[str, tuple[int, list[npt.NDArray[np.int16]]]]]:
    """Load advance and polygons of each weight and character, in font units, y downwards from the baseline."""
    weights: tuple[Weight, ...] = ("regular", "bold")
    font: dict[Weight, dict[str, tuple[int, list[npt.NDArray[np.int16]]]]] = {}
    with np.load(_FILE) as file:
        characters = [chr(code) for code in file["codes"]]
        for weight in weights:
            polygons = np.split(file[f"{weight}_xy"], np.cumsum(file[f"{weight}_points"].astype(int))[:-1])
            ends = np.cumsum(file[f"{weight}_contours"].astype(int)).tolist()
            starts = [0, *ends[:-1]]
            advances = file[f"{weight}_advance"].tolist()
            font[weight] = {
                character: (advance, polygons[start:end])
                for character, advance, start, end in zip(characters, advances, starts, ends, strict=True)
            }
    return font


def can_render(text: str) -> bool:
    """Whether the font has every character of the text."""
    return all(character in _glyphs()["regular"] for character in text)


@lru_cache(maxsize=1024)
def render_text(text: str, capital: int, weight: Weight = "regular") -> Coverage:
    """Render a line of text. The result is cached: do not write to it.

    Args:
        text: one line; a character the font lacks becomes a question mark.
        capital: height of capital letters in pixels.
        weight: of the font.

    Returns:
        Coverage uint8 [capital + 2 * margin(capital), width].
    """
    glyphs = _glyphs()[weight]
    found = [glyphs.get(character, glyphs["?"]) for character in text]
    scale = capital / _CAPITAL * _SUPERSAMPLING
    width = math.ceil(sum(advance for advance, _ in found) * scale / _SUPERSAMPLING) or 1
    coverage = np.zeros(((capital + 2 * margin(capital)) * _SUPERSAMPLING, width * _SUPERSAMPLING), np.uint8)
    start, baseline = 0, (margin(capital) + capital) * _SUPERSAMPLING
    for advance, polygons in found:
        # Half a pixel is subtracted: OpenCV's coordinates are pixel centres. Inner polygons are holes by the even-odd
        # rule.
        at = [
            np.rint((polygon * scale + (start * scale - 0.5, baseline - 0.5)) * 2**_SHIFT).astype(np.int32)
            for polygon in polygons
        ]
        if at:
            cv2.fillPoly(coverage, at, (255,), cv2.LINE_8, _SHIFT)
        start += advance
    size = coverage.shape[1] // _SUPERSAMPLING, coverage.shape[0] // _SUPERSAMPLING
    return np.asarray(cv2.resize(coverage, size, interpolation=cv2.INTER_AREA), np.uint8)


def margin(capital: int) -> int:
    """Return the rows above the capitals and below the baseline in the result of `render_text`."""
    return math.ceil(capital * _RING) + 1
