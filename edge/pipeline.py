"""Turns a frame into a Reading: detect faces or follow them by optical flow, track, crop, classify, smooth."""

import math
import time
from collections.abc import Sequence

from edge.cameras.images import are_images
from edge.config import Settings
from edge.emotion.classifier import Classifier, open_classifier
from edge.emotion.smoother import Smoothed, Smoother
from edge.faces.cadence import Cadence, SceneCut
from edge.faces.detector import Detector, open_detector
from edge.faces.optical_flow import OpticalFlow
from edge.faces.orientation import OrientationCheck
from edge.faces.search import FaceSearch
from edge.faces.tracker import CONFIRM, TrackedFace, Tracker
from edge.faces.zoom import MOST
from edge.labels import UNCERTAIN
from edge.models.runtime import Runtime
from edge.reading import Box, Face, Frame, Reading


class Pipeline:
    """Analyses the frames of one source in order, and keeps the tracks between them. Not thread-safe."""

    def __init__(
        self,
        detector: Detector,
        classifier: Classifier,
        settings: Settings,
        confirm: int = CONFIRM,
        still: bool = False,
    ) -> None:
        """Create a pipeline with opened networks.

        Args:
            detector: finds the faces.
            classifier: classifies them.
            settings: all settings; those of detector, emotion and display.blur are used.
            confirm: number of detections that confirm a track; 1 for single images.
            still: each frame is an unrelated image: faces are detected and classified in every one.
        """
        self.card = classifier.card
        self._search = FaceSearch(detector, settings.detector, still)
        self._orientation = None if still else OrientationCheck(detector, settings.camera)
        self._classifier = classifier
        # With blur on, faces are detected in every frame: one that appears between detections would not be blurred.
        self._every = 1 if still or settings.display.blur else None
        self._cadence = Cadence(self._every or settings.detector.every)
        self._scene_cut = SceneCut()
        self._flow = OpticalFlow()
        self._tracker = Tracker(confirm)
        self._smoother = Smoother(classifier.labels, settings.emotion)
        self._still = still
        self._interval = 0.0 if still or not settings.emotion.rate else 1 / settings.emotion.rate
        self._classified_at: dict[int, float] = {}
        self._in_view: list[TrackedFace] = []
        self._visible: list[TrackedFace] = []
        self._anchored = 0

    @property
    def server(self) -> str | None:
        """`online`, or why the prediction server is not used; None if the settings name none."""
        return self._classifier.server

    @property
    def tentative(self) -> bool:
        """Whether any track is not confirmed yet."""
        return bool(self._tracker.tentative)

    @property
    def visible_tracks(self) -> frozenset[int]:
        """Ids of the tracks found or followed in the last frame, without lost faces that are still reported."""
        return frozenset(face.track for face in self._visible)

    def change(self, settings: Settings, detector: Detector) -> None:
        """Apply new settings and a new detector; classifier, tracks and scores stay."""
        self._search = FaceSearch(detector, settings.detector, self._still)
        self._smoother.settings = settings.emotion
        if self._orientation:
            self._orientation.detector = detector
        if not self._still:
            self._cadence = Cadence(self._every or settings.detector.every)
            self._interval = 1 / settings.emotion.rate if settings.emotion.rate else 0.0

    def use_classifier(self, classifier: Classifier) -> None:
        """Replace the classifier by one with the same labels; it soon classifies every face, tracks and scores stay."""
        self._classifier = classifier
        self.card = classifier.card
        self._classified_at = {}

    def analyse(self, frame: Frame) -> Reading:
        """Analyse one frame. The Reading's `stages` has the stages that ran."""
        stages: dict[str, float] = {}
        if frame.unrelated:
            self._tracker.clear()
            self._in_view = self._visible = []
        followed = self._in_view = self._faces(frame, stages)
        self._visible = [face for face in followed if face.visible]
        due = self._due_for_classification(self._visible, frame.captured_at)
        if due:
            with _Timed(stages, "classify"):
                scores = self._classifier(frame.image, [face.detection for face in due])
        with _Timed(stages, "smooth"):
            for row, face in enumerate(due):
                self._smoother.update(face.track, scores, row, frame.captured_at)
            smoothed = self._smoother.states(self._tracker.track_ids)
            faces = tuple(_face(face, smoothed[face.track], self._classifier.labels) for face in followed)
        height, width = frame.image.shape[:2]
        others = (*self._tracker.tentative, *self._search.ignored)
        return Reading(frame.sequence, frame.captured_at, frame.wall_time, width, height, faces, stages, others=others)

    def _faces(self, frame: Frame, stages: dict[str, float]) -> list[TrackedFace]:
        """Return the tracked faces: followed from the last frame, or detected if that is due or a face was lost."""
        now = frame.captured_at
        with _Timed(stages, "follow"):
            area = self._search.area(frame.image)
            at_border = any(_crosses_border(face.detection.box, area) for face in self._visible)
            due = self._cadence.due(now, len(self._visible), at_border)
            cut = self._cadence.every > 1 and self._scene_cut(frame.image)
            large_due = self._search.large_due(frame, [face.detection.box for face in self._visible])
            if not (due or cut or large_due or self._tracker.tentative or len(self._visible) > self._anchored):
                began = time.perf_counter()
                moved = self._flow.step(frame.image)
                if self._anchored:
                    self._cadence.followed(self._anchored, time.perf_counter() - began)
                followed = self._tracker.follow(moved, now)
                if len(moved) == self._anchored:
                    return followed
        tracked = [face.detection for face in self._in_view]
        # Recently lost faces and unconfirmed tracks count too: the small network does not find far ones by itself.
        far = self._search.far(frame.image, [face.box for face in tracked], self._tracker.tentative)
        crowd = len(far) > MOST
        with _Timed(stages, "detect"):
            detections = self._search(frame, tracked, large_due or crowd, far)
        if self._orientation:
            self._orientation(frame)
        self._cadence.detected(
            now, stages["detect"] / 1000, self._search.large, as_rule=crowd or not self._search.large
        )
        with _Timed(stages, "track"):
            followed = self._tracker.update(detections, now)
        with _Timed(stages, "follow"):
            known = {face.track: face.detection for face in followed if face.visible} if self._cadence.every > 1 else {}
            self._anchored = self._flow.anchor(frame.image, known)
        return followed

    def _due_for_classification(self, visible: Sequence[TrackedFace], now: float) -> list[TrackedFace]:
        """Return the faces to classify in this frame. If one is due, all that waited half the interval join it."""
        if self._interval:
            waited = [now - self._classified_at.get(face.track, -math.inf) for face in visible]
            if max(waited, default=0.0) < self._interval - self._cadence.period / 2:
                return []
            visible = [face for face, seconds in zip(visible, waited, strict=True) if seconds >= self._interval / 2]
        times = {track: self._classified_at.get(track, -math.inf) for track in self._tracker.track_ids}
        self._classified_at = times | {face.track: now for face in visible}
        return list(visible)


