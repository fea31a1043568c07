"""MQTT messages as JSON, validated against the published schemas."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from edge.outputs.messages import encode, event_messages, state_message, stats_message
from edge.reading import Box, Detection, timestamp
from tests.conftest import ROOT
from tests.support.samples import face, reading, stats

SCHEMAS = ROOT / "docs" / "schemas"
TOPICS = ("state", "faces", "event", "stats")
NOW = 1795197791.4824


def validator(topic: str) -> Draft202012Validator:
    """Load the JSON Schema validator of a topic's messages."""
    return Draft202012Validator(json.loads((SCHEMAS / f"{topic}.schema.json").read_text()))


def examples() -> list[tuple[str, dict[str, Any]]]:
    """Make example messages of every topic and kind."""
    two = reading([face(1, "happy"), face(2, "uncertain", box=Box(-5.04, 2.26, 40, 50))])
    nobody = reading()
    events = [*event_messages(None, two), *event_messages(two, reading([face(1, "sad")]))]
    return [
        ("state", state_message(two, "online", NOW)),
        ("state", state_message(nobody, "online", NOW)),
        ("state", state_message(None, "camera /dev/video0: not there", NOW)),
        ("faces", two.to_dict()),
        ("faces", nobody.to_dict()),
        *(("event", event) for event in events),
        ("stats", stats_message(stats(), NOW)),
        ("stats", stats_message(replace(stats(), temperature=None, throttled=None, latency_ms={}), NOW)),
    ]


@pytest.mark.parametrize("topic", TOPICS)
def test_a_schema_is_closed_and_says_what_everything_is(topic: str) -> None:
    schema = json.loads((SCHEMAS / f"{topic}.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    assert schema["additionalProperties"] is False
    assert schema["properties"]["v"]["const"] == 1
    undescribed = [name for name, of in schema["properties"].items() if not of.get("description")]
    assert not undescribed


def test_every_message_fits_its_schema_as_it_goes_over_the_wire() -> None:
    for topic, message in examples():
        validator(topic).validate(json.loads(encode(message)))
    assert {topic for topic, _ in examples()} == set(TOPICS)


@pytest.mark.parametrize("topic", TOPICS)
def test_a_schema_refuses_what_is_missing_unknown_or_out_of_range(topic: str) -> None:
    message = next(message for name, message in examples() if name == topic)
    wrong: list[dict[str, Any]] = [
        {key: value for key, value in message.items() if key != "ts"},
        {**message, "extra": 1},
        {**message, "v": 2},
        {**message, "ts": "2026-11-20 18:03:11"},
    ]
    for broken in wrong:
        with pytest.raises(ValidationError):
            validator(topic).validate(broken)


def test_an_event_has_what_its_kind_has_and_no_more() -> None:
    appeared, left = {"v": 1, "ts": timestamp(NOW), "event": "face_appeared", "id": 1}, "face_left"
    for broken in (appeared, {**appeared, "event": left, "emotion": "happy"}, {**appeared, "event": "emotion_changed"}):
        with pytest.raises(ValidationError):
            validator("event").validate(broken)


def test_times_are_utc_with_milliseconds() -> None:
    assert timestamp(0) == "1970-01-01T00:00:00.000Z"
    assert timestamp(1795197791.4824) == "2026-11-20T18:03:11.482Z"


def test_state_is_the_largest_face() -> None:
    near, far = face(7, "sad", 0.61234567, Box(0, 0, 200, 200)), face(3, "happy", 0.9, Box(300, 0, 60, 60))
    message = state_message(reading([far, near]), "online", NOW)
    assert message == {
        "v": 1,
        "ts": "2026-11-20T18:03:11.482Z",
        "emotion": "sad",
        "confidence": 0.6123,
        "valence": -0.75,
        "arousal": -0.4,
        "faces": 2,
        "watching": True,
        "camera": "online",
    }


def test_state_says_whether_anybody_looks() -> None:
    off = replace(reading(), analysed=False)
    told = [state_message(of, "online", NOW)["watching"] for of in (None, reading(), off)]
    assert told == [False, True, False]


def test_state_of_nobody() -> None:
    message = state_message(reading(), "online", NOW)
    assert (message["emotion"], message["confidence"], message["valence"], message["faces"]) == (None, None, None, 0)


def test_faces_have_id_box_and_scores() -> None:
    seen = reading([face(7, "happy", 0.87, Box(240.04, -3.26, 150.5, 180))])
    message = seen.to_dict()
    assert (message["sequence"], message["width"], message["height"]) == (seen.sequence, 640, 480)
    (only,) = message["faces"]
    assert (only["id"], only["box"], only["score"]) == (7, [240.0, -3.3, 150.5, 180.0], 0.93)
    assert only["scores"]["happy"] == 0.87
    assert sum(only["scores"].values()) == pytest.approx(1, abs=1e-3)


def test_events_say_who_came_who_went_and_who_changed() -> None:
    before = reading([face(1, "happy"), face(2, "sad"), face(3, "neutral")])
    after = reading([face(3, "neutral"), face(2, "angry", 0.5), face(4, "fear")])
    told = list(event_messages(before, after))
    assert [(event["event"], event["id"]) for event in told] == [
        ("face_left", 1),
        ("emotion_changed", 2),
        ("face_appeared", 4),
    ]
    assert (told[1]["from"], told[1]["to"], told[1]["confidence"]) == ("sad", "angry", 0.5)
    assert told[2]["emotion"] == "fear"
    assert {event["ts"] for event in told} == {timestamp(after.wall_time)}


def test_no_change_is_no_event() -> None:
    one, two = face(1, "happy"), face(2, "sad")
    assert list(event_messages(reading([one, two]), reading([two, one]))) == []
    assert list(event_messages(None, reading())) == []


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_no_reader_ever_meets_a_number_that_json_has_not(bad: float) -> None:
    broken = replace(face(1), confidence=bad, valence=bad, arousal=bad, scores={"happy": bad, "sad": 1.0})
    broken = replace(broken, detection=Detection(Box(bad, 0, 10, 10), bad))
    tired = replace(stats(), fps=bad, temperature=bad, stages={"detect": bad}, latency_ms={"p50": bad})
    messages = [
        ("state", state_message(reading([broken]), "online", NOW)),
        ("faces", reading([broken]).to_dict()),
        ("stats", stats_message(tired, NOW)),
        *(("event", event) for event in event_messages(reading([face(1, "sad")]), reading([broken]))),
    ]
    for topic, message in messages:
        text = encode(message).decode()
        assert "NaN" not in text
        assert "Infinity" not in text
        validator(topic).validate(json.loads(text))


def test_a_path_that_is_no_unicode_does_not_stop_a_message() -> None:
    # A file name in another encoding, as decoded by os.fsdecode.
    camera = b"video /home/caf\xe9.mp4: not there".decode("utf-8", "surrogateescape")
    message = json.loads(encode(state_message(None, camera, NOW)).decode("utf-8"))
    assert message["camera"].startswith("video /home/caf")


@pytest.mark.parametrize("topic", TOPICS)
def test_the_examples_in_the_documentation_fit_their_schemas(topic: str) -> None:
    text = (SCHEMAS.parent / "mqtt.md").read_text(encoding="utf-8")
    section = text.split(f"### `emotion/kitchen/{topic}`")[1].split("\n#")[0]
    rest = section.split("```json")[1].split("```")[0].strip()
    found = 0
    while rest:
        message, end = json.JSONDecoder().raw_decode(rest)
        validator(topic).validate(message)
        rest, found = rest[end:].strip(), found + 1
    assert found == (3 if topic == "event" else 1)
