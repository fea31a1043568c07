"""The daemon's figures for Prometheus: text format 0.0.4, names and units as Prometheus recommends them."""

import math
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from edge import __version__
from edge.reading import PACES, Reading, Stats

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_PREFIX: Final = "emotion_edge_"
_QUANTILES: Final[Mapping[str, str]] = {"p50": "0.5", "p95": "0.95", "p99": "0.99"}


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family with its samples: (suffix of the name, labels, value)."""

    name: str
    kind: Literal["counter", "gauge", "summary"]
    help: str
    samples: Sequence[tuple[str, Mapping[str, str], float]]


@dataclass(frozen=True, slots=True)
class MqttFigures:
    """Figures of the MQTT output. connected: to a broker, now; dropped: number of events lost."""

    connected: bool
    dropped: int


@dataclass(frozen=True, slots=True)
class RecordFigures:
    """Figures of the record. rows, bytes: its size; dropped: number of rows lost; paused: it cannot be written."""

    rows: int
    bytes: int
    dropped: int
    paused: bool


class Metrics:
    """An Output that counts Readings and Stats, and returns the counts as Prometheus text. Thread-safe."""

    def __init__(
        self,
        labels: Sequence[str],
        stats: Callable[[], Stats | None] = lambda: None,
        mqtt: Callable[[], MqttFigures] | None = None,
        record: Callable[[], RecordFigures] | None = None,
        switches: Callable[[], Mapping[str, bool]] | None = None,
    ) -> None:
        """Start to count.

        Args:
            labels: emotions to count, each shown from the start.
            stats: returns the statistics; None: not yet available.
            mqtt: returns MQTT's figures; None: there is no MQTT.
            record: returns the record's figures; None: there is no record.
            switches: returns the switches; None: there are none.
        """
        self._labels = tuple(labels)
        self._current = stats
        self._mqtt = mqtt
        self._record = record
        self._switches = switches
        self._lock = threading.Lock()
        self._reading: Reading | None = None
        self._analysed = 0
        self._latency = 0.0
        self._stages: dict[str, float] = {}

    def put(self, reading: Reading) -> None:
        """Count a Reading and the time it took."""
        latency = time.monotonic() - reading.captured_at
        with self._lock:
            self._reading = reading
            if reading.analysed:
                self._analysed += 1
                self._latency += latency
                for name, milliseconds in reading.stages.items():
                    self._stages[name] = self._stages.get(name, 0.0) + milliseconds / 1000

    def report(self, stats: Stats) -> None:
        """Reset the number of faces in view if there is no camera."""
        if stats.camera != "online":
            with self._lock:
                self._reading = None

    def close(self) -> None:
        """Nothing to release."""

    def text(self) -> str:
        """Return all figures in Prometheus's text format (prometheus.io, "Exposition formats")."""
        stats = self._current()
        with self._lock:
            metrics = list(self._metrics(stats))
        return "".join(_written(metric) for metric in metrics if metric.samples)

    def _metrics(self, stats: Stats | None) -> Iterator[Metric]:
        build = {"version": __version__}
        if stats:
            build |= {"model": stats.model, "model_sha256": stats.model_sha256, "interpreter": stats.interpreter}
            yield _gauge("uptime_seconds", "Time since the daemon started.", stats.uptime)
            yield _gauge("frames_per_second", "Frames analysed a second, over the last five seconds.", stats.fps)
            yield _counter("frames_captured_total", "Frames the camera gave.", stats.captured)
            yield _counter("frames_dropped_total", "Frames skipped for a newer one.", stats.dropped)
            yield _counter("frames_bad_total", "Frames that could not be decoded and were passed over.", stats.bad)
            yield _gauge("camera_up", "Whether the camera gives pictures.", stats.camera == "online")
            yield _gauge("temperature_celsius", "The hottest thermal zone of the board.", stats.temperature)
            yield _gauge("throttled", "Whether the firmware holds the clock down.", stats.throttled)
            yield _gauge("rate_limit", "Frames analysed a second at most, where there is a limit.", stats.rate_limit)
            paces = [("", {"pace": pace}, float(pace == stats.pace)) for pace in PACES]
            yield Metric("pace", "gauge", "Why fewer frames are analysed, or full: one of them is 1.", paces)
        yield _gauge("build_info", "What runs, in its labels.", 1, build)
        yield from self._timings(stats)
        yield from self._scene()
        yield from _process()
        if self._switches:
            for name, on in self._switches().items():
                yield _gauge(name, f"Whether {name} is switched on.", on)
        if self._mqtt:
            mqtt = self._mqtt()
            yield _gauge("mqtt_connected", "Whether there is a connection to the broker.", mqtt.connected)
            yield _counter("mqtt_dropped_events_total", "Events lost because too many waited.", mqtt.dropped)
        if self._record:
            record = self._record()
            yield _gauge("record_rows", "Rows in the record.", record.rows)
            yield _gauge("record_bytes", "What the record takes on the disk.", record.bytes)
            yield _gauge("record_paused", "Whether the record cannot be written.", record.paused)
            yield _counter("record_dropped_rows_total", "Rows lost because too many waited.", record.dropped)

    def _timings(self, stats: Stats | None) -> Iterator[Metric]:
        quantiles = [
            ("", {"quantile": _QUANTILES[name]}, value / 1000)
            for name, value in (stats.latency_ms if stats else {}).items()
        ]
        yield Metric(
            "latency_seconds",
            "summary",
            "Time from a frame's capture to what was seen in it; the quantiles are of the last frames.",
            [*quantiles, ("_sum", {}, self._latency), ("_count", {}, self._analysed)],
        )
        stages = [
            sample
            for name, seconds in self._stages.items()
            for sample in (("_sum", {"stage": name}, seconds), ("_count", {"stage": name}, self._analysed))
        ]
        yield Metric("stage_seconds", "summary", "Time in each stage of the pipeline.", stages)

    def _scene(self) -> Iterator[Metric]:
        faces = self._reading.faces if self._reading else ()
        shown = Counter(face.emotion for face in faces)
        samples = [("", {"emotion": label}, shown[label]) for label in dict.fromkeys([*self._labels, *shown])]
        yield Metric("faces", "gauge", "Faces in view, by the emotion they show.", samples)
        leader = self._reading.leader if self._reading else None
        if leader and leader.valence is not None and leader.arousal is not None:
            yield _gauge("valence", "Valence of the largest face in view, from -1 to 1.", leader.valence)
            yield _gauge("arousal", "Arousal of the largest face in view, from -1 to 1.", leader.arousal)


