"""An id for each face, for as long as it is in view, through short occlusions and past other faces."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from edge.faces.assign import best_pairs
from edge.reading import Box, Detection

MINIMUM_IOU: Final = 0.2
"""Two boxes that overlap less are the same face only by the distance rule."""

MAXIMUM_STEP: Final = 0.75
"""A face that is further from where it should be than this share of its size is taken for another."""

STRAY: Final = 1.0
"""By how many sizes a second MAXIMUM_STEP grows while a face is not seen."""

CONFIRM: Final = 2
"""Times a face must be found before it counts, so that a detector's single false alarm does not."""

LINGER: Final = 0.5
"""Seconds that a face which is not found any more stays in view with its last box."""

MEMORY: Final = 2.0
"""Seconds after which a face that was not found is forgotten: until then it comes back with its id."""

_STEADY: Final = 0.2
"""Time constant of the speed's smoothing, seconds."""

_STEADY_SIZE: Final = 0.5
"""Time constant of the size's, seconds."""

_MEETING: Final = 0.05
"""Intersection over union from which two faces meet."""

_LOST_SHARE: Final = 0.5
"""What a pair is worth more for a face seen just now than for one about to be forgotten."""


@dataclass(frozen=True, slots=True)
class Followed:
    """A face in view. seen: found or followed in this frame; false while it lingers at its last place."""

    track: int
    detection: Detection
    seen: bool


@dataclass(slots=True)
class _Track:
    detection: Detection
    seen_at: float
    hits: int = 1
    id: int = 0  # 0 until it counts, so that the ids people see have no holes
    speed: tuple[float, float] = (0.0, 0.0)  # pixels a second
    steps: int = 0
    area: float = 0.0  # as a mean: what covers a face makes it seem smaller before it is lost

    def __post_init__(self) -> None:
        self.area = self.detection.box.area

    def move(self, detection: Detection, now: float, alone: bool) -> None:
        """It is there now; its speed follows while it is alone: of two faces that meet, one may be taken for both."""
        if (passed := now - self.seen_at) > 0 and alone:
            self.area += (1 - math.exp(-passed / _STEADY_SIZE)) * (detection.box.area - self.area)
            (x, y), (before_x, before_y) = _centre(detection.box), _centre(self.detection.box)
            self.steps += 1
            weight = max(1 - math.exp(-passed / _STEADY), 1 / self.steps)
            speed_x, speed_y = self.speed
            self.speed = (
                speed_x + weight * ((x - before_x) / passed - speed_x),
                speed_y + weight * ((y - before_y) / passed - speed_y),
            )
        self.detection, self.seen_at = detection, now


class Tracker:
    """Joins what is found in a frame to tracks: by overlap, distance and size with where each face should be by now.

    A face goes on at its own speed while it is not seen, so that two which cross keep their ids.
    """

    def __init__(self, confirm: int = CONFIRM) -> None:
        """confirm: times a face must be found before it counts; 1 for single pictures."""
        self._confirm = confirm
        self._tracks: list[_Track] = []
        self._last_id = 0

    @property
    def unsure(self) -> tuple[Box, ...]:
        """Where faces were found that do not count yet."""
        return tuple(track.detection.box for track in self._tracks if not track.id)

    @property
    def remembered(self) -> list[int]:
        """The ids of the faces in view, and of those that may still come back."""
        return [track.id for track in self._tracks if track.id]

    def update(self, detections: Sequence[Detection], now: float) -> list[Followed]:
        """The faces in view after faces were looked for, oldest first.

        now: seconds, monotonic. A face that was not found stays for LINGER seconds with its last detection.
        """
        pairs = best_pairs(
            {
                (t, d): gain
                for t, track in enumerate(self._tracks)
                for d, detection in enumerate(detections)
                if (gain := _gain(track, detection.box, now)) > 0
            }
        )
        alone = self._alone()
        for t, d in pairs:
            self._tracks[t].move(detections[d], now, alone[t])
            self._tracks[t].hits += 1
        found = {t for t, _ in pairs}
        old = {d for _, d in pairs}
        self._tracks = [
            track
            for t, track in enumerate(self._tracks)
            if t in found or (track.id and now - track.seen_at <= max(MEMORY, LINGER))
        ]
        self._tracks += [_Track(detection, now) for d, detection in enumerate(detections) if d not in old]
        for track in self._tracks:
            if not track.id and track.hits >= self._confirm:
                self._last_id += 1
                track.id = self._last_id
        return self._in_view(now, {track.id for track in self._tracks if track.seen_at == now})

    def follow(self, moved: Mapping[int, Detection], now: float) -> list[Followed]:
        """The faces in view where none were looked for. moved: where each face that could be followed is now, by id."""
        for track, alone in zip(self._tracks, self._alone(), strict=True):
            if track.id in moved:
                track.move(moved[track.id], now, alone)
        return self._in_view(now, moved)

    def _alone(self) -> list[bool]:
        """Of each face, whether it keeps clear of the others."""
        if len(self._tracks) == 1:
            return [True]
        boxes = [track.detection.box for track in self._tracks]
        return [not any(box.iou(other) > _MEETING for other in boxes if other is not box) for box in boxes]

    def _in_view(self, now: float, seen: Mapping[int, Detection] | set[int]) -> list[Followed]:
        return [
            Followed(track.id, track.detection, track.id in seen)
            for track in self._tracks
            if track.id and now - track.seen_at <= LINGER
        ]


def _centre(box: Box) -> tuple[float, float]:
    return box.x + box.width / 2, box.y + box.height / 2


def _gain(track: _Track, new: Box, now: float) -> float:
    """What it is worth to take a box for a track's face; 0: it cannot be."""
    old, gap = track.detection.box, now - track.seen_at
    ahead_x, ahead_y = track.speed[0] * gap, track.speed[1] * gap
    size = (track.area * new.area) ** 0.25 or 1.0
    away_x, away_y = (old.x - new.x + (old.width - new.width) / 2), (old.y - new.y + (old.height - new.height) / 2)
    # Where it should be counts most; where it was last counts too, for a face that stopped.
    distance = min(math.hypot(away_x + ahead_x, away_y + ahead_y), math.hypot(away_x, away_y) + 0.1 * size) / size
    reach = MAXIMUM_STEP + STRAY * gap
    farthest = MAXIMUM_STEP + STRAY * MEMORY
    if distance > farthest:
        return 0.0
    iou = Box(old.x + ahead_x, old.y + ahead_y, old.width, old.height).iou(new)
    ratio = track.area / max(new.area, 1e-6)
    if iou < MINIMUM_IOU and not (distance < reach and 0.5 < ratio < 2):
        return 0.0
    alike = min(ratio, 1 / max(ratio, 1e-6))
    return iou + (1 - distance / farthest) * alike + _LOST_SHARE * max(0.0, 1 - gap / MEMORY)
