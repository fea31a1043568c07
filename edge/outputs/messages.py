"""The JSON messages of Readings and Stats, one function for each MQTT topic.

docs/schemas/ holds a JSON Schema for each. Times are ISO 8601 in UTC with milliseconds.
"""

import json
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from edge.reading import Face, Reading, Stats

VERSION: Final = 1
"""Raised when a message changes in a way that breaks its readers."""

FACE_APPEARED: Final = "face_appeared"
FACE_LEFT: Final = "face_left"
EMOTION_CHANGED: Final = "emotion_changed"
EVENTS: Final = (FACE_APPEARED, FACE_LEFT, EMOTION_CHANGED)
"""The values of `event` in the messages on the topic `event`."""

Message = dict[str, Any]


def encode(message: Message) -> bytes:
    """Compact JSON, UTF-8."""
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode(errors="replace")


def timestamp(wall_time: float) -> str:
    """`2026-11-20T18:03:11.482Z` of seconds since the epoch."""
    text = datetime.fromtimestamp(wall_time, UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def state_message(reading: Reading | None, camera: str, now: float) -> Message:
    """The emotion of the scene, which is that of the largest face.

    Args:
        reading: the last one; None while there is no picture.
        camera: `online`, or why not.
        now: seconds since the epoch.
    """
    leader = reading.leader if reading else None
    return {
        "v": VERSION,
        "ts": timestamp(now),
        "emotion": leader.emotion if leader else None,
        "confidence": _number(leader.confidence, 4) if leader else None,
        "valence": _number(leader.valence, 3) if leader else None,
        "arousal": _number(leader.arousal, 3) if leader else None,
        "faces": len(reading.faces) if reading else 0,
        "watching": bool(reading and reading.analysed),
        "camera": camera,
    }


def faces_message(reading: Reading) -> Message:
    """Every face of one analysed frame."""
    return {
        "v": VERSION,
        "ts": timestamp(reading.wall_time),
        "sequence": reading.sequence,
        "width": reading.width,
        "height": reading.height,
        "faces": [_face(face) for face in reading.faces],
    }


def event_messages(before: Reading | None, after: Reading) -> Iterator[Message]:
    """The events between two Readings: faces that left, faces that appeared, emotions that changed."""
    head = {"v": VERSION, "ts": timestamp(after.wall_time)}
    old = {face.track: face.emotion for face in before.faces} if before else {}
    new = {face.track: face.emotion for face in after.faces}
    for track in sorted(old.keys() - new.keys()):
        yield {**head, "event": FACE_LEFT, "id": track}
    for face in after.faces:
        if face.track not in old:
            yield {**head, "event": FACE_APPEARED, "id": face.track, "emotion": face.emotion}
        elif old[face.track] != face.emotion:
            change = {"from": old[face.track], "to": face.emotion, "confidence": _number(face.confidence, 4)}
            yield {**head, "event": EMOTION_CHANGED, "id": face.track, **change}


def stats_message(stats: Stats, now: float) -> Message:
    """Rates, latencies and temperature of the daemon. now: seconds since the epoch."""
    return {
        "v": VERSION,
        "ts": timestamp(now),
        "fps": _number(stats.fps, 2),
        "captured": stats.captured,
        "dropped": stats.dropped,
        "stages_ms": _rounded(stats.stages),
        "latency_ms": _rounded(stats.latency_ms),
        "temperature": _temperature(stats.temperature),
        "throttled": stats.throttled,
        "pace": stats.pace,
        "rate_limit": None if stats.rate_limit is None else _number(stats.rate_limit, 2),
        "camera": stats.camera,
        "model": stats.model,
        "model_sha256": stats.model_sha256,
        "interpreter": stats.interpreter,
        "uptime": _number(stats.uptime, 1),
        "server": stats.server,
    }


def _face(face: Face) -> Message:
    box = face.detection.box
    return {
        "id": face.track,
        "box": [_number(value, 1) for value in (box.x, box.y, box.width, box.height)],
        "score": _number(face.detection.score, 4),
        "emotion": face.emotion,
        "confidence": _number(face.confidence, 4),
        "scores": {label: _number(score, 4) for label, score in face.scores.items()},
        "valence": _number(face.valence, 3),
        "arousal": _number(face.arousal, 3),
        "votes": dict(face.votes),
    }


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: _number(value, 2) for name, value in values.items()}


def _number(value: float, digits: int) -> float:
    """Rounded; NaN and infinity, which JSON does not have, become 0."""
    return round(float(value), digits) if math.isfinite(value) else 0.0


def _temperature(celsius: float | None) -> float | None:
    return None if celsius is None or not math.isfinite(celsius) else round(celsius, 1)
