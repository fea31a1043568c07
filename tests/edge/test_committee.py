"""Behaviour common to all classifiers: a local model, a committee, a server."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.config import EmotionSettings, Settings
from edge.emotion.classifier import Classifier, open_classifier
from edge.emotion.committee import COMMITTEE_FILE, counted_members
from edge.errors import EmotionEdgeError
from edge.faces.crop import face_crops
from edge.models.card import CARD_FILE, sha256_of
from edge.models.runtime import choose
from edge.pipeline import open_pipeline
from edge.reading import Box, Frame, Image
from tests.support.daemon import free_port
from tests.support.serving import SMALL, SMALL_CARD, faces_of, member, serving, three

BOXES = [Box(*place) for place in faces_of(4)]
FACE = Box(175, 65, 100, 130)
"""Box of the face in the picture of the astronaut."""


def opened(**emotion: Any) -> Classifier:
    return open_classifier(EmotionSettings(**emotion), choose(), 1)


def committee_name(folder: Path) -> str:
    return "+".join(map(str, three(folder)))


@pytest.fixture(scope="module", params=["one model", "committee", "server", "server with a committee"])
def classifier(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Classifier]:
    folder = tmp_path_factory.mktemp("models")
    name = committee_name(folder) if "committee" in request.param else "emotion-small"
    if "server" not in request.param:
        yield opened(model=name)
        return
    with serving(folder / "log.txt", port := free_port(), {"emotion.model": name}):
        served = "large+small+nano" if "committee" in request.param else name
        classifier = opened(server=f"http://127.0.0.1:{port}/v1/models/{served}", server_timeout=10)
        assert classifier.server == "online"
        yield classifier
        assert classifier.server == "online"


def test_scores_are_probabilities_with_valence_and_arousal(classifier: Classifier, astronaut: Image) -> None:
    scores = classifier(astronaut, BOXES)
    assert classifier.labels == classifier.card.primary.labels == SMALL_CARD.primary.labels
    assert scores.probabilities.shape == (4, len(classifier.labels))
    assert scores.valence_arousal.shape == (4, 2)
    assert scores.probabilities.dtype == scores.valence_arousal.dtype == np.float32
    assert (scores.probabilities >= 0).all()
    assert scores.probabilities.sum(axis=1) == pytest.approx(1, abs=1e-4)
    assert (np.abs(scores.valence_arousal) <= 1).all()
    assert len(scores.votes) == 4


def test_no_face_is_no_score(classifier: Classifier, astronaut: Image) -> None:
    scores = classifier(astronaut, [])
    assert scores.probabilities.shape == (0, len(classifier.labels))
    assert scores.valence_arousal.shape == (0, 2)
    assert len(scores.votes) == 0


def test_faces_together_are_faces_one_by_one(classifier: Classifier, astronaut: Image) -> None:
    together = classifier(astronaut, BOXES)
    for row, box in enumerate(BOXES):
        alone = classifier(astronaut, [box])
        assert together.probabilities[row] == pytest.approx(alone.probabilities[0], abs=1e-3)
        assert together.valence_arousal[row] == pytest.approx(alone.valence_arousal[0], abs=1e-3)
        assert together.votes[row] == alone.votes[0]


def test_a_face_that_is_cut_out_is_the_face_in_the_frame(classifier: Classifier, astronaut: Image) -> None:
    crops = face_crops(astronaut, BOXES, classifier.card.crop, classifier.card.input)
    whole, cut_out = classifier(astronaut, BOXES), classifier.classify(crops)
    assert np.array_equal(whole.probabilities, cut_out.probabilities)


def test_a_grey_frame_does_as_well(classifier: Classifier, astronaut: Image) -> None:
    grey = np.asarray(astronaut.mean(axis=2), np.uint8)
    assert classifier(grey, [FACE]).probabilities.argmax() == classifier(astronaut, [FACE]).probabilities.argmax()


def test_a_server_says_what_the_same_model_says_here(classifier: Classifier, astronaut: Image, tmp_path: Path) -> None:
    here = opened(model=committee_name(tmp_path)) if any(classifier(astronaut, [FACE]).votes) else opened()
    ours, theirs = here(astronaut, BOXES), classifier(astronaut, BOXES)
    assert theirs.probabilities == pytest.approx(ours.probabilities, abs=1e-4)
    assert theirs.valence_arousal == pytest.approx(ours.valence_arousal, abs=1e-4)
    assert list(theirs.votes) == list(ours.votes)


LEADER, SECOND, THIRD = (0.4, 0.35, 0.25), (0.1, 0.8, 0.1), (0.2, 0.1, 0.7)


@pytest.mark.parametrize(
    ("said", "counted"),
    [
        ([LEADER, SECOND, SECOND], [0, 1, 1]),  # the majority, against the leader
        ([LEADER, LEADER, SECOND], [1, 1, 0]),
        ([LEADER, SECOND, THIRD], [1, 0, 0]),  # one vote each: the leader decides
        ([LEADER, SECOND], [1, 0]),
        # Two votes each for two labels, none of them the leader's: the one with its higher probability wins.
        ([LEADER, SECOND, SECOND, THIRD, THIRD], [0, 1, 1, 0, 0]),
    ],
)
def test_the_most_votes_win_and_the_leader_decides_between_equals(said: list[Any], counted: list[int]) -> None:
    probabilities = np.array(said, np.float32)[:, None]
    assert counted_members(probabilities, "vote").tolist() == [[float(one)] for one in counted]


def test_what_a_committee_publishes_is_the_mean_of_the_winners_and_has_the_winner_on_top(
    tmp_path: Path, astronaut: Image
) -> None:
    folders = three(tmp_path)
    committee = opened(model="+".join(map(str, folders)))
    members = [opened(model=str(folder)) for folder in folders]
    moved = np.random.default_rng(1).uniform(-60, 60, (40, 2))
    boxes = [replace(FACE, x=FACE.x + x, y=FACE.y + y) for x, y in moved.tolist()]
    crops = face_crops(astronaut, boxes, committee.card.crop, committee.card.input)
    said = [each.classify(crops).probabilities for each in members]
    affects = [each.classify(crops).valence_arousal for each in members]
    scores = committee.classify(crops)
    split = 0
    for row in range(40):
        votes = [committee.labels[each[row].argmax()] for each in said]
        assert scores.votes[row] == dict(zip(("large", "small", "nano"), votes, strict=True))
        winner = max(votes, key=votes.count) if len(set(votes)) < 3 else votes[0]
        agreed = [place for place, label in enumerate(votes) if label == winner]
        assert committee.labels[scores.probabilities[row].argmax()] == winner
        assert scores.probabilities[row] == pytest.approx(np.mean([said[n][row] for n in agreed], axis=0), abs=1e-5)
        assert scores.valence_arousal[row] == pytest.approx(
            np.mean([affects[n][row] for n in agreed], axis=0), abs=1e-5
        )
        split += len(set(votes)) > 1
    assert split > 5, "the members were of one opinion: nothing was tried"


def written(folder: Path, members: list[Path], **changes: object) -> Path:
    """Write a folder with a committee.json."""
    (folder / "mine").mkdir(parents=True)
    pinned = [{"model": str(path), "sha256": sha256_of(path / "model.tflite")} for path in members]
    content = {"name": "mine", "version": "2.1.0", "members": pinned, "metrics": "ignored"} | changes
    (folder / "mine" / COMMITTEE_FILE).write_text(json.dumps(content))
    return folder / "mine"


def test_a_committee_in_a_folder_is_a_model_of_its_own(tmp_path: Path, astronaut: Image) -> None:
    committee = opened(model=str(written(tmp_path, three(tmp_path))))
    assert (committee.card.name, committee.card.version) == ("mine", "2.1.0")
    assert len(committee.card.sha256) == 64
    assert committee.card.sha256 != SMALL_CARD.sha256
    assert set(committee(astronaut, [FACE]).votes[0]) == {"large", "small", "nano"}


def test_a_committee_may_decide_by_the_mean_of_all(tmp_path: Path, astronaut: Image) -> None:
    folders = three(tmp_path)
    voting, meaning = (opened(model=str(written(tmp_path / rule, folders, rule=rule))) for rule in ("vote", "mean"))
    members = [opened(model=str(folder)) for folder in folders]
    moved = np.random.default_rng(1).uniform(-60, 60, (40, 2))
    boxes = [replace(FACE, x=FACE.x + x, y=FACE.y + y) for x, y in moved.tolist()]
    said = [member(astronaut, boxes) for member in members]
    scores = meaning(astronaut, boxes)
    assert scores.probabilities == pytest.approx(np.mean([one.probabilities for one in said], axis=0), abs=1e-6)
    assert scores.valence_arousal == pytest.approx(np.mean([one.valence_arousal for one in said], axis=0), abs=1e-6)
    votes = voting(astronaut, boxes)
    assert scores.votes == votes.votes
    assert not np.allclose(scores.probabilities, votes.probabilities, atol=1e-3)


def look_twice(folder: Path) -> None:
    """Set in a model's card that it also runs on the mirror image."""
    card = json.loads((folder / CARD_FILE).read_text())
    (folder / CARD_FILE).write_text(json.dumps(card | {"mirror": True}))