def _process(folder: Path = Path("/proc/self")) -> Iterator[Metric]:
    """Yield the figures of the process (proc(5)); none if the system has no /proc."""
    try:
        fields = (folder / "stat").read_text().rpartition(") ")[2].split()
        descriptors = len(list((folder / "fd").iterdir()))
        booted = float(next(line for line in (folder.parent / "stat").read_text().splitlines() if "btime" in line)[6:])
    except (OSError, StopIteration):
        return
    ticks = os.sysconf("SC_CLK_TCK")
    processor = (int(fields[11]) + int(fields[12])) / ticks
    yield _counter("process_cpu_seconds_total", "Processor time used.", processor)
    yield _gauge("process_start_time_seconds", "Start, Unix time.", booted + int(fields[19]) / ticks)
    yield _gauge("process_resident_memory_bytes", "Resident memory.", int(fields[21]) * os.sysconf("SC_PAGE_SIZE"))
    yield _gauge("process_open_fds", "Open file descriptors.", descriptors)


def _gauge(name: str, text: str, value: float | None, labels: Mapping[str, str] | None = None) -> Metric:
    return Metric(name, "gauge", text, [] if value is None else [("", labels or {}, value)])


def _counter(name: str, text: str, value: float) -> Metric:
    return Metric(name, "counter", text, [("", {}, value)])


def _written(metric: Metric) -> str:
    # Process figures have the same names in every program (prometheus.io, "Writing client libraries").
    name = metric.name if metric.name.startswith("process_") else _PREFIX + metric.name
    lines = [f"# HELP {name} {metric.help}", f"# TYPE {name} {metric.kind}"]
    for suffix, labels, value in metric.samples:
        inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        lines.append(f"{name}{suffix}{{{inside}}} {_number(value)}" if inside else f"{name}{suffix} {_number(value)}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return f"{value:.12g}"
