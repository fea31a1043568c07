"""Multi-face tracking: gives each face an id that lasts through short occlusions and crossings."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from edge.faces.assignment import assign
from edge.reading import Box, Detection

MIN_IOU: Final = 0.2
"""Intersection over union below which a detection is matched to a track by distance only."""

MAX_STEP: Final = 0.75
"""Largest distance from the predicted centre, in face sizes, at which a detection is matched."""

STEP_GROWTH: Final = 1.0
"""Growth of MAX_STEP while a track is not detected, in face sizes a second."""

CONFIRM: Final = 2
"""Number of detections that confirm a track, so that a single false positive does not become one."""

MAX_MISSES: Final = 1
"""Number of consecutive detections in which an unconfirmed track may be missing: far faces are not always found."""

HOLD: Final = 0.5
"""Seconds for which a lost face is still reported, with its last box."""

MAX_AGE: Final = 2.0
"""Seconds after which a lost track is deleted; a face detected again before that keeps its id."""

_SPEED_TIME: Final = 0.2
"""Time constant of the velocity's smoothing, seconds."""

_AREA_TIME: Final = 0.5
"""Time constant of the area's smoothing, seconds."""

_OVERLAPPING: Final = 0.05
"""Intersection over union from which two faces count as overlapping."""

_EMERGING: Final = 4.0
"""Factor by which a lost face may be smaller when it is detected again; for a face in view it is 2."""

_RECENT_BONUS: Final = 0.5
"""Largest extra gain of a track by recency: full if it was seen just now, 0 if it is about to be deleted."""


@dataclass(frozen=True, slots=True)
class TrackedFace:
    """A confirmed face. visible: detected or followed in this frame; false while its last box is held."""

    track: int
    detection: Detection
    visible: bool


@dataclass(slots=True)
class _Track:
    detection: Detection
    seen_at: float
    hits: int = 1
    # Number of consecutive detections without this track.
    misses: int = 0
    # 0 until the track is confirmed, so that published ids have no gaps.
    id: int = 0
    # Pixels a second.
    velocity: tuple[float, float] = (0.0, 0.0)
    steps: int = 0
    # Smoothed, because a face shrinks while it is being occluded, before it is lost.
    area: float = 0.0

    def __post_init__(self) -> None:
        self.area = self.detection.box.area

    def move(self, detection: Detection, now: float, isolated: bool) -> None:
        """Update the position; velocity and area only if isolated, because overlapping faces may be confused."""
        if (passed := now - self.seen_at) > 0 and isolated:
            self.area += (1 - math.exp(-passed / _AREA_TIME)) * (detection.box.area - self.area)
            (x, y), (before_x, before_y) = _centre(detection.box), _centre(self.detection.box)
            self.steps += 1
            weight = max(1 - math.exp(-passed / _SPEED_TIME), 1 / self.steps)
            speed_x, speed_y = self.velocity
            self.velocity = (
                speed_x + weight * ((x - before_x) / passed - speed_x),
                speed_y + weight * ((y - before_y) / passed - speed_y),
            )
        self.detection, self.seen_at = detection, now