def test_a_model_whose_card_says_mirror_says_the_mean_of_both_views(tmp_path: Path, astronaut: Image) -> None:
    once, folder = opened(model=str(member(tmp_path, "once"))), member(tmp_path, "twice")
    look_twice(folder)
    twice = opened(model=str(folder))
    crops = face_crops(astronaut, [FACE, *BOXES], once.card.crop, once.card.input)
    views = [once.classify(view) for view in (crops, crops[:, :, ::-1])]
    # The mean of logits equals the mean of log probabilities, up to normalisation.
    mean = np.exp(np.mean([np.log(view.probabilities) for view in views], axis=0))
    scores = twice.classify(crops)
    assert scores.probabilities == pytest.approx(mean / mean.sum(axis=1, keepdims=True), abs=1e-4)
    assert scores.valence_arousal == pytest.approx(np.mean([view.valence_arousal for view in views], axis=0), abs=1e-5)
    assert np.abs(scores.probabilities - views[0].probabilities).max() > 0.01
    np.testing.assert_array_equal(twice.classify(crops[:, :, ::-1]).probabilities, scores.probabilities)


def test_a_committee_that_looks_in_the_mirror_lets_each_member_do_so(tmp_path: Path, astronaut: Image) -> None:
    folders = three(tmp_path)
    plain, mirrored = (
        opened(model=str(written(tmp_path / str(mirror), folders, mirror=mirror, rule="mean")))
        for mirror in (False, True)
    )
    crops = face_crops(astronaut, [FACE], plain.card.crop, plain.card.input)
    scores = mirrored.classify(crops)
    assert not np.allclose(scores.probabilities, plain.classify(crops).probabilities, atol=1e-3)
    np.testing.assert_array_equal(mirrored.classify(crops[:, :, ::-1]).probabilities, scores.probabilities)
    for folder in folders:
        look_twice(folder)
    by_cards = opened(model=str(written(tmp_path / "cards", folders, rule="mean")))
    np.testing.assert_array_equal(by_cards.classify(crops).probabilities, scores.probabilities)


