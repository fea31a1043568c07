"""From a frame to a Reading: detect, track, crop, classify, smooth."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from edge.config import EmotionSettings, Settings
from edge.emotion.classifier import Classifier, open_classifier
from edge.emotion.smoother import Smoother, Steady
from edge.faces.detector import Detector, open_detector
from edge.faces.tracker import CONFIRM, Followed, Tracker
from edge.reading import Box, Detection, Face, Frame, Reading
from edge.runtime import Runtime


class Pipeline:
    """Looks at frames one after another and remembers the faces it follows. Belongs to one thread."""

    def __init__(
        self, detector: Detector, classifier: Classifier, settings: EmotionSettings, confirm: int = CONFIRM
    ) -> None:
        """confirm: frames in which a face must be seen before it counts; 1 for single pictures."""
        self.card = classifier.card
        self._detector = detector
        self._classifier = classifier
        self._tracker = Tracker(confirm)
        self._smoother = Smoother(classifier.labels, settings)

    def analyse(self, frame: Frame) -> Reading:
        """What is seen in the frame."""
        stages: dict[str, float] = {}
        with _timed(stages, "detect"):
            detections = _detect(self._detector, frame)
        with _timed(stages, "track"):
            followed = self._tracker.update(detections, frame.captured_at)
        with _timed(stages, "classify"):
            seen = [face for face in followed if face.seen]
            scores = self._classifier(frame.image, [face.detection.box for face in seen])
        with _timed(stages, "smooth"):
            for row, face in enumerate(seen):
                self._smoother.update(face.track, scores, row, frame.captured_at)
            steady = self._smoother.of(face.track for face in followed)
            faces = tuple(_face(face, steady[face.track], self._classifier.labels) for face in followed)
        height, width = frame.image.shape[:2]
        return Reading(frame.sequence, frame.captured_at, frame.wall_time, width, height, faces, stages)


def open_pipeline(settings: Settings, runtime: Runtime, confirm: int = CONFIRM) -> Pipeline:
    """A pipeline as the settings ask for. Raises EmotionEdgeError when a model is missing or not whole."""
    threads = settings.runtime.threads
    detector = open_detector(settings.detector, runtime, threads)
    classifier = open_classifier(settings.emotion, runtime, threads)
    return Pipeline(detector, classifier, settings.emotion, confirm)


def _face(followed: Followed, steady: Steady, labels: tuple[str, ...]) -> Face:
    valence, arousal = steady.valence_arousal.tolist()
    return Face(
        track=followed.track,
        detection=followed.detection,
        emotion=steady.emotion,
        confidence=float(steady.probabilities.max()),
        scores=dict(zip(labels, steady.probabilities.tolist(), strict=True)),
        valence=valence,
        arousal=arousal,
        votes=steady.votes,
    )


def _detect(detector: Detector, frame: Frame) -> list[Detection]:
    """Faces in pixels of `frame.image`, found in the camera's small picture where it gave one."""
    if frame.analysis is None:
        return detector.detect(frame.image)
    ratio = frame.image.shape[1] / frame.analysis.shape[1]
    return [
        replace(
            found,
            box=Box(found.box.x * ratio, found.box.y * ratio, found.box.width * ratio, found.box.height * ratio),
            landmarks=None if found.landmarks is None else found.landmarks * ratio,
        )
        for found in detector.detect(frame.analysis)
    ]


@contextmanager
def _timed(stages: dict[str, float], name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    stages[name] = (time.perf_counter() - began) * 1000