class Tracker:
    """Matches detections to tracks by overlap, distance and size at each track's predicted position.

    The prediction assumes constant velocity, so that two faces which cross keep their ids.
    """

    def __init__(self, confirm: int = CONFIRM) -> None:
        """Start without tracks. confirm: number of detections that confirm a track; 1 for single images."""
        self._confirm = confirm
        self._tracks: list[_Track] = []
        self._last_id = 0

    @property
    def tentative(self) -> tuple[Box, ...]:
        """Boxes of the tracks that are not confirmed yet."""
        return tuple(track.detection.box for track in self._tracks if not track.id)

    @property
    def track_ids(self) -> list[int]:
        """Ids of all confirmed tracks, those lost less than MAX_AGE seconds ago included."""
        return [track.id for track in self._tracks if track.id]

    def clear(self) -> None:
        """Drop all tracks because the next frame shows another scene. Ids are not used again."""
        self._tracks = []

    def update(self, detections: Sequence[Detection], now: float) -> list[TrackedFace]:
        """Match the detections of a frame to tracks.

        Args:
            detections: faces of this frame.
            now: time of capture, seconds, monotonic.

        Returns:
            The confirmed faces, oldest track first; a face not detected is held for HOLD seconds.
        """
        pairs = assign(
            {
                (t, d): gain
                for t, track in enumerate(self._tracks)
                for d, detection in enumerate(detections)
                if (gain := _gain(track, detection.box, now)) > 0
            }
        )
        isolated = self._isolated()
        for t, d in pairs:
            self._tracks[t].move(detections[d], now, isolated[t])
            self._tracks[t].hits += 1
            self._tracks[t].misses = 0
        found = {t for t, _ in pairs}
        for t, track in enumerate(self._tracks):
            track.misses += t not in found
        old = {d for _, d in pairs}
        self._tracks = [
            track
            for t, track in enumerate(self._tracks)
            if t in found or (now - track.seen_at <= MAX_AGE if track.id else track.misses <= MAX_MISSES)
        ]
        self._tracks += [_Track(detection, now) for d, detection in enumerate(detections) if d not in old]
        for track in self._tracks:
            if not track.id and track.hits >= self._confirm:
                self._last_id += 1
                track.id = self._last_id
        return self._in_view(now, {track.id for track in self._tracks if track.seen_at == now})

    def follow(self, moved: Mapping[int, Detection], now: float) -> list[TrackedFace]:
        """Update tracks in a frame without detection; return its confirmed faces. moved: new positions by track id."""
        for track, isolated in zip(self._tracks, self._isolated(), strict=True):
            if track.id in moved:
                track.move(moved[track.id], now, isolated)
        return self._in_view(now, moved)

    def _isolated(self) -> list[bool]:
        """Return for each track whether its box overlaps no other."""
        if len(self._tracks) == 1:
            return [True]
        boxes = [track.detection.box for track in self._tracks]
        return [not any(box.iou(other) > _OVERLAPPING for other in boxes if other is not box) for box in boxes]

    def _in_view(self, now: float, visible: Mapping[int, Detection] | set[int]) -> list[TrackedFace]:
        return [
            TrackedFace(track.id, track.detection, track.id in visible)
            for track in self._tracks
            if track.id and now - track.seen_at <= HOLD
        ]


def _centre(box: Box) -> tuple[float, float]:
    return box.x + box.width / 2, box.y + box.height / 2


def _gain(track: _Track, new: Box, now: float) -> float:
    """Return the gain of matching a box to a track; 0: impossible."""
    old, gap = track.detection.box, now - track.seen_at
    ahead_x, ahead_y = track.velocity[0] * gap, track.velocity[1] * gap
    size = (track.area * new.area) ** 0.25 or 1.0
    away_x, away_y = (old.x - new.x + (old.width - new.width) / 2), (old.y - new.y + (old.height - new.height) / 2)
    # Distance to the predicted position, or to the last one for a face that stopped.
    distance = min(math.hypot(away_x + ahead_x, away_y + ahead_y), math.hypot(away_x, away_y) + 0.1 * size) / size
    reach = MAX_STEP + STEP_GROWTH * gap
    farthest = MAX_STEP + STEP_GROWTH * MAX_AGE
    if distance > farthest:
        return 0.0
    iou = Box(old.x + ahead_x, old.y + ahead_y, old.width, old.height).iou(new)
    ratio = track.area / max(new.area, 1e-6)
    # A face that comes out from behind something is at first detected in part.
    largest = _EMERGING if gap > HOLD else 2
    if iou < MIN_IOU and not (distance < reach and 0.5 < ratio < largest):
        return 0.0
    alike = min(ratio, 1 / max(ratio, 1e-6))
    return iou + (1 - distance / farthest) * alike + _RECENT_BONUS * max(0.0, 1 - gap / MAX_AGE)
