"""The immutable data types that are passed from the camera to the outputs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
"""BGR [height, width, 3] or grey [height, width], uint8, 0 to 255."""

VERSION: Final = 1
"""Version of the JSON messages; raised when one changes in a way that breaks its subscribers."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels of the frame in which it was found; it may extend past the frame's edge."""

    x: float
    y: float
    width: float
    height: float

    @property
    def area(self) -> float:
        return self.width * self.height

    def iou(self, other: "Box") -> float:
        """Intersection over union, 0 to 1."""
        width = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        height = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        if width <= 0 or height <= 0:
            return 0.0
        shared = width * height
        return shared / (self.area + other.area - shared)


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture from a camera.

    image: the full picture, BGR uint8 [H, W, 3].
    captured_at: seconds of `time.monotonic()` at which the sensor finished (or reading, if the camera does not tell).
    wall_time: the same moment as seconds since the epoch, UTC.
    sequence: number of the frame; dropped frames are counted too.
    analysis: a smaller BGR picture of the same scene and aspect ratio for the detector, if the camera provides one.
    unrelated: the frame does not continue the scene of the previous one, such as the pictures of a folder.
    """

    image: Image
    captured_at: float
    wall_time: float
    sequence: int
    analysis: Image | None = None
    unrelated: bool = False


@dataclass(frozen=True, slots=True)
class Detection:
    """A face as a detector found it, in pixels of the frame.

    score: 0 to 1. landmarks: float32 [5, 2], x and y of right eye, left eye, nose tip, right and left mouth corner
    (the person's own right and left), or None if the detector has none.
    """

    box: Box
    score: float
    landmarks: npt.NDArray[np.float32] | None = None

    def in_whole(self, left: float, top: float, ratio: float = 1.0) -> "Detection":
        """Convert this face, found in a part of an image, to pixels of the whole image.

        Args:
            left: left edge of the part, in its own pixels.
            top: upper edge of the part, in its own pixels.
            ratio: pixels of the whole image per pixel of the part.
        """
        box = Box(
            (self.box.x + left) * ratio, (self.box.y + top) * ratio, self.box.width * ratio, self.box.height * ratio
        )
        marks = self.landmarks
        if marks is not None:
            marks = (marks + np.array((left, top), np.float32)) * np.float32(ratio)
        return replace(self, box=box, landmarks=marks)


@dataclass(frozen=True, slots=True)
class Face:
    """A face that was followed and classified.

    track: id that lives as long as the face is in view. detection: where it is in this frame.
    emotion: a label of the model's primary label set, or `uncertain`. confidence: smoothed probability of that label,
    0 to 1; of the best label if the emotion is `uncertain`. scores: smoothed probability of each label; the
    sum is 1, or less if `emotion.labels` leaves emotions out.
    valence, arousal: -1 to 1; None if the model has no such output and not all its labels are emotions.
    votes: the latest label from each member of a committee, by the member's name; empty if one model decides.
    """

    track: int
    detection: Detection
    emotion: str
    confidence: float
    scores: Mapping[str, float]
    valence: float | None
    arousal: float | None
    votes: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the face for JSON, as in the MQTT message `faces`."""
        box = self.detection.box
        return {
            "id": self.track,
            "box": [rounded(value, 1) for value in (box.x, box.y, box.width, box.height)],
            "score": rounded(self.detection.score, 4),
            "emotion": self.emotion,
            "confidence": rounded(self.confidence, 4),
            "scores": {label: rounded(score, 4) for label, score in self.scores.items()},
            "valence": rounded_if_known(self.valence, 3),
            "arousal": rounded_if_known(self.arousal, 3),
            "votes": dict(self.votes),
        }


@dataclass(frozen=True, slots=True)
class Reading:
    """The result of one frame: facts and faces, no pixels.

    sequence, captured_at, wall_time: of the frame. width, height: of the frame, pixels.
    stages: milliseconds spent in each stage of the pipeline, by its name.
    analysed: whether detection ran; False while it is switched off, and for the privacy card that replaces the camera's
    picture.
    others: boxes of faces that do not count: too small, too many, or seen for the first time.
    """

    sequence: int
    captured_at: float
    wall_time: float
    width: int
    height: int
    faces: tuple[Face, ...]
    stages: Mapping[str, float]
    analysed: bool = True
    others: tuple[Box, ...] = ()

    @property
    def leader(self) -> Face | None:
        """The largest face, whose emotion is that of the scene."""
        return max(self.faces, key=lambda face: face.detection.box.area, default=None)

    def to_dict(self) -> dict[str, Any]:
        """Return the Reading for JSON, as the MQTT message `faces` (docs/mqtt.md)."""
        return {
            "v": VERSION,
            "ts": timestamp(self.wall_time),
            "sequence": self.sequence,
            "width": self.width,
            "height": self.height,
            "faces": [face.to_dict() for face in self.faces],
        }


PRIVACY: Final = "off: privacy is on"
"""Value of `Stats.camera` while privacy is on."""

PACES: Final = ("full", "limited", "hot", "idle", "night")
"""Possible values of `Stats.pace`."""


@dataclass(frozen=True, slots=True)
class Stats:
    """Statistics of the daemon, for the topic `stats`, the page and the benchmark.

    fps: frames analysed a second. captured: frames since start. dropped: frames replaced by a newer one before
    analysis.
    stages: median milliseconds of each stage. latency_ms: p50, p95 and p99 from capture to the Reading, by those names.
    temperature: degrees Celsius of the hottest thermal zone, None if there is none. throttled: the Pi's firmware
    has lowered the clock, None if unknown. camera: `online`, or why there is no picture.
    pace: `full`, or why fewer frames are analysed: `limited` by the settings, `hot`, `idle`, `night`. rate_limit: most
    frames analysed a second, None: no limit. server: `online`, or why the prediction server is not used; None if there
    is none. bad: frames since start that could not be decoded.
    """

    fps: float
    captured: int
    dropped: int
    stages: Mapping[str, float]
    latency_ms: Mapping[str, float]
    temperature: float | None
    throttled: bool | None
    pace: str
    rate_limit: float | None
    camera: str
    model: str
    model_sha256: str
    interpreter: str
    uptime: float
    server: str | None = None
    bad: int = 0


def timestamp(wall_time: float) -> str:
    """Format seconds since the epoch as `2026-11-20T18:03:11.482Z`."""
    text = datetime.fromtimestamp(wall_time, UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def rounded(value: float, digits: int) -> float:
    """Round a number for JSON, which has no NaN: 0 if it is not finite."""
    return round(float(value), digits) if math.isfinite(value) else 0.0


def rounded_if_known(value: float | None, digits: int) -> float | None:
    """As `rounded`; None stays None."""
    return None if value is None else rounded(value, digits)
