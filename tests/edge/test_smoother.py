"""Smoothed scores and labels."""

import numpy as np
import pytest

from edge.config import EmotionSettings
from edge.emotion.scores import Scores
from edge.emotion.smoother import Smoothed, Smoother
from edge.labels import UNCERTAIN

LABELS = ("happy", "sad", "neutral")


def scores(happy: float, sad: float) -> Scores:
    """Make the scores of one face."""
    probabilities = np.array([[happy, sad, 1 - happy - sad]], np.float32)
    return Scores(probabilities, np.zeros((1, 2), np.float32), [{"one": "happy", "two": "sad"}])


def run(smoother: Smoother, frames: list[Scores], fps: float) -> list[Smoothed]:
    states = []
    for number, frame in enumerate(frames):
        smoother.update(1, frame, 0, number / fps)
        states.append(smoother.states([1])[1])
    return states


@pytest.mark.parametrize("fps", [5, 30, 120])
def test_the_response_does_not_depend_on_the_frame_rate(fps: int) -> None:
    """After one time constant a step response reaches 1 - 1/e, at any frame rate."""
    frames = [scores(0, 1), *[scores(1, 0)] * fps]
    last = run(Smoother(LABELS, EmotionSettings(smoothing=1.0)), frames, fps)[-1]
    assert last.probabilities[0] == pytest.approx(1 - np.exp(-1), abs=1e-3)
    assert last.probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_no_smoothing_follows_at_once() -> None:
    frames = [scores(0.9, 0), scores(0, 0.9)]
    assert [s.emotion for s in run(Smoother(LABELS, EmotionSettings(smoothing=0)), frames, 10)] == ["happy", "sad"]


def test_two_labels_that_take_turns_by_a_hair_do_not_flicker() -> None:
    frames = [scores(0.48, 0.46), scores(0.46, 0.48)] * 20
    settings = EmotionSettings(smoothing=0, hysteresis=0.08)
    assert {s.emotion for s in run(Smoother(LABELS, settings), frames, 10)} == {"happy"}


def test_a_clear_lead_takes_over() -> None:
    frames = [scores(0.6, 0.3), scores(0.3, 0.6)]
    assert run(Smoother(LABELS, EmotionSettings(smoothing=0)), frames, 10)[-1].emotion == "sad"


def test_low_confidence_is_uncertain_with_hysteresis() -> None:
    settings = EmotionSettings(smoothing=0, uncertain_below=0.5, hysteresis=0.1)
    frames = [scores(0.4, 0.3), scores(0.53, 0.2), scores(0.56, 0.2), scores(0.47, 0.2), scores(0.44, 0.2)]
    found = [s.emotion for s in run(Smoother(LABELS, settings), frames, 10)]
    assert found == [UNCERTAIN, UNCERTAIN, "happy", "happy", UNCERTAIN]


def test_a_track_that_left_is_forgotten() -> None:
    smoother = Smoother(LABELS, EmotionSettings(smoothing=10))
    smoother.update(1, scores(1, 0), 0, 0.0)
    assert smoother.states([]) == {}
    smoother.update(1, scores(0, 1), 0, 0.1)
    assert smoother.states([1])[1].emotion == "sad"
