"""The colour of each emotion, for frames, page and plots."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from edge.labels import UNCERTAIN

Colour = tuple[int, int, int]
"""Blue, green, red, 0 to 255."""

COLOURS: Final[Mapping[str, str]] = MappingProxyType(
    {
        # The palette of Okabe and Ito, "Color Universal Design" (2008): distinguishable with any type of colour vision.
        "angry": "#d55e00",
        "negative": "#d55e00",
        "disgust": "#009e73",
        "fear": "#cc79a7",
        "happy": "#f0e442",
        "sad": "#0072b2",
        "surprise": "#e69f00",
        "contempt": "#56b4e9",
        "neutral": "#e8e8e8",
        UNCERTAIN: "#6e6e6e",
    }
)
"""sRGB colour of each emotion, by label."""


def colour_of(emotion: str) -> str:
    """The emotion's sRGB colour as `#rrggbb`; of an unknown label, that of `uncertain`."""
    return COLOURS.get(emotion, COLOURS[UNCERTAIN])


def bgr(emotion: str) -> Colour:
    """The same for OpenCV."""
    colour = colour_of(emotion)
    return int(colour[5:7], 16), int(colour[3:5], 16), int(colour[1:3], 16)
