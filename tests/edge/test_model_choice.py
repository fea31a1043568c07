"""Choosing another installed model over MQTT while the daemon runs."""

import json
import os
from pathlib import Path

import pytest

from edge.cli import main
from edge.config import Settings
from edge.emotion.committee import alike
from edge.media import CLIP
from edge.model_updates import install
from edge.model_updates.self_test import run_self_test
from edge.models.card import CARD_FILE, MODEL_FILE, EmotionCard, read_any_card, read_card, sha256_of
from edge.models.choice import CHOICE_FILE, ModelChoice
from edge.models.released import model_dir
from edge.outputs.mqtt.home_assistant import device_message
from tests.edge.test_messages import validator
from tests.support.broker import Mosquitto, Subscriber
from tests.support.daemon import DEVICE, Listener, running, wait_until
from tests.support.model_mutants import RELEASED

NAME = Settings().emotion.model
STAMP = (1, 2)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    return tmp_path / "state"


def chosen(configured: str = NAME, stamp: tuple[int, int] | None = STAMP) -> ModelChoice:
    choice = ModelChoice(configured, stamp)
    choice.offer(["emotion-nano", "emotion-small"], NAME)
    return choice


def test_a_choice_outlasts_a_restart_until_the_settings_or_the_installed_models_change() -> None:
    chosen().choose(b" emotion-nano\n")
    assert chosen().name == "emotion-nano"
    assert chosen(stamp=(3, 4)).name == NAME
    assert chosen(configured="emotion-large").name == "emotion-large"
    running_now = chosen()
    running_now.installed((3, 4))
    assert running_now.name == NAME


def test_other_names_are_ignored(caplog: pytest.LogCaptureFixture) -> None:
    choice = chosen()
    for payload in (b"", b"/etc", b"../emotion-nano", b"\xff\x1b[2J" * 100, b"emotion-nano " + b"x" * 100_000):
        choice.choose(payload)
        assert choice.name == NAME
    assert "\x1b" not in caplog.text
    assert "emotion-small, emotion-nano" in caplog.text


def test_an_installed_model_is_offered_by_its_own_name_and_stands_for_the_configured_one() -> None:
    choice = ModelChoice(NAME, STAMP)
    choice.offer(["emotion-nano", NAME], "emotion-mine")
    assert choice.options == ("emotion-mine", "emotion-nano", NAME)
    choice.choose(b"emotion-nano")
    choice.choose(b"emotion-mine")
    assert choice.name == NAME


@pytest.mark.parametrize("content", ["", "[" * 5000, '{"model": 1}', "\xff"])
def test_a_damaged_record_is_no_choice(state: Path, content: str) -> None:
    state.mkdir()
    (state / CHOICE_FILE).write_text(content, encoding="latin-1")
    assert chosen().name == NAME


def test_a_choice_that_cannot_be_kept_counts_until_the_restart(state: Path, caplog: pytest.LogCaptureFixture) -> None:
    state.write_text("in the way")
    choice = chosen()
    choice.choose(b"emotion-nano")
    assert choice.name == "emotion-nano"
    assert "is lost at the next start" in caplog.text


def test_models_and_committees_with_the_same_labels_are_offered_to_home_assistant() -> None:
    names = alike(read_card(EmotionCard, RELEASED).primary.labels, tuple)
    assert {"emotion-nano", NAME, "emotion-large", "committee"} <= set(names)
    assert "yunet-320" not in names
    message = device_message(Settings().mqtt, ["happy"], models=names)
    validator("discovery").validate(json.loads(json.dumps(message)))
    assert message["components"]["choose_model"]["options"] == names
    assert "choose_model" not in device_message(Settings().mqtt, ["happy"])["components"]


def test_the_running_daemon_changes_to_the_chosen_model_and_to_one_that_is_installed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "check_in_process", run_self_test)
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / MODEL_FILE).write_bytes((RELEASED / MODEL_FILE).read_bytes() + b"2")
    card = json.loads((RELEASED / CARD_FILE).read_text())
    (folder / CARD_FILE).write_text(json.dumps(card | {"version": "2", "sha256": sha256_of(folder / MODEL_FILE)}))
    with Mosquitto() as broker, Subscriber(broker.port) as other:
        flags = {"camera.source": CLIP, "mqtt.host": "127.0.0.1", "mqtt.port": broker.port, "web.enabled": "false"}
        flags |= {"mqtt.stats_every": 0.5}
        listener = Listener(broker.port)

        def runs(sha256: str) -> None:
            since = len(listener.messages)
            listener.wait(
                lambda it: it.topic == "stats" and not it.retain and it.payload["model_sha256"] == sha256,
                "stats",
                since=since,
            )

        other.publish(f"emotion/{DEVICE}/model/set", "emotion-nano", retain=True)
        nano = read_any_card(model_dir("emotion-nano")).sha256
        state = os.environ["STATE_DIRECTORY"]
        try:
            with running(tmp_path / "log", flags, STATE_DIRECTORY=state):
                runs(read_any_card(RELEASED).sha256)
                wait_until(lambda: "because it is retained" in (tmp_path / "log").read_text(), "the warning")
                other.publish(f"emotion/{DEVICE}/model/set", "", retain=True)
                other.publish(f"emotion/{DEVICE}/model/set", "emotion-nano")
                runs(nano)
            with running(tmp_path / "log2", flags, STATE_DIRECTORY=state):
                runs(nano)
                assert main(["model", "install", str(folder)]) == 0
                runs(sha256_of(folder / MODEL_FILE))
        finally:
            listener.close()
