"""A model that passes its self-test but crashes the analysis: the last good one is restored automatically."""

import dataclasses
import json
import logging
import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from edge.cameras.capture import Capture
from edge.cameras.choose import open_camera
from edge.cli import main
from edge.config import CameraSettings, Settings
from edge.controls import Controls
from edge.daemon.loop import Components, Daemon
from edge.daemon.pace import Pacer
from edge.daemon.stats import Meter
from edge.emotion.classifier import Classifier, open_classifier
from edge.emotion.scores import Scores
from edge.media import CLIP
from edge.model_updates import install
from edge.model_updates.self_test import run_self_test
from edge.models.active import active_model, active_stamp
from edge.models.card import CARD_FILE, MODEL_FILE, EmotionCard, read_any_card, sha256_of
from edge.models.released import model_dir
from edge.models.runtime import choose
from edge.models.trial import CRASHES, FACES, SURVIVED_S, ModelTrial
from edge.pipeline import open_pipeline
from edge.reading import Box, Detection, Image, Reading, Stats
from edge.system.systemd import Notifier
from tests.support.broker import Mosquitto
from tests.support.daemon import Listener, running, wait_until
from tests.support.model_mutants import RELEASED

NAME = Settings().emotion.model


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install version 2 of the released model."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setattr(install, "check_in_process", run_self_test)
    add(tmp_path, "2")


def add(tmp_path: Path, version: str) -> None:
    folder = tmp_path / version
    folder.mkdir()
    (folder / MODEL_FILE).write_bytes((RELEASED / MODEL_FILE).read_bytes() + version.encode())
    card = json.loads((RELEASED / CARD_FILE).read_text())
    card |= {"version": version, "sha256": sha256_of(folder / MODEL_FILE)}
    (folder / CARD_FILE).write_text(json.dumps(card))
    assert main(["model", "install", str(folder)]) == 0


def version() -> str:
    """Return the version of the model that would be loaded now."""
    return read_any_card(model_dir(active_model(NAME))).version


def test_an_error_skips_the_model_until_another_is_installed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    released = read_any_card(RELEASED).version
    assert ModelTrial(active_stamp()).failed(ValueError("bad\x1b[2J shape"))
    assert version() == released
    assert "is skipped: it ended the analysis: ValueError: bad\\x1b[2J shape" in caplog.text
    assert not ModelTrial(active_stamp()).running
    add(tmp_path, "3")
    assert version() == "3"
    assert ModelTrial(active_stamp()).running
    assert main(["model", "rollback"]) == 0
    assert version() == released, "the one before the one that failed"


@pytest.mark.parametrize("ends", ["cleanly", "late", "never"])
def test_crashes_at_the_start_skip_the_model_and_other_ends_do_not(ends: str) -> None:
    now = [0.0]
    for start in range(CRASHES + 3):
        trial = ModelTrial(active_stamp(), lambda: now[0])
        assert version() == ("2" if ends != "never" or start < CRASHES else read_any_card(RELEASED).version)
        if ends == "cleanly":
            trial.close()
        elif ends == "late":
            now[0] += SURVIVED_S
            trial.analysed(0)


def test_a_model_that_analysed_faces_has_passed(caplog: pytest.LogCaptureFixture) -> None:
    trial = ModelTrial(active_stamp())
    for _ in range(FACES):
        trial.analysed(faces=1)
    assert not trial.failed(ValueError("something else"))
    for _ in range(CRASHES + 2):
        assert not ModelTrial(active_stamp()).running
    assert version() == "2"
    assert "skipped" not in caplog.text


def test_a_released_model_is_never_on_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "other"))
    trial = ModelTrial(active_stamp())
    assert not trial.failed(ValueError("x"))
    trial.close()
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("content", ["", "{", "[" * 5000, '{"stamp": [1, 2], "starts": -1}', "\xff"])
def test_a_damaged_record_is_no_record(tmp_path: Path, content: str) -> None:
    (tmp_path / "state" / "model-trial.json").write_text(content, encoding="latin-1")
    assert version() == "2"
    assert ModelTrial(active_stamp()).running


class Failing:
    """The installed classifier, but every call raises."""

    def __init__(self, classifier: Classifier) -> None:
        self.card: EmotionCard = classifier.card
        self.labels = classifier.labels
        self.server: str | None = None

    def __call__(self, image: Image, faces: Sequence[Detection | Box]) -> Scores:  # noqa: ARG002
        raise ValueError("cannot broadcast (7,) to (8,)")

    def classify(self, crops: object) -> Scores:
        raise NotImplementedError


class Kept:
    """An output that keeps all Readings with faces, and the newest Stats."""

    def __init__(self) -> None:
        self.readings: list[Reading] = []
        self.stats: Stats | None = None

    def put(self, reading: Reading) -> None:
        if reading.faces:
            self.readings.append(reading)

    def report(self, stats: Stats) -> None:
        self.stats = stats

    def close(self) -> None:
        pass


def test_the_last_good_model_goes_on_in_the_running_daemon(caplog: pytest.LogCaptureFixture) -> None:
    settings, runtime, output = Settings(), choose(), Kept()
    pipeline = open_pipeline(settings, runtime)
    assert pipeline.card.version == "2"
    pipeline.use_classifier(Failing(open_classifier(settings.emotion, runtime, 1)))
    camera = CameraSettings(source=str(CLIP))
    parts = Components(
        *(Capture(camera, open_camera(camera)), pipeline, Meter(pipeline.card, runtime), [output], [], []),
        *(Controls(), Pacer(settings.pace), Notifier({})),
    )
    parts = dataclasses.replace(
        parts, trial=ModelTrial(active_stamp()), reopen=lambda: open_classifier(settings.emotion, runtime, 1)
    )
    daemon = Daemon(parts, 0.1, threading.Event())
    with caplog.at_level(logging.WARNING):
        daemon.start()
        try:
            wait_until(lambda: len(output.readings) > 5, "Readings with faces")
            released = read_any_card(RELEASED)
            wait_until(lambda: bool(output.stats and output.stats.model_sha256 == released.sha256), "its stats")
        finally:
            daemon.close()
    assert not daemon.failed
    assert f"model: {NAME} 2 ended the analysis; {NAME} {released.version} runs again" in caplog.text


def test_a_daemon_that_is_killed_at_its_start_comes_up_with_the_last_good_model(tmp_path: Path) -> None:
    with Mosquitto() as broker:
        flags = {"camera.source": CLIP, "mqtt.host": "127.0.0.1", "mqtt.port": broker.port, "web.enabled": "false"}
        state = os.environ["STATE_DIRECTORY"]
        for number in range(CRASHES):
            log = tmp_path / f"log{number}"
            with running(log, flags, STATE_DIRECTORY=state) as process:
                wait_until(lambda: f"model: {NAME} 2, " in log.read_text(), "the installed model")  # noqa: B023
                process.send_signal(signal.SIGKILL)
                process.wait()
        listener = Listener(broker.port)
        try:
            with running(tmp_path / "log", flags, STATE_DIRECTORY=state):
                sha256 = read_any_card(RELEASED).sha256
                listener.wait(
                    lambda it: it.topic == "stats" and not it.retain and it.payload["model_sha256"] == sha256, "stats"
                )
        finally:
            listener.close()
    assert f"is skipped: the daemon crashed {CRASHES} times with it" in (tmp_path / "log").read_text()
