"""The colour of each emotion, for frames, web page and plots."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final
from zlib import crc32

from edge.labels import UNCERTAIN

Colour = tuple[int, int, int]
"""Blue, green and red, each 0 to 255."""

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


_PALETTE: Final = tuple(dict.fromkeys(colour for name, colour in COLOURS.items() if name not in ("neutral", UNCERTAIN)))
_own: dict[str, str] = {}


def choose_colours(labels: Iterable[str], groups: Mapping[str, Sequence[str]] | str = "") -> None:
    """Choose the colours of labels that have none, for the whole process. Call it before anything is drawn.

    A group gets the colour of its first emotion. Any other label gets one that depends on its name alone, or the next
    one that no label has yet, as long as there are enough.

    Args:
        labels: the published labels.
        groups: the setting `emotion.labels`.
    """
    names = set(labels)
    chosen = {name: COLOURS[name] for name in names if name in COLOURS}
    for name in sorted(names - chosen.keys()):
        members = groups.get(name, ()) if not isinstance(groups, str) else ()
        start = crc32(name.encode())
        wanted = [COLOURS[member] for member in members if member in COLOURS]
        wanted += [_PALETTE[(start + step) % len(_PALETTE)] for step in range(len(_PALETTE))]
        chosen[name] = next((colour for colour in wanted if colour not in chosen.values()), wanted[0])
    _own.update((name, colour) for name, colour in chosen.items() if name not in COLOURS)


def all_colours() -> Mapping[str, str]:
    """Return the sRGB colours of all emotions and of the labels passed to `choose_colours`, by label."""
    return {**_own, **COLOURS}


def colour_of(emotion: str) -> str:
    """Return the label's sRGB colour as `#rrggbb`; for an unknown label, that of `uncertain`."""
    return COLOURS.get(emotion) or _own.get(emotion, COLOURS[UNCERTAIN])


def bgr(emotion: str) -> Colour:
    """Return the label's colour as blue, green and red for OpenCV; for an unknown label, that of `uncertain`."""
    colour = colour_of(emotion)
    return int(colour[5:7], 16), int(colour[3:5], 16), int(colour[1:3], 16)
