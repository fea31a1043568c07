"""Labels other than the ten emotions: groups and label sets by `emotion.labels`, and user-defined class names."""

import json
import sqlite3
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.commands.report import report
from edge.config import EmotionSettings
from edge.config.load import check
from edge.emotion.classifier import open_classifier
from edge.emotion.groups import groups_of, published_labels
from edge.errors import EmotionEdgeError
from edge.labels import UNCERTAIN, own_label
from edge.media import CLIP
from edge.models.runtime import choose
from edge.outputs.drawing.colours import COLOURS, choose_colours, colour_of
from edge.outputs.mqtt.home_assistant import NOBODY
from tests.support.broker import Mosquitto
from tests.support.daemon import DEVICE, Listener, free_port, running
from tests.support.serving import SMALL_CARD, member, serving, three

LABELS = SMALL_CARD.primary.labels
GROUPS = {"good": ("happy", "surprise"), "bad": ("sad", "angry", "fear", "disgust"), "calm": ("neutral",)}
OWN = ("bored", "engaged", "pain", "wink", "very_tired", "focused", "lost", "notice")
"""Class names in place of the released model's eight emotions; `notice` is also a key of the translations."""
FACES = np.random.default_rng(3).integers(0, 256, (12, 6, 6, 1), np.uint8).repeat(8, axis=1).repeat(8, axis=2)


def classified(labels: object, model: str = "emotion-small", **settings: object) -> Any:
    given = EmotionSettings.model_validate({"model": model, "labels": labels, **settings})
    return open_classifier(given, choose(), 1).classify(FACES)


def summed(probabilities: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.stack(
        [probabilities[:, [LABELS.index(name) for name in names]].sum(axis=1) for names in GROUPS.values()], 1
    )


def test_the_probabilities_of_a_group_are_summed_and_valence_stays() -> None:
    plain, grouped = classified(""), classified(GROUPS)
    assert np.allclose(grouped.probabilities, summed(plain.probabilities), atol=1e-6)
    # Contempt is in no group, so its score is not added to any.
    assert np.allclose(
        1 - grouped.probabilities.sum(axis=1), plain.probabilities[:, LABELS.index("contempt")], atol=1e-6
    )
    assert np.array_equal(grouped.valence_arousal, plain.valence_arousal)


def test_a_committee_is_grouped_after_its_decision_with_the_votes_in_the_same_words(tmp_path: Path) -> None:
    names = "+".join(map(str, three(tmp_path)))
    plain, grouped = classified("", names), classified(GROUPS, names)
    assert np.allclose(grouped.probabilities, summed(plain.probabilities), atol=1e-6)
    group_of = {label: group for group, labels in GROUPS.items() for label in labels}
    assert [dict(face) for face in grouped.votes] == [
        {name: group_of.get(label, label) for name, label in face.items()} for face in plain.votes
    ]
    assert len({label for face in grouped.votes for label in face.values()}) > 1


def test_a_servers_answer_is_grouped_alike(tmp_path: Path) -> None:
    port = free_port()
    with serving(tmp_path / "log", port):
        served = classified(GROUPS, server=f"http://127.0.0.1:{port}/v1/models/emotion-small", server_timeout=10)
    assert np.allclose(served.probabilities, classified(GROUPS).probabilities, atol=1e-4)


def test_a_label_set_by_name_merges_and_leaves_out() -> None:
    settings = EmotionSettings(labels="compact4")
    groups = groups_of(settings, LABELS)
    assert groups is not None
    assert groups["negative"] == ("sad", "angry", "disgust", "fear", "contempt")
    assert published_labels(EmotionSettings(labels="fer7"), LABELS) == (
        "angry", "disgust", "fear", "happy", "sad", "surprise", "neutral",
    )  # fmt: skip
    assert published_labels(EmotionSettings(), LABELS) == LABELS


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"good": ["joy"], "bad": ["sad"]}, r"emotion\.labels: good: the model has no label 'joy' \(it has neutral"),
        ("skillbox9", r"emotion\.labels: skillbox9: the model has no label for uncertain"),
    ],
)
def test_groups_that_do_not_fit_the_model_are_named(labels: object, message: str) -> None:
    with pytest.raises(EmotionEdgeError, match=message):
        classified(labels)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"a": ["happy"], "b": ["happy"]}, "happy is in two groups"),
        ({"a": ["happy"]}, "must have two groups or more"),
        ({"nobody": ["happy"], "b": ["sad"]}, "'nobody' cannot be a label"),
        ({"<b>": ["happy"], "b": ["sad"]}, "'<b>' cannot be a label"),
        ({"a": [], "b": ["sad"]}, "group a is empty"),
        ("fer8", "label set 'fer8': not known, did you mean 'fer7'"),
        ("happy-sadd", "no emotion 'sadd', did you mean 'sad'"),
        ("{bad", "must be a label set, or groups such as"),
    ],
)
def test_groups_that_are_wrong_in_themselves_are_refused_with_the_place(labels: object, message: str) -> None:
    with pytest.raises(EmotionEdgeError, match=f"file: emotion.labels: .*{message}"):
        check({"emotion": {"labels": labels}}, "file")


