"""From a frame to a Reading: detect or follow, track, crop, classify, smooth."""

import math
import time
from collections.abc import Sequence

from edge.cameras.images import are_pictures
from edge.config import Settings
from edge.emotion.classifier import Classifier, open_classifier
from edge.emotion.smoother import Smoother, Steady
from edge.faces.cadence import Cadence, SceneCut
from edge.faces.detector import Detector, open_detector
from edge.faces.optical_flow import Follower
from edge.faces.search import Search
from edge.faces.tracker import CONFIRM, Followed, Tracker
from edge.models.runtime import Runtime
from edge.reading import Box, Face, Frame, Reading


class Pipeline:
    """Looks at frames one after another and remembers the faces it follows. Belongs to one thread."""

    def __init__(
        self,
        detector: Detector,
        classifier: Classifier,
        settings: Settings,
        confirm: int = CONFIRM,
        still: bool = False,
    ) -> None:
        """confirm: times a face must be found before it counts; 1 for single pictures.

        still: every frame is a picture of its own: faces are looked for and classified in each.
        """
        self.card = classifier.card
        self._search = Search(detector, settings.detector)
        self._classifier = classifier
        self._every = 1 if still or settings.display.blur else None  # a face not looked for would not be hidden
        self._cadence = Cadence(self._every or settings.detector.every)
        self._cut = SceneCut()
        self._follower = Follower()
        self._tracker = Tracker(confirm)
        self._smoother = Smoother(classifier.labels, settings.emotion)
        self._still = still
        self._interval = 0.0 if still or not settings.emotion.rate else 1 / settings.emotion.rate
        self._classified: dict[int, float] = {}
        self._seen: list[Followed] = []
        self._anchored = 0

    @property
    def server(self) -> str | None:
        """Of the classifier: `online`, or why the server that should classify does not; None where none is set."""
        return self._classifier.server

    @property
    def unsure(self) -> bool:
        """Whether a face was found that does not count yet: the next frame will tell."""
        return bool(self._tracker.unsure)

    def change(self, settings: Settings, detector: Detector) -> None:
        """Go on by other settings and with another detector; the classifier, tracks and their scores stay."""
        self._search = Search(detector, settings.detector)
        self._smoother.settings = settings.emotion
        if not self._still:
            self._cadence = Cadence(self._every or settings.detector.every)
            self._interval = 1 / settings.emotion.rate if settings.emotion.rate else 0.0

    def swap_classifier(self, classifier: Classifier) -> None:
        """Go on with another classifier, of the same labels; tracks and their scores stay."""
        self._classifier = classifier
        self.card = classifier.card

    def analyse(self, frame: Frame) -> Reading:
        """What is seen in the frame. Its `stages` are those that it took."""
        stages: dict[str, float] = {}
        followed = self._faces(frame, stages)
        self._seen = [face for face in followed if face.seen]
        due = self._due(self._seen, frame.captured_at)
        if due:
            with _Timed(stages, "classify"):
                scores = self._classifier(frame.image, [face.detection.box for face in due])
        with _Timed(stages, "smooth"):
            for row, face in enumerate(due):
                self._smoother.update(face.track, scores, row, frame.captured_at)
            steady = self._smoother.of(self._tracker.remembered)
            faces = tuple(_face(face, steady[face.track], self._classifier.labels) for face in followed)
        height, width = frame.image.shape[:2]
        others = (*self._tracker.unsure, *self._search.ignored)
        return Reading(frame.sequence, frame.captured_at, frame.wall_time, width, height, faces, stages, others=others)

    def _faces(self, frame: Frame, stages: dict[str, float]) -> list[Followed]:
        """The faces in view: followed from the last frame, or looked for where it is time or need be."""
        now = frame.captured_at
        with _Timed(stages, "follow"):
            area = self._search.area(frame.image)
            at_border = any(_reaches_out(face.detection.box, area) for face in self._seen)
            due = self._cadence.due(now, len(self._seen), at_border)
            cut = self._cadence.every > 1 and self._cut(frame.image)
            if not (due or cut or self._tracker.unsure or len(self._seen) > self._anchored):
                began = time.perf_counter()
                moved = self._follower.step(frame.image)
                if self._anchored:
                    self._cadence.stepped(self._anchored, time.perf_counter() - began)
                followed = self._tracker.follow(moved, now)
                if len(moved) == self._anchored:
                    return followed
        with _Timed(stages, "detect"):
            detections = self._search(frame, (face.detection.box for face in self._seen))
        self._cadence.looked(now, stages["detect"] / 1000)
        with _Timed(stages, "track"):
            followed = self._tracker.update(detections, now)
        with _Timed(stages, "follow"):
            known = {face.track: face.detection for face in followed if face.seen} if self._cadence.every > 1 else {}
            self._anchored = self._follower.anchor(frame.image, known)
        return followed

    def _due(self, seen: Sequence[Followed], now: float) -> list[Followed]:
        """The faces to classify in this frame: as soon as one is due, all that are nearly so, to go in one batch."""
        if self._interval:
            waited = [now - self._classified.get(face.track, -math.inf) for face in seen]
            if max(waited, default=0.0) < self._interval - self._cadence.period / 2:
                return []
            seen = [face for face, seconds in zip(seen, waited, strict=True) if seconds >= self._interval / 2]
        remembered = {track: self._classified.get(track, -math.inf) for track in self._tracker.remembered}
        self._classified = remembered | {face.track: now for face in seen}
        return list(seen)


def _reaches_out(box: Box, area: Box) -> bool:
    return (
        box.x < area.x
        or box.y < area.y
        or box.x + box.width > area.x + area.width
        or box.y + box.height > area.y + area.height
    )


def open_pipeline(settings: Settings, runtime: Runtime, confirm: int = CONFIRM) -> Pipeline:
    """A pipeline as the settings ask for. Raises EmotionEdgeError when a model is missing or not whole.

    confirm: times a face must be found before it counts; 1: every frame is a picture of its own.
    """
    threads = settings.runtime.threads
    detector = open_detector(settings.detector, runtime, threads)
    classifier = open_classifier(settings.emotion, runtime, threads)
    return Pipeline(detector, classifier, settings, confirm, confirm == 1 or are_pictures(settings.camera.source))


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


class _Timed:
    """Adds the milliseconds of a context to a stage's. A class, as a generator takes three times as long."""

    __slots__ = ("_began", "_name", "_stages")

    def __init__(self, stages: dict[str, float], name: str) -> None:
        self._stages, self._name = stages, name

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._stages[self._name] = self._stages.get(self._name, 0.0) + (time.perf_counter() - self._began) * 1000