def _crosses_border(box: Box, area: Box) -> bool:
    return (
        box.x < area.x
        or box.y < area.y
        or box.x + box.width > area.x + area.width
        or box.y + box.height > area.y + area.height
    )


def open_pipeline(settings: Settings, runtime: Runtime, confirm: int = CONFIRM) -> Pipeline:
    """Open the networks that the settings name, and return a pipeline that uses them.

    Args:
        settings: all settings.
        runtime: interpreter of the networks.
        confirm: number of detections that confirm a track; 1: each frame is an unrelated image.

    Raises:
        EmotionEdgeError: a model is missing or damaged.
    """
    threads = settings.runtime.threads
    detector = open_detector(settings.detector, runtime, threads)
    classifier = open_classifier(settings.emotion, runtime, threads)
    still = confirm == 1 or are_images(settings.camera.source)
    return Pipeline(detector, classifier, settings, 1 if still else confirm, still)


def read_once(settings: Settings, runtime: Runtime, frame: Frame) -> Reading:
    """Analyse one image with newly opened networks, independent of the pipeline that analyses the camera."""
    return open_pipeline(settings, runtime, confirm=1).analyse(frame)


def _face(followed: TrackedFace, smoothed: Smoothed, labels: tuple[str, ...]) -> Face:
    valence, arousal = (None if math.isnan(value) else value for value in smoothed.valence_arousal.tolist())
    scores = dict(zip(labels, smoothed.probabilities.tolist(), strict=True))
    uncertain = smoothed.emotion == UNCERTAIN
    return Face(
        track=followed.track,
        detection=followed.detection,
        emotion=smoothed.emotion,
        confidence=max(scores.values()) if uncertain else scores[smoothed.emotion],
        scores=scores,
        valence=valence,
        arousal=arousal,
        votes=smoothed.votes,
    )


class _Timed:
    """Context manager that adds its milliseconds to a stage. A class: `contextlib` takes three times as long."""

    __slots__ = ("_began", "_name", "_stages")

    def __init__(self, stages: dict[str, float], name: str) -> None:
        self._stages, self._name = stages, name

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._stages[self._name] = self._stages.get(self._name, 0.0) + (time.perf_counter() - self._began) * 1000
