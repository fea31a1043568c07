"""Container files: compose sets known settings, the broker accepts its file, and the health check is right.

deploy/container/test.sh builds the image and runs it.
"""

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge.config import setting_names
from tests.conftest import ROOT
from tests.support.daemon import free_port

FOLDER = ROOT / "deploy" / "container"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
GOOD = {"watching": True, "fps": 9.5, "camera": "online", "broker": "connected"}


def variables() -> set[str]:
    names = set(COMPOSE["services"]["emotion-edge"]["environment"])
    texts = [(FOLDER / "Containerfile").read_text(), (ROOT / "docs/containers.md").read_text()]
    return names | {name for text in texts for name in re.findall(r"EMOTION_EDGE_[A-Z_]+(?==)", text)}


def test_every_variable_is_a_setting() -> None:
    known = {f"EMOTION_EDGE_{name.replace('.', '_').upper()}" for name in setting_names()}
    assert len(variables()) >= 6
    assert variables() <= known


def test_both_services_are_confined_and_reached_from_this_machine_only() -> None:
    for service in COMPOSE["services"].values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert re.search(r"^USER emotion-edge$", (FOLDER / "Containerfile").read_text(), re.MULTILINE)


@pytest.mark.skipif(not shutil.which("mosquitto"), reason="mosquitto is not installed")
def test_mosquitto_accepts_its_file(tmp_path: Path) -> None:
    text = (FOLDER / "mosquitto.conf").read_text()
    (tmp_path / "wrong.conf").write_text(text.replace("allow_anonymous", "allow_anonimous"))
    conf = tmp_path / "mosquitto.conf"
    here = text.replace("listener 1883", f"listener {free_port()} 127.0.0.1")
    conf.write_text(here.replace("/mosquitto/data/", f"{tmp_path}/"))

    def started(file: Path) -> subprocess.CompletedProcess[str]:
        words = ["timeout", "2", "mosquitto", "-c", str(file)]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    assert started(conf).returncode == 124, started(conf).stderr
    assert started(tmp_path / "wrong.conf").returncode not in (0, 124)


def health(folder: Path, status: dict[str, Any] | None, age: float = 0) -> tuple[int, str]:
    file = folder / "status.json"
    file.unlink(missing_ok=True)
    if status is not None:
        file.write_text(json.dumps(status))
        os.utime(file, (time.time() - age, time.time() - age))
    environment = {**os.environ, "RUNTIME_DIRECTORY": str(folder)}
    words = ["python3", "-I", str(FOLDER / "healthcheck")]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, ""),
        ({"broker": None}, ""),
        ({"watching": False, "fps": 0}, ""),
        ({"fps": 0, "camera": "no such device"}, "no frames are analysed: camera no such device"),
        ({"broker": "connection refused"}, "broker: connection refused"),
    ],
)
def test_the_health_check_tells_well_from_ill(change: dict[str, Any], reason: str, tmp_path: Path) -> None:
    code, text = health(tmp_path, GOOD | change)
    assert (code, text.strip()) == (1 if reason else 0, reason)


def test_a_daemon_that_hangs_or_is_gone_is_not_healthy(tmp_path: Path) -> None:
    assert "the status is 9" in health(tmp_path, GOOD, age=90)[1]
    assert health(tmp_path, GOOD, age=90)[0] == 1
    assert health(tmp_path, None)[0] == 1
