"""Measures how processor time per frame grows with faces, frame size, and the interval between detections."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge.config import Settings
from edge.media import CLIP
from edge.models.runtime import Runtime
from edge.pipeline import open_pipeline
from edge.reading import Frame, Image

FIRST: Final = 10
"""Frames to leave out of the mean: caches fill, and networks adapt to their batch size."""

FACES: Final = (0, 1, 2, 4, 8, 16)
WIDTHS: Final = (320, 640, 1280, 1920)
"""Widths in pixels of the measured frames of 4:3 with one face."""

K: Final = (1, 2, 5)
"""Intervals to measure: the detector runs on every k-th frame."""

_COLOURS: Final = ("#d55e00", "#0072b2", "#009e73")
"""One colour for each k, distinguishable by the colour-blind (Okabe and Ito, 2008)."""

Curve = Mapping[int, float]
"""Milliseconds of processor time per frame, by number of faces or by width."""


def growth(settings: Settings, runtime: Runtime, seconds: float) -> tuple[dict[int, Curve], dict[int, Curve]]:
    """Measure two curves for each k, over FACES on frames of 960x720 and over WIDTHS, for `seconds` in all."""
    tiles = _tiles()
    each = seconds / len(K) / (len(FACES) + len(WIDTHS))

    def over(steps: Sequence[int], look: Callable[[int, int], Image]) -> dict[int, Curve]:
        return {k: {at: _cost(settings, runtime, k, each, partial(look, at)) for at in steps} for k in K}

    by_faces = over(FACES, lambda count, number: _wall(tiles, number, count))
    by_width = over(WIDTHS, lambda width, number: _resized(_wall(tiles, number, 1), width))
    return by_faces, by_width


def _cost(settings: Settings, runtime: Runtime, k: int, seconds: float, look: Callable[[int], Image]) -> float:
    """Return the mean processor time per frame in milliseconds. look: returns the frame with a given number."""
    detector = settings.detector.model_copy(update={"every": k, "region": None, "max_faces": 16})
    pipeline = open_pipeline(settings.model_copy(update={"detector": detector}), runtime)
    times: list[float] = []
    ends = time.monotonic() + seconds
    while time.monotonic() < ends or len(times) < 2 * FIRST:
        number = len(times)
        image = look(number)
        began = time.process_time()
        pipeline.analyse(Frame(image, number / 20, number / 20, number))
        times.append(time.process_time() - began)
    return float(np.mean(times[FIRST:])) * 1000


def _tiles() -> list[tuple[Image, Image]]:
    """Cut parts with one face, and parts with none, from the clip's frames: BGR uint8 [180, 240, 3]."""
    clip = cv2.VideoCapture(str(CLIP))
    clip.set(cv2.CAP_PROP_POS_FRAMES, 40)
    frames = [np.asarray(clip.read()[1], np.uint8) for _ in range(20)]
    clip.release()
    parts = [(frame[130:280, 90:290], frame[40:190, 400:600]) for frame in frames]
    return [(_resized(face, 240), _resized(none, 240)) for face, none in parts]


def _resized(part: Image, width: int) -> Image:
    return np.asarray(cv2.resize(part, (width, width * 3 // 4), interpolation=cv2.INTER_LINEAR), np.uint8)


def _wall(tiles: list[tuple[Image, Image]], number: int, count: int) -> Image:
    """Compose a frame of 960x720 with `count` faces, which move to and fro from one frame `number` to the next."""
    length = len(tiles)
    face, none = tiles[length - 1 - abs(number % (2 * length - 2) - (length - 1))]
    shown = [face if n < count else none for n in range(16)]
    return np.vstack([np.hstack(shown[row : row + 4]) for row in range(0, 16, 4)])


def plot(by_faces: Mapping[int, Curve], by_width: Mapping[int, Curve]) -> str:
    """Draw both groups of curves side by side as an SVG document, one line for each k."""
    legend = "".join(
        f'<text x="{560 + 60 * n}" y="20" fill="{colour}">k = {k}</text>'
        for n, (k, colour) in enumerate(zip(by_faces, _COLOURS, strict=True))
    )
    panels = _panel(by_faces, 60, "faces") + _panel(by_width, 430, "width of a 4:3 frame with one face, pixels")
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 300" font-family="sans-serif" font-size="12">'
        '<rect width="760" height="300" fill="#fff"/><text x="10" y="20">processor ms a frame</text>'
        f"{legend}{panels}</svg>\n"
    )


def _panel(curves: Mapping[int, Curve], left: int, title: str) -> str:
    """Draw one plot of the SVG, 300 wide and 200 high, with its upper left corner at (left, 40)."""
    across = max(max(curve) for curve in curves.values())
    up = max(max(curve.values()) for curve in curves.values())
    parts = [f'<path d="M{left} 40V240H{left + 300}" fill="none" stroke="#888"/>']
    parts += [f'<text x="{left - 6}" y="{y}" text-anchor="end">{value:.3g}</text>' for y, value in ((44, up), (244, 0))]
    parts += [
        f'<text x="{left + 300 * at / across:.0f}" y="256" text-anchor="middle">{at}</text>' for at in curves[K[0]]
    ]
    parts.append(f'<text x="{left + 150}" y="282" text-anchor="middle">{title}</text>')
    for curve, colour in zip(curves.values(), _COLOURS, strict=True):
        points = [(left + 300 * at / across, 240 - 200 * value / up) for at, value in curve.items()]
        line = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        parts.append(f'<path d="M{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
    return "".join(parts)


def write_plot(path: Path, by_faces: Mapping[int, Curve], by_width: Mapping[int, Curve]) -> None:
    """Write the SVG of `plot` to a file."""
    path.write_text(plot(by_faces, by_width), encoding="utf-8")
