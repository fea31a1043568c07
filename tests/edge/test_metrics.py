"""The metrics for Prometheus."""

import re
from collections.abc import Iterator
from dataclasses import replace

import psutil
import pytest

from edge import __version__
from edge.config import WebSettings
from edge.labels import LABEL_SETS, UNCERTAIN
from edge.outputs.metrics import CONTENT_TYPE, Metrics, MqttFigures, RecordFigures
from edge.outputs.web.documents import Document
from edge.outputs.web.server import WebViewer
from edge.reading import Box
from tests.support.daemon import free_port
from tests.support.live import get
from tests.support.samples import face, reading, stats

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\n"])*"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (NaN|[+-]Inf|-?[0-9][0-9.e+-]*)")

Samples = dict[str, float]


def parsed(text: str) -> tuple[Samples, dict[str, str]]:
    """Parse values by `name{labels}`, and types by name; fails if this is not text format 0.0.4."""
    values: Samples = {}
    kinds: dict[str, str] = {}
    family = ""
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            family = line.split()[2]
            assert family not in kinds, "a family's lines stand together"
            assert len(line.split(" ", 3)) == 4
        elif line.startswith("# TYPE "):
            assert line.split()[2] == family
            kinds[family] = line.split()[3]
        else:
            match = SAMPLE.fullmatch(line)
            assert match, line
            name, labels, value = match.groups()
            assert re.fullmatch(rf"{family}(_sum|_count)?" if kinds[family] == "summary" else family, name)
            key = f"{name}{{{labels}}}" if labels else name
            assert key not in values, "no sample stands twice"
            values[key] = float(value)
    return values, kinds


@pytest.fixture
def metrics() -> Metrics:
    """Metrics after ten frames, the last of which has two people."""
    made = Metrics(
        [*LABEL_SETS["fer7"], UNCERTAIN],
        lambda: replace(stats(), interpreter='a "quoted\\" one\nin two lines'),
        lambda: MqttFigures(True, 7),
        lambda: RecordFigures(12, 4096, 3, False),
        lambda: {"detection": True, "privacy": False},
    )
    for _ in range(9):
        made.put(reading())
    made.put(reading([face(1, "happy"), face(2, "sad", box=Box(0, 0, 20, 20))]))
    return made


def test_every_figure_is_there(metrics: Metrics) -> None:
    values, kinds = parsed(metrics.text())
    expected = {
        "frames_per_second": 24.8,
        "frames_captured_total": 1200,
        "frames_dropped_total": 31,
        "frames_bad_total": 4,
        "uptime_seconds": 61,
        "camera_up": 1,
        "detection": 1,
        "privacy": 0,
        "temperature_celsius": 51.5,
        "throttled": 0,
        'latency_seconds{quantile="0.95"}': 0.0142,
        "latency_seconds_count": 10,
        'stage_seconds_sum{stage="detect"}': pytest.approx(0.062),
        'stage_seconds_count{stage="detect"}': 10,
        'faces{emotion="happy"}': 1,
        'faces{emotion="sad"}': 1,
        'faces{emotion="neutral"}': 0,
        f'faces{{emotion="{UNCERTAIN}"}}': 0,
        "valence": 0.85,
        "arousal": 0.45,
        "mqtt_connected": 1,
        "mqtt_dropped_events_total": 7,
        "record_rows": 12,
        "record_bytes": 4096,
        "record_paused": 0,
        "record_dropped_rows_total": 3,
    }
    assert {name: values[f"emotion_edge_{name}"] for name in expected} == expected
    (build,) = [name for name in values if name.startswith("emotion_edge_build_info")]
    assert f'version="{__version__}"' in build
    assert 'model="emotion-small"' in build
    assert r'interpreter="a \"quoted\\\" one\nin two lines"' in build
    assert all(name.endswith("_total") is (kind == "counter") for name, kind in kinds.items())


def test_what_is_not_known_is_left_out() -> None:
    values, _ = parsed(Metrics(["happy"]).text())
    assert not any("mqtt" in name or "record" in name or "frames" in name for name in values)
    metrics = Metrics(["happy"], lambda: replace(stats(), temperature=None, throttled=None, latency_ms={}))
    values, _ = parsed(metrics.text())
    assert "emotion_edge_temperature_celsius" not in values
    assert "emotion_edge_throttled" not in values
    assert values["emotion_edge_frames_per_second"] == 24.8


def test_figures_are_those_of_the_moment_they_are_asked_for() -> None:
    captured = iter([10, 30])
    metrics = Metrics(["happy"], lambda: replace(stats(), captured=next(captured)))
    assert [parsed(metrics.text())[0]["emotion_edge_frames_captured_total"] for _ in range(2)] == [10, 30]


def test_without_a_camera_there_are_no_faces() -> None:
    lost = stats("camera 0: unplugged")
    metrics = Metrics(["happy"], lambda: lost)
    metrics.put(reading([face(1, "happy")]))
    metrics.report(lost)
    values, _ = parsed(metrics.text())
    assert values["emotion_edge_camera_up"] == 0
    assert all(value == 0 for name, value in values.items() if name.startswith("emotion_edge_faces"))
    assert "emotion_edge_valence" not in values


def test_prometheus_own_parser_reads_it(metrics: Metrics) -> None:
    parser = pytest.importorskip("prometheus_client.parser", reason="prometheus-client is not installed")
    families = {family.name: family for family in parser.text_string_to_metric_families(metrics.text())}
    assert families["emotion_edge_frames_dropped"].type == "counter"
    assert families["emotion_edge_build_info"].samples[0].labels["interpreter"] == 'a "quoted\\" one\nin two lines'
    values, _ = parsed(metrics.text())
    assert sum(len(family.samples) for family in families.values()) == len(values)


@pytest.fixture
def served(metrics: Metrics) -> Iterator[WebViewer]:
    documents = {"/metrics": Document(CONTENT_TYPE, metrics.text)}
    viewer = WebViewer(WebSettings(port=free_port()), documents=documents)
    yield viewer
    viewer.close()


def test_the_page_server_hands_them_out_to_this_machine_alone(served: WebViewer, metrics: Metrics) -> None:
    status, headers, body = get(served, "/metrics")
    assert status == 200
    assert headers["Content-Type"] == CONTENT_TYPE
    mine = re.compile(r"^process_.*\n", re.MULTILINE)  # changes from one call to the next
    assert mine.sub("", body.decode()) == mine.sub("", metrics.text())
    assert get(served, "/metrics", Host="rebound.example")[0] == 403
    assert get(served, "/metrics", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors")[0] == 403


def test_the_process_has_the_figures_of_every_exporter(metrics: Metrics) -> None:
    values, kinds = parsed(metrics.text())
    process = psutil.Process()
    assert values["process_start_time_seconds"] == pytest.approx(process.create_time(), abs=2)
    assert values["process_resident_memory_bytes"] == pytest.approx(process.memory_info().rss, rel=0.2)
    assert values["process_cpu_seconds_total"] == pytest.approx(sum(process.cpu_times()[:2]), abs=1)
    assert values["process_open_fds"] >= 3
    assert kinds["process_cpu_seconds_total"] == "counter"
