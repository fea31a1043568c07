"""Following faces from frame to frame: an id for each, for as long as it is in view."""

from dataclasses import dataclass
from typing import Final

from edge.reading import Box, Detection

MINIMUM_IOU: Final = 0.2
"""Two boxes that overlap less are the same face only by the distance rule."""

MAXIMUM_STEP: Final = 0.75
"""A face that moves by more than this share of its size between two frames is taken for another."""

CONFIRM: Final = 2
"""Frames in which a face must be seen before it counts, so that a detector's single false alarm does not."""

LINGER: Final = 0.5
"""Seconds that a face which is not found any more keeps its id and its last box."""


@dataclass(frozen=True, slots=True)
class Followed:
    """A face in view. seen: found in this frame; false while it lingers at its last place."""

    track: int
    detection: Detection
    seen: bool


@dataclass(slots=True)
class _Track:
    detection: Detection
    seen_at: float
    hits: int = 1
    id: int = 0  # 0 until it counts, so that the ids people see have no holes


class Tracker:
    """Joins the detections of each frame to tracks by overlap, then by distance, the best pairs first."""

    def __init__(self, confirm: int = CONFIRM) -> None:
        """confirm: frames in which a face must be seen before it counts; 1 for single pictures."""
        self._confirm = confirm
        self._tracks: list[_Track] = []
        self._last_id = 0

    def update(self, detections: list[Detection], now: float) -> list[Followed]:
        """The faces in view, oldest first.

        now: seconds, monotonic. A face that the detector missed stays for LINGER seconds with its last detection.
        """
        pairs = [
            (affinity, t, d)
            for t, track in enumerate(self._tracks)
            for d, detection in enumerate(detections)
            if (affinity := _affinity(track.detection.box, detection.box)) > 0
        ]
        new, lost = set(range(len(detections))), set(range(len(self._tracks)))
        for _, t, d in sorted(pairs, reverse=True):
            if t in lost and d in new:
                lost.remove(t)
                new.remove(d)
                track = self._tracks[t]
                track.detection, track.seen_at, track.hits = detections[d], now, track.hits + 1
        gone = {t for t in lost if not self._tracks[t].id or now - self._tracks[t].seen_at > LINGER}
        self._tracks = [track for t, track in enumerate(self._tracks) if t not in gone]
        self._tracks += [_Track(detections[d], now) for d in sorted(new)]
        for track in self._tracks:
            if not track.id and track.hits >= self._confirm:
                self._last_id += 1
                track.id = self._last_id
        return [Followed(track.id, track.detection, track.seen_at == now) for track in self._tracks if track.id]


def _affinity(old: Box, new: Box) -> float:
    """How well a box continues a track: 1 + IoU where they overlap, 0 to 1 by nearness where not, 0: not at all."""
    iou = old.iou(new)
    if iou >= MINIMUM_IOU:
        return 1 + iou
    size = (old.area * new.area) ** 0.25
    step_x = old.x + old.width / 2 - new.x - new.width / 2
    step_y = old.y + old.height / 2 - new.y - new.height / 2
    distance = (step_x**2 + step_y**2) ** 0.5 / max(size, 1e-6)
    similar = 0.5 < old.area / max(new.area, 1e-6) < 2
    return 1 - distance if similar and distance < MAXIMUM_STEP else 0.0
