"""Builds the JSON messages for MQTT from Readings and Stats; the one on the topic `faces` is `Reading.to_dict`.

docs/schemas/ holds a JSON Schema for each. Times are ISO 8601 in UTC with milliseconds.
"""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from edge import __version__
from edge.reading import VERSION, Reading, Stats, rounded, rounded_if_known, timestamp

FACE_APPEARED: Final = "face_appeared"
FACE_LEFT: Final = "face_left"
EMOTION_CHANGED: Final = "emotion_changed"
EVENTS: Final = (FACE_APPEARED, FACE_LEFT, EMOTION_CHANGED)
"""The values of `event` in the messages on the topic `event`."""

Message = dict[str, Any]


def encode(message: Message) -> bytes:
    """Encode a message as compact JSON in UTF-8."""
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode(errors="replace")


def state_message(reading: Reading | None, camera: str, now: float) -> Message:
    """Build the message on the topic `state`: the emotion of the scene, which is that of the largest face.

    Args:
        reading: the last one; None while there is no picture.
        camera: `online`, or why there is no picture.
        now: seconds since the epoch.
    """
    leader = reading.leader if reading else None
    return {
        "v": VERSION,
        "ts": timestamp(now),
        "emotion": leader.emotion if leader else None,
        "confidence": rounded(leader.confidence, 4) if leader else None,
        "valence": rounded_if_known(leader.valence, 3) if leader else None,
        "arousal": rounded_if_known(leader.arousal, 3) if leader else None,
        "faces": len(reading.faces) if reading else 0,
        "watching": bool(reading and reading.analysed),
        "camera": camera,
    }


def event_messages(before: Reading | None, after: Reading) -> Iterator[Message]:
    """Yield the messages on the topic `event` for the differences between two Readings.

    These are faces that left, faces that appeared, and emotions that changed.
    """
    head = {"v": VERSION, "ts": timestamp(after.wall_time)}
    old = {face.track: face.emotion for face in before.faces} if before else {}
    new = {face.track: face.emotion for face in after.faces}
    for track in sorted(old.keys() - new.keys()):
        yield {**head, "event": FACE_LEFT, "id": track}
    for face in after.faces:
        if face.track not in old:
            yield {**head, "event": FACE_APPEARED, "id": face.track, "emotion": face.emotion}
        elif old[face.track] != face.emotion:
            change = {"from": old[face.track], "to": face.emotion, "confidence": rounded(face.confidence, 4)}
            yield {**head, "event": EMOTION_CHANGED, "id": face.track, **change}


def stats_message(stats: Stats, now: float, newest: str = "") -> Message:
    """Build the message on the topic `stats`: rates, latencies and temperature of the daemon, and its version.

    Args:
        stats: of the daemon.
        now: seconds since the epoch.
        newest: newest version of the program that was announced to the board; empty: the installed one.
    """
    return {
        "v": VERSION,
        "ts": timestamp(now),
        "fps": rounded(stats.fps, 2),
        "captured": stats.captured,
        "dropped": stats.dropped,
        "bad": stats.bad,
        "stages_ms": _rounded(stats.stages),
        "latency_ms": _rounded(stats.latency_ms),
        "temperature": _temperature(stats.temperature),
        "throttled": stats.throttled,
        "pace": stats.pace,
        "rate_limit": None if stats.rate_limit is None else rounded(stats.rate_limit, 2),
        "camera": stats.camera,
        "model": stats.model,
        "model_sha256": stats.model_sha256,
        "interpreter": stats.interpreter,
        "uptime": rounded(stats.uptime, 1),
        "server": stats.server,
        "version": __version__,
        "newest_version": newest or __version__,
    }


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: rounded(value, 2) for name, value in values.items()}


def _temperature(celsius: float | None) -> float | None:
    return None if celsius is None or not math.isfinite(celsius) else round(celsius, 1)
