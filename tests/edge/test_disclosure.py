"""The page's statements on what runs, leaves the board and is stored, derived from settings and state."""

from dataclasses import replace
from typing import Any

import pytest

from edge.config import Settings
from edge.outputs.web.disclosure import CONNECTED, MQTT, PAUSED, RECORD, Facts, facts_of, recognition, statements
from edge.outputs.web.documents import preferred_language
from edge.outputs.web.latest import LatestReading
from edge.reading import PRIVACY
from edge.translations import words_of
from tests.support.samples import frame, reading, stats

WRITTEN = {RECORD: "written"}


def keys(facts: Facts, state: str, health: dict[str, str]) -> list[str]:
    return [one["key"] for one in statements(facts, state, health)]


def test_state_follows_from_camera_and_readings() -> None:
    live = LatestReading()
    assert recognition(live) == "lost"
    shown = frame()
    live.show(shown, reading([], shown))
    assert recognition(live) == "running"
    live.show(shown, replace(reading([], shown), analysed=False))
    assert recognition(live) == "off"
    live.stats = stats(PRIVACY)
    assert recognition(live) == "privacy"


@pytest.mark.parametrize(
    ("given", "facts"),
    [
        ({}, Facts()),
        ({"web": {"images": False}}, Facts(images=False)),
        ({"web": {"host": "0.0.0.0", "password": "x"}}, Facts(shared=True)),
        ({"web": {"proxies": "127.0.0.1", "names": "board.example"}}, Facts(shared=True)),
        ({"web": {"enabled": False, "proxies": "127.0.0.1"}}, Facts(images=False)),
        ({"mqtt": {"snapshots": True}}, Facts()),  # without a broker nobody can request one
        ({"mqtt": {"snapshots": True, "host": "broker.lan"}}, Facts(snapshots=True)),
        ({"record": {"enabled": True, "days": 7}}, Facts(record_days=7)),
        ({"emotion": {"server": "http://host:8501/v1/models/emotion-small"}}, Facts(server=True)),
    ],
)
def test_facts_follow_from_the_settings(given: dict[str, Any], facts: Facts) -> None:
    assert facts_of(Settings.model_validate(given)) == facts


@pytest.mark.parametrize("state", ["running", "off", "privacy", "lost"])
def test_in_each_state_one_sentence_of_each_kind(state: str) -> None:
    everything = Facts(shared=True, snapshots=True, server=True, record_days=30)
    for facts in (Facts(), everything):
        for health in ({}, {MQTT: CONNECTED, **WRITTEN}, {MQTT: "refused", RECORD: f"{PAUSED}: full"}):
            said = keys(facts, state, health)
            assert len(said) == len(set(said))
            assert all(key in words_of() for key in said)
            assert sum(key in ("say_running", "say_off", "say_no_picture") for key in said) == 1
            recorded = ("say_recorded", "say_record_paused", "say_record_idle", "say_not_recorded")
            assert sum(key in recorded for key in said) == 1
            assert ("say_running" in said) is (state == "running")
            assert "say_recorded" not in said or state == "running"
            assert "say_mqtt" not in said or state == "running"
            assert ("say_camera_off" in said) is (state == "privacy")
            images = ("say_no_image", "say_images_page", "say_snapshots", "say_server")
            assert any(key in images for key in said) is (state != "privacy")
            assert not ("say_no_image" in said and len({*images} & {*said}) > 1)


def test_the_days_of_the_record_are_in_its_sentence() -> None:
    said = statements(Facts(record_days=7), "running", WRITTEN)
    assert {"key": "say_recorded", "days": 7} in said


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "nl"),
        ("de-AT,de;q=0.9,en;q=0.5", "de"),
        ("ja,en;q=0.3,pl;q=0.8", "pl"),
        ("ja;q=1,zh", "nl"),
        ("fr;q=x,uk", "uk"),
        (",;q=,*" * 500, "nl"),
    ],
)
def test_the_browsers_language_is_taken_where_there_is_one(accepted: str, language: str) -> None:
    assert preferred_language(accepted, "nl") == language
