"""The commands `doctor` and `bench`: what they find and print."""

import json
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from edge.commands import bench, doctor
from edge.commands import bench_scaling as growth
from edge.config import Settings
from tests.support.broker import Mosquitto
from tests.support.daemon import free_port
from tests.support.serving import serving


def findings(capsys: pytest.CaptureFixture[str], **sections: object) -> dict[str, str]:
    """Run `doctor`; returns its lines by part, as `state text`, and its exit status under `status`."""
    status = doctor.report(Settings.model_validate(sections))
    lines = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    return {name: f"{state} {text}" for state, name, text in lines} | {"status": str(status)}


def test_all_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((48, 64, 3), np.uint8))
    with Mosquitto() as broker:
        found = findings(capsys, camera={"source": str(tmp_path)}, mqtt={"host": "127.0.0.1", "port": broker.port})
    assert found["status"] == "0"
    assert found["interpreter"].startswith("ok ")
    assert "emotion-small" in found["models"]
    assert "64 x 48" in found["camera"]
    assert found["broker"] == f"ok 127.0.0.1:{broker.port} accepts the login"


def test_a_server_that_classifies_has_a_line_where_one_is_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    settings = {"server": f"http://127.0.0.1:{port}/v1/models/emotion-small", "server_timeout": 10}
    with serving(tmp_path / "log.txt", port):
        found = findings(capsys, camera={"source": "/dev/video97"}, emotion=settings)
        assert found["server"].startswith(f"ok {settings['server']} answers, one face in ")
    found = findings(capsys, camera={"source": "/dev/video97"}, emotion=settings)
    assert found["server"] == f"note {settings['server']}: connection refused; emotion-small here stands in"


def test_what_is_missing_is_named_and_counts(capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    found = findings(capsys, camera={"source": "/dev/video97"}, mqtt={"host": "127.0.0.1", "port": port})
    assert found["status"] == "1"
    assert found["camera"].startswith("fault camera /dev/video97: not there")
    assert found["broker"].startswith(f"fault no connection to 127.0.0.1:{port}: connection refused")


def test_a_missing_model_is_a_fault_and_the_rest_is_still_told(capsys: pytest.CaptureFixture[str]) -> None:
    found = findings(capsys, camera={"source": "/dev/video97"}, emotion={"model": "nowhere"})
    assert found["models"].startswith("fault model 'nowhere': not there")
    assert found["broker"].startswith("note none is configured")
    assert "temperature" in found


def test_the_benchmark_prints_a_table_and_one_line_of_json_and_plots_how_the_cost_grows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.report(Settings(), seconds=4, plot=tmp_path / "growth.svg")
    *table, last = capsys.readouterr().out.splitlines()
    facts = json.loads(last)
    assert len(table) == len(facts)
    assert facts["faces a frame"] > 0.9
    assert facts["pipeline ms"] > facts["networks ms"] > 0
    assert facts["resident MB"] > 0
    lines = ElementTree.parse(tmp_path / "growth.svg").findall("*[@stroke-width='2']")
    assert len(lines) == len(growth.K) * 2
    assert facts["capture to subscriber p50 ms"] <= facts["capture to subscriber p99 ms"]
