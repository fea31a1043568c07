"""Builders of sample values for tests: a picture, faces, a Reading, Stats."""

import time
from collections.abc import Sequence

import cv2
import numpy as np

from edge.labels import CIRCUMPLEX, LABEL_SETS, UNCERTAIN
from edge.reading import Box, Detection, Face, Frame, Image, Reading, Stats


def picture(width: int = 640, height: int = 480, seed: int = 0) -> Image:
    """Make a smooth, colourful BGR picture [height, width, 3] that depends on the seed."""
    coarse = np.random.default_rng(seed).integers(40, 216, (4, 5, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def face(
    track: int = 1,
    emotion: str = "happy",
    confidence: float = 0.87,
    box: Box | None = None,
    label_set: str = "fer7",
    valence: float | None = None,
    arousal: float | None = None,
) -> Face:
    """Make a tracked face. Its label (for `uncertain` the first) has the score `confidence`; others share the rest."""
    labels = LABEL_SETS[label_set]
    best = emotion if emotion in labels else labels[0]
    rest = (1.0 - confidence) / (len(labels) - 1)
    scores = {label: confidence if label == best else rest for label in labels}
    place = CIRCUMPLEX.get(emotion, CIRCUMPLEX[UNCERTAIN])
    return Face(
        track=track,
        detection=Detection(box or Box(240, 140, 150, 180), 0.93),
        emotion=emotion,
        confidence=confidence,
        scores=scores,
        valence=place[0] if valence is None else valence,
        arousal=place[1] if arousal is None else arousal,
    )


def frame(sequence: int = 1, image: Image | None = None, width: int = 640, height: int = 480) -> Frame:
    """Make a frame captured just now; image None: a picture that depends on the sequence number."""
    shown = picture(width, height, sequence) if image is None else image
    return Frame(shown, time.monotonic(), time.time(), sequence)


def reading(faces: Sequence[Face] = (), of: Frame | None = None, captured_at: float | None = None) -> Reading:
    """Make a Reading of these faces in a frame; of None: a new frame."""
    seen = of or frame()
    height, width = seen.image.shape[:2]
    return Reading(
        sequence=seen.sequence,
        captured_at=seen.captured_at if captured_at is None else captured_at,
        wall_time=seen.wall_time,
        width=width,
        height=height,
        faces=tuple(faces),
        stages={"detect": 6.2, "classify": 0.6},
    )


def stats(camera: str = "online") -> Stats:
    """Make the statistics of a healthy daemon."""
    return Stats(
        fps=24.8,
        captured=1200,
        dropped=31,
        stages={"detect": 6.2, "classify": 0.6},
        latency_ms={"p50": 9.1, "p95": 14.2, "p99": 21.0},
        temperature=51.5,
        throttled=False,
        pace="limited",
        rate_limit=25.0,
        camera=camera,
        model="emotion-small",
        model_sha256="0" * 64,
        interpreter="ai-edge-litert 2.3.0",
        uptime=61.0,
        bad=4,
    )


def frontal(found: Detection) -> bool:
    """Return True if the nose is midway between the eyes, and these are level, within a quarter of their distance."""
    assert found.landmarks is not None
    right_eye, left_eye, nose = found.landmarks[:3]
    distance = float(np.linalg.norm(left_eye - right_eye))
    middle = (right_eye + left_eye) / 2
    return bool(abs(nose[0] - middle[0]) < distance / 4 and abs(left_eye[1] - right_eye[1]) < distance / 4)
