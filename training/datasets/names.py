"""Maps the class names of data sets to labels: the emotions of `edge.labels`, or classes of the user's own."""

import logging
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from edge.config.yaml_file import read_yaml
from edge.errors import EmotionEdgeError
from edge.labels import CIRCUMPLEX, LABEL_SETS, OWN_FORM, label_problem, labels_of, map_matrix, own_label, set_name
from training.datasets.dataset import Labels, one_hot

SYNONYMS: Final[Mapping[str, tuple[str, ...]]] = {
    "angry": ("anger",),
    "contempt": ("contemptuous", "scorn"),
    "disgust": ("disgusted",),
    "fear": ("fearful", "afraid", "scared"),
    "happy": ("happiness", "joy", "joyful"),
    "neutral": ("neutrality",),
    "sad": ("sadness", "sorrow"),
    "surprise": ("surprised",),
    "uncertain": ("uncertainty", "unsure"),
}
"""Other class names in use for each emotion, in lower case."""

_EMOTIONS: Final = {name: name for name in CIRCUMPLEX} | {
    other: name for name, others in SYNONYMS.items() for other in others
}
OWN: Final = "own"
"""Name of the label set that keeps class names that are not emotions; names of emotions still become emotions."""

_log = logging.getLogger(__name__)


def emotion_of(name: str) -> str | None:
    """The emotion of a class name, or None. Case, digits and punctuation are ignored: `0_Happy` is happy."""
    return _EMOTIONS.get(re.sub(r"[^a-z]", "", name.casefold()))


def read_mapping(path: Path | None) -> Mapping[str, str | None]:
    """Read a YAML file of `class name: label` lines; `class name: null` omits a class.

    A label is an emotion, or a class name of the user's own (`edge.labels.own_label`) that is not close to an emotion.
    Returns an empty mapping if path is None. Raises EmotionEdgeError if the file is missing or invalid, or a label in
    it is not allowed.
    """
    if path is None:
        return {}
    lines = read_yaml(path, "names of classes")
    if not isinstance(lines, dict) or not lines:
        raise EmotionEdgeError(f"{path}: no class names: wanted are lines like `grumpy: angry`, without dashes")
    for name, emotion in lines.items():
        own = own_label(str(emotion))
        if emotion is not None and emotion_of(str(emotion)) is None and (problem := label_problem(own or str(emotion))):
            raise EmotionEdgeError(f"{path}: {name}: {problem} (emotions: {', '.join(CIRCUMPLEX)})")
    return {
        _composed(str(name)): None if emotion is None else emotion_of(str(emotion)) or own_label(str(emotion))
        for name, emotion in lines.items()
    }


def _composed(name: str) -> str:
    """Convert a name to Unicode NFC, as macOS decomposes accented letters of folder names and editors do not."""
    return unicodedata.normalize("NFC", name)


def emotions_of(
    names: Iterable[str],
    mapping: Mapping[str, str | None],
    where: str,
    own_class: Callable[[str], str | None] = lambda _: None,
) -> Mapping[str, str | None]:
    """Return the label of each class name: from the mapping if listed there, else from the name; None omits the class.

    Args:
        names: Class names as the data set has them.
        mapping: Labels by class name; None omits the class.
        where: Source, for messages.
        own_class: Function that gives the label of a name that is not an emotion; None if it is not accepted.

    Raises:
        EmotionEdgeError: A class name is unknown; the message lists all of them.
    """
    found = sorted(set(names))
    own = {name: _composed(name) for name in found}
    for name in sorted(set(mapping) - set(own.values())):
        _log.warning("%s: no class %r, which the mapping names (found: %s)", where, name, ", ".join(found))
    emotions = {
        name: mapping[own[name]] if own[name] in mapping else emotion_of(name) or own_class(name) for name in found
    }
    unknown = [name for name in found if own[name] not in mapping and emotions[name] is None]
    if unknown:
        kept = f"keep the names as classes of your own with the label set `{OWN}`"
        if own_label(unknown[0]) is None:
            kept = f"with the label set `{OWN}` name it there (`{unknown[0]}: NAME`; {OWN_FORM}), or rename its folder"
        raise EmotionEdgeError(
            f"{where}: no known emotion: {', '.join(unknown)} (known: {', '.join(CIRCUMPLEX)}); give a mapping file "
            f"with a line a class: `{unknown[0]}: angry`, or `{unknown[0]}: null` to leave it out; or {kept}"
        )
    return emotions


def labels_from(emotions: Sequence[str | None], label_set: str | None, where: str) -> Mapping[str, Labels]:
    """Build the Labels of faces with one emotion each, by the name of their label set.

    A face whose emotion is outside the label set gets no label. This is logged, as is a class without faces.

    Args:
        emotions: The emotion of each face; None: no label.
        label_set: Name of the label set; None selects the named set with exactly these emotions, else a new set of
            them.
        where: Source, for messages.

    Raises:
        EmotionEdgeError: The label set is unknown, or none is given and there is only one emotion.
    """
    present = {emotion for emotion in emotions if emotion is not None}
    order = [*(name for name in CIRCUMPLEX if name in present), *sorted(present - CIRCUMPLEX.keys())]
    counts = {name: sum(emotion == name for emotion in emotions) for name in order}
    names = labels_of(label_set or _set_of(counts, where))
    matrix = map_matrix(tuple(counts), names)
    judged = {name: int(row.argmax()) if row.any() else -1 for name, row in zip(counts, matrix, strict=True)}
    for name, count in counts.items():
        if judged[name] < 0:
            _log.warning("%s: %d faces are %s, which %s has not: left out", where, count, name, set_name(names))
    missing = [name for index, name in enumerate(names) if index not in judged.values()]
    if counts and missing:
        _log.warning("%s: no face is %s, of %s", where, " or ".join(missing), set_name(names))
    each = np.array([-1 if emotion is None else judged[emotion] for emotion in emotions], np.int64)
    return {set_name(names): one_hot(names, each)}


def _set_of(present: Iterable[str], where: str) -> str:
    names = tuple(present)
    if len(names) < 2:
        raise EmotionEdgeError(
            f"{where}: {f'all faces are {names[0]}' if names else 'no face has a label'}: a network needs two classes"
        )
    return next((name for name, labels in LABEL_SETS.items() if set(labels) == set(names)), "-".join(names))