def test_a_flag_takes_groups_as_the_file_does() -> None:
    given = check({"emotion": {"labels": "{good: happy, bad: [sad, angry]}"}}, "flag").emotion.labels
    assert given == {"good": ("happy",), "bad": ("sad", "angry")}


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Very  Bored", "very_bored"),
        ("Müde", "mude"),
        ("pain2", "pain2"),
        ("2pain", None),
        ("痛", None),
        ("a" * 33, None),
        ("unknown", None),
        ("a-b", None),
        ("a\nb", "a_b"),
    ],
)
def test_a_class_name_becomes_a_label_or_none(name: str, label: str | None) -> None:
    assert own_label(name) == label


def test_each_label_has_a_colour_of_its_own_that_stays() -> None:
    choose_colours(OWN[:7])
    first = {name: colour_of(name) for name in OWN[:7]}
    assert len(set(first.values())) == 7
    choose_colours(OWN[:7])
    assert {name: colour_of(name) for name in OWN[:7]} == first
    choose_colours(GROUPS, GROUPS)
    assert [colour_of(group) for group in GROUPS] == [COLOURS["happy"], COLOURS["sad"], COLOURS["neutral"]]


def page(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return str(answer.read(100_000).decode())


def about(port: int) -> Any:
    """Read the first event of the live page."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/events", timeout=10) as stream:
        return next(json.loads(line[6:]) for line in stream if line.startswith(b"data: {"))


@pytest.mark.parametrize("own", [False, True], ids=["groups", "own class names"])
def test_a_daemon_publishes_the_labels_everywhere(own: bool, tmp_path: Path) -> None:
    labels: tuple[str, ...] = OWN if own else tuple(GROUPS)
    if own:
        flags = {"emotion.model": str(member(tmp_path, "mine", labels=OWN, label_set="-".join(OWN)))}
    else:
        flags = {"emotion.labels": json.dumps(GROUPS)}
    port, record = free_port(), tmp_path / "record.sqlite3"
    with Mosquitto() as broker:
        listener = Listener(broker.port)
        flags |= {"mqtt.host": "127.0.0.1", "mqtt.discovery_prefix": f"emotion/{DEVICE}/ha"}
        outputs = {"mqtt.port": broker.port, "web.port": port, "record.enabled": "true", "record.file": record}
        with running(tmp_path / "log", {"camera.source": CLIP, **flags, **outputs}):
            listener.wait(lambda it: it.topic == "event" and it.payload["event"] == "emotion_changed", "change")
            metrics, colours = page(port, "/metrics"), about(port)["colours"]
        listener.close()
    faces = [face for heard in listener.of("faces") for face in heard.payload["faces"]]
    assert all(tuple(face["scores"]) == labels for face in faces)
    assert {face["emotion"] for face in faces} <= {*labels, UNCERTAIN}
    (discovery,) = {json.dumps(heard.payload) for heard in listener.messages if heard.topic.startswith("ha/device/")}
    assert json.loads(discovery)["components"]["emotion"]["options"] == [*labels, UNCERTAIN, NOBODY]
    assert all(f'emotion_edge_faces{{emotion="{label}"}}' in metrics for label in labels)
    assert len({colours[label] for label in labels}) >= min(len(labels), 7)
    with sqlite3.connect(record) as rows:
        recorded = {emotion for (emotion,) in rows.execute("SELECT DISTINCT emotion FROM seen")}
    assert recorded
    assert recorded <= {*labels, UNCERTAIN}
    settings = check({"record": {"file": str(record)}, "emotion": {"labels": "" if own else GROUPS}}, "file")
    text = report(settings, out=tmp_path / "report.html").read_text()
    assert all(f">{name.replace('_', ' ').capitalize()}<" in text for name in recorded)
