"""Smooths each track's scores over time and chooses its label with hysteresis."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from edge.config import EmotionSettings
from edge.emotion.scores import Floats, Scores
from edge.labels import UNCERTAIN


@dataclass(frozen=True, slots=True)
class Smoothed:
    """A track's smoothed state. probabilities: float32 [labels]; valence_arousal: float32 [2]; emotion: the label.

    votes: the latest votes of a committee.
    """

    at: float
    probabilities: Floats
    valence_arousal: Floats
    emotion: str
    votes: Mapping[str, str]


class Smoother:
    """Keeps the smoothed state of each track. settings: may be replaced between two frames."""

    def __init__(self, labels: tuple[str, ...], settings: EmotionSettings) -> None:
        self._labels = labels
        self.settings = settings
        self._tracks: dict[int, Smoothed] = {}

    def update(self, track: int, scores: Scores, row: int, now: float) -> None:
        """Add a frame's scores to a track's state.

        Exponential smoothing with a time constant: the weight of the new scores is 1 - exp(-dt / smoothing), so that
        the result does not depend on the frame rate.

        Args:
            track: id of the track.
            scores: of all faces classified in the frame.
            row: index of this track's face in `scores`.
            now: time of capture, seconds, monotonic.
        """
        probabilities, valence_arousal = scores.probabilities[row], scores.valence_arousal[row]
        before = self._tracks.get(track)
        if before is not None:
            constant = self.settings.smoothing
            weight = 1 - math.exp(-max(now - before.at, 0.0) / constant) if constant else 1.0
            probabilities = before.probabilities + np.float32(weight) * (probabilities - before.probabilities)
            valence_arousal = before.valence_arousal + np.float32(weight) * (valence_arousal - before.valence_arousal)
        emotion = self._label(probabilities, before.emotion if before else None)
        self._tracks[track] = Smoothed(now, probabilities, valence_arousal, emotion, scores.votes[row])

    def states(self, tracks: Iterable[int]) -> dict[int, Smoothed]:
        """Return the smoothed states of these tracks by id, and delete all others."""
        self._tracks = {track: self._tracks[track] for track in tracks if track in self._tracks}
        return self._tracks

    def _label(self, probabilities: Floats, current: str | None) -> str:
        """Return the label with hysteresis: the current one stays until another leads by the margin."""
        best = int(probabilities.argmax())
        margin = self.settings.hysteresis
        if current in self._labels:
            held = self._labels.index(current)
            if probabilities[best] - probabilities[held] < margin:
                best = held
        threshold = self.settings.uncertain_below
        if current == UNCERTAIN:
            threshold += margin / 2
        elif current is not None:
            threshold -= margin / 2
        return self._labels[best] if probabilities[best] >= threshold else UNCERTAIN
