"""CK+ in its original layout: `cohn-kanade-images/S005/001/*.png` and `Emotion/S005/001/*_emotion.txt`."""

from pathlib import Path
from typing import Final

from edge.errors import EmotionEdgeError
from training.datasets.assemble import Choices, Found, assemble, image_files
from training.datasets.dataset import Dataset

IMAGES: Final = "cohn-kanade-images"
LABELS: Final = "Emotion"
PEAK_FRAMES: Final = 3
"""Number of last frames of a sequence that get its emotion label; the first frame is labelled neutral.

CK+ labels only the last frame of each sequence, which runs from neutral to the peak of the emotion (Lucey et al. 2010);
three peak frames are the usual practice.
"""

# Index: the number in a label file.
_EMOTIONS = ("neutral", "angry", "contempt", "disgust", "fear", "happy", "sad", "surprise")


def read_ck_plus(path: Path, choices: Choices) -> Dataset:
    """Read the first frame (neutral) and the last three frames of every labelled sequence, with CK+'s person numbers.

    Splits are cut by person. Raises EmotionEdgeError if a label file holds no number from 0 to 7, or a sequence has no
    images.
    """
    found = []
    for file in sorted((path / LABELS).rglob("*_emotion.txt")):
        person, sequence = file.parent.parent.name, file.parent.name
        frames = image_files(path / IMAGES / person / sequence)
        if not frames:
            raise EmotionEdgeError(f"{path / IMAGES / person / sequence}: no images, but {file} labels them")
        emotion = _emotion(file)
        found.append(Found(frames[0], "neutral", person=person))
        found += [Found(frame, emotion, person=person) for frame in frames[1:][-PEAK_FRAMES:]]
    if not found:
        raise EmotionEdgeError(f"{path / LABELS}: no *_emotion.txt in it")
    return assemble("CK+", path, found, choices)


def _emotion(file: Path) -> str:
    text = file.read_text(encoding="utf-8", errors="replace").strip()
    try:
        return dict(enumerate(_EMOTIONS))[int(float(text))]
    except (ValueError, OverflowError, KeyError):
        raise EmotionEdgeError(f"{file}: {text!r} is no number from 0 to {len(_EMOTIONS) - 1}") from None