def test_a_committee_is_refused_when_a_member_is_not_the_one_it_was_made_of(tmp_path: Path) -> None:
    folder = written(tmp_path, three(tmp_path))
    content = json.loads((folder / COMMITTEE_FILE).read_text())
    content["members"][1]["sha256"] = "0" * 64
    (folder / COMMITTEE_FILE).write_text(json.dumps(content))
    with pytest.raises(
        EmotionEdgeError, match=r"was made of another .*small.* \(000000000000\.\.\.\).*emotion\.model: "
    ):
        opened(model=str(folder))


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "committee .*committee.json"), ('{"name": "x", "version": "1", "members": []}', "at least 2 items")],
)
def test_a_committee_file_that_is_none_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / COMMITTEE_FILE).write_text(content)
    with pytest.raises(EmotionEdgeError, match=message):
        opened(model=str(tmp_path))


def test_members_must_have_the_same_labels_the_same_faces_and_names_of_their_own(tmp_path: Path) -> None:
    leader = member(tmp_path, "leader")
    others = member(tmp_path, "others", labels=list(reversed(SMALL_CARD.primary.labels)))
    with pytest.raises(EmotionEdgeError, match=r"the same labels, and leader has .*, others has "):
        opened(model=f"{leader}+{others}")
    wider = member(tmp_path, "wider")
    card = json.loads((wider / "card.json").read_text())
    card["crop"]["scale"] = 1.5
    (wider / "card.json").write_text(json.dumps(card))
    with pytest.raises(EmotionEdgeError, match=r"same faces, and leader has face, scale 1\.1.*scale 1\.5"):
        opened(model=f"{leader}+{wider}")
    with pytest.raises(EmotionEdgeError, match=r"two members have one name \(leader, leader\)"):
        opened(model=f"{leader}+{leader}")
    with pytest.raises(EmotionEdgeError, match="model 'nobody': not there"):
        opened(model=f"{leader}+nobody")


def test_each_members_vote_is_in_the_face_and_in_the_json(tmp_path: Path, astronaut: Image) -> None:
    settings = Settings.model_validate({"emotion": {"model": committee_name(tmp_path)}})
    reading = open_pipeline(settings, choose(), confirm=1).analyse(Frame(astronaut, 0.0, 0.0, 0))
    (face,) = reading.faces
    assert set(face.votes) == {"large", "small", "nano"}
    assert face.votes["large"] == "happy"
    assert reading.to_dict()["faces"][0]["votes"] == face.votes


def test_one_model_has_no_votes(astronaut: Image) -> None:
    assert opened(model=str(SMALL))(astronaut, [FACE]).votes[0] == {}
