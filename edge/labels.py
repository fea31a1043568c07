"""Label sets, the mappings between them, and the circumplex, defined here only, for training and board.

A label set is an ordered tuple of names; its order is the order of a network's logits. Four have names of their own;
any other is written as its labels with hyphens between them. A label is an emotion of CIRCUMPLEX, or a class name of
the user's own (`own_label`).
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError

UNCERTAIN: Final = "uncertain"
"""Label that is published if the smoothed confidence is below the threshold; only skillbox9 has it as a class."""

LABEL_SETS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        # Column `emotion` of fer2013.csv, 0 to 6.
        "fer7": ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"),
        # The first eight vote columns of fer2013new.csv (Barsoum et al. 2016), under the names of fer7.
        "ferplus8": ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt"),
        "skillbox9": ("angry", "contempt", "disgust", "fear", "happy", "neutral", "sad", "surprise", UNCERTAIN),
        "compact4": ("negative", "happy", "surprise", "neutral"),
    }
)

_TO_COMPACT4: Final[Mapping[str, str]] = MappingProxyType(
    {
        "angry": "negative",
        "contempt": "negative",
        "disgust": "negative",
        "fear": "negative",
        "sad": "negative",
        "happy": "happy",
        "surprise": "surprise",
        "neutral": "neutral",
    }
)

CIRCUMPLEX: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {
        # (valence, arousal), each in [-1, 1]. Placed by us after the layout of Russell, "A circumplex model of affect"
        # (1980): the quadrant and the order round the circle are his, the exact coordinates are ours. They turn class
        # scores into *derived* valence and arousal; they are no measurement.
        "angry": (-0.6, 0.7),
        "contempt": (-0.55, 0.3),
        "disgust": (-0.7, 0.35),
        "fear": (-0.6, 0.75),
        "happy": (0.85, 0.45),
        "neutral": (0.0, 0.0),
        "sad": (-0.75, -0.4),
        "surprise": (0.2, 0.8),
        "negative": (-0.65, 0.35),
        UNCERTAIN: (0.0, 0.0),
    }
)


_OWN: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")
RESERVED: Final = frozenset({"nobody", "unknown", "none", "null"})
"""Names that cannot be labels: Home Assistant shows them if there is no emotion, or reads them as no value."""
OWN_FORM: Final = "a letter, then at most 31 letters a to z, digits or _"


def own_label(text: str) -> str | None:
    """Convert a user's class name to a label; None if that is impossible.

    Case is ignored, accents are removed, and spaces become `_`: `Very Bored` is very_bored. The result is safe in
    messages, pages, metrics and the names of a network's outputs.
    """
    plain = unicodedata.normalize("NFKD", text.strip()).encode("ascii", "ignore").decode().casefold()
    name = re.sub(r"[\s_]+", "_", plain)
    # Only accents may be lost: a name in another alphabet is not reduced to its few ASCII letters.
    complete = len(plain) >= len(unicodedata.normalize("NFC", text.strip()))
    return name if complete and _OWN.fullmatch(name) and name not in RESERVED else None


def labels_of(label_set: str) -> tuple[str, ...]:
    """Return the names of a label set in logit order.

    label_set: a name of LABEL_SETS, or at least two labels with hyphens between them ("happy-sad-bored"), which are a
    label set of their own in the order given. Raises EmotionEdgeError for anything else, with the nearest names.
    """
    if label_set in LABEL_SETS:
        return LABEL_SETS[label_set]
    names = tuple(name.strip() for name in label_set.split("-"))
    if len(names) == 1:
        known = f"known: {', '.join(LABEL_SETS)}, or labels with hyphens between them: happy-sad-neutral"
        raise EmotionEdgeError(f"label set {label_set!r}: not known{_nearest(label_set, LABEL_SETS)} ({known})")
    for name in names:
        if problem := label_problem(name):
            raise EmotionEdgeError(f"label set {label_set!r}: {problem}")
        if names.count(name) > 1:
            raise EmotionEdgeError(f"label set {label_set!r}: {name!r} is in it twice")
    return names


def label_problem(name: str) -> str:
    """Describe why a name cannot be a label, with the nearest emotion if it is close to one; empty if it can."""
    if name in CIRCUMPLEX:
        return ""
    if own_label(name) != name:
        return f"{name!r} cannot be a label ({OWN_FORM}; not {', '.join(sorted(RESERVED))})"
    if near := difflib.get_close_matches(name, CIRCUMPLEX, n=1, cutoff=0.8):
        return f"no emotion {name!r}, did you mean {near[0]!r}?"
    return ""


def set_name(names: Sequence[str]) -> str:
    """Return the name of a label set; the inverse of `labels_of`."""
    known = {labels: name for name, labels in LABEL_SETS.items()}
    return known.get(tuple(names), "-".join(names))


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name.casefold(), known, n=1)
    return f", did you mean {near[0]!r}?" if near else ""


def map_matrix(source: Sequence[str], target: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return the matrix [len(source), len(target)] that maps probabilities over `source` to `target`.

    A label maps to itself if `target` has it, else to its merged class of compact4. A label that `target` cannot
    express has a row of zeros, so that mapped probabilities may sum to less than 1.
    """
    matrix = np.zeros((len(source), len(target)), np.float32)
    for row, label in enumerate(source):
        name = label if label in target else _TO_COMPACT4.get(label, "")
        if name in target:
            matrix[row, list(target).index(name)] = 1.0
    return matrix


def circumplex_of(labels: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return the matrix [len(labels), 2] that multiplies probabilities to derived valence and arousal.

    All its values are NaN if a label is no emotion of CIRCUMPLEX: valence and arousal are then unknown.
    """
    if not set(labels) <= CIRCUMPLEX.keys():
        return np.full((len(labels), 2), np.nan, np.float32)
    return np.array([CIRCUMPLEX[label] for label in labels], np.float32)
