"""Text as pixels: the letters of Inter, filled by OpenCV, which by itself knows none beyond ASCII.

The outlines are in font/inter.npz (112 KB for two weights of 514 characters: Latin, Greek and Cyrillic), made by
training/synthetic/make_font.py. Pillow would do the same with 20 MB, cv2.freetype is not in OpenCV's wheels, and a
picture of ready letters would be soft at all sizes but its own.
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
"""How much of each pixel is ink, uint8 [height, width], 0 to 255."""

_FILE: Final = Path(__file__).parent / "font" / "inter.npz"
_CAPITAL: Final = 1000  # units of a capital's height in the file
_RING: Final = 0.352
"""How far the tallest letter, Å, reaches above the capitals, in their heights; none goes as far below the line."""

_FINER: Final = 4
"""Letters are filled on a grid this much finer, then averaged."""

_SHIFT: Final = 4  # binary places of OpenCV's coordinates


@lru_cache(maxsize=1)
def _glyphs() -> dict[Weight, dict[str, tuple[int, list[npt.NDArray[np.int16]]]]]:
    """Of each weight and character: the advance and the polygons, in units, y downwards from the baseline."""
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


def has(text: str) -> bool:
    """Whether every character of the text can be drawn."""
    return all(character in _glyphs()["regular"] for character in text)


@lru_cache(maxsize=1024)
def lettering(text: str, capital: int, weight: Weight = "regular") -> Coverage:
    """The text as ink, uint8 [height, width]: capitals of `capital` pixels, with `margin(capital)` above and below.

    A character that the font has not is drawn as a question mark. Not to be written to.
    """
    glyphs = _glyphs()[weight]
    found = [glyphs.get(character, glyphs["?"]) for character in text]
    scale = capital / _CAPITAL * _FINER
    width = math.ceil(sum(advance for advance, _ in found) * scale / _FINER) or 1
    ink = np.zeros(((capital + 2 * margin(capital)) * _FINER, width * _FINER), np.uint8)
    start, baseline = 0, (margin(capital) + capital) * _FINER
    for advance, polygons in found:
        # Half a pixel less, since OpenCV counts from pixels' middles; inner polygons are holes by the even-odd rule.
        at = [
            np.rint((polygon * scale + (start * scale - 0.5, baseline - 0.5)) * 2**_SHIFT).astype(np.int32)
            for polygon in polygons
        ]
        if at:
            cv2.fillPoly(ink, at, (255,), cv2.LINE_8, _SHIFT)
        start += advance
    size = ink.shape[1] // _FINER, ink.shape[0] // _FINER
    return np.asarray(cv2.resize(ink, size, interpolation=cv2.INTER_AREA), np.uint8)


def margin(capital: int) -> int:
    """Rows above the capitals and below the baseline in the pixels of `lettering`."""
    return math.ceil(capital * _RING) + 1
