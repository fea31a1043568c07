"""Statistics of the daemon: rates and latencies of the last frames."""

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from edge.models.card import Card
from edge.models.runtime import Runtime
from edge.reading import Reading, Stats
from edge.system import board
from edge.system.percentiles import percentiles

WINDOW: Final = 300
"""Frames over which medians and percentiles are taken: ten seconds at 30 frames a second."""


def latency_percentiles(values: Sequence[float]) -> dict[str, float]:
    """Return the percentiles of latencies as `p50`, `p95` and `p99`; empty for no values."""
    if not values:
        return {}
    return dict(zip(("p50", "p95", "p99"), percentiles(values, (50, 95, 99)), strict=True))


class Meter:
    """Measures rates and latencies of analysed frames. Thread-safe."""

    def __init__(self, card: Card, runtime: Runtime) -> None:
        """Start without measurements. card: of the model that runs. runtime: interpreter that runs it."""
        self._card = card
        self._runtime = runtime
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._left: deque[float] = deque(maxlen=WINDOW)
        self._latencies: deque[float] = deque(maxlen=WINDOW)
        self._stages: deque[Mapping[str, float]] = deque(maxlen=WINDOW)

    def change_model(self, card: Card) -> None:
        """Report another model from now on. card: of that model."""
        self._card = card

    def add(self, reading: Reading) -> None:
        """Count a Reading that the pipeline has just finished."""
        now = time.monotonic()
        with self._lock:
            self._left.append(now)
            self._latencies.append((now - reading.captured_at) * 1000)
            self._stages.append(reading.stages)

    def stats(
        self,
        captured: int,
        dropped: int,
        camera: str,
        pace: str,
        rate_limit: float | None,
        server: str | None = None,
        bad: int = 0,
    ) -> Stats:
        """Return the current statistics.

        Args:
            captured: frames that the camera delivered.
            dropped: frames that were replaced before they were analysed.
            camera: status of the capture.
            pace: state of the pacer.
            rate_limit: limit of the pacer in frames per second; None: no limit.
            server: state of the prediction server, from the classifier; None: there is none.
            bad: frames that could not be decoded.
        """
        with self._lock:
            left, latencies, frames = list(self._left), list(self._latencies), list(self._stages)
        recent = [at for at in left if time.monotonic() - at < 5]
        fps = (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 1 else 0.0
        spent: dict[str, list[float]] = {}
        for stages in frames:
            for name, milliseconds in stages.items():
                spent.setdefault(name, []).append(milliseconds)
        return Stats(
            fps=fps,
            captured=captured,
            dropped=dropped,
            stages={name: percentiles(times, [50])[0] for name, times in spent.items()},
            latency_ms=latency_percentiles(latencies),
            temperature=board.temperature(),
            throttled=board.throttled(),
            pace=pace,
            rate_limit=rate_limit,
            camera=camera,
            model=self._card.name,
            model_sha256=self._card.sha256,
            interpreter=str(self._runtime),
            uptime=time.monotonic() - self._started,
            server=server,
            bad=bad,
        )


def status_line(stats: Stats) -> str:
    """Return the daemon's state as one line, for `systemctl status`."""
    if stats.camera != "online":
        return f"camera: {stats.camera}"
    pace = "" if stats.pace == "full" else f" ({stats.pace})"
    return f"camera: online; {stats.fps:.1f} frames a second{pace}"
