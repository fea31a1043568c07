"""Label sets, their maps and the circumplex."""

import numpy as np
import pytest

from edge.errors import EmotionEdgeError
from edge.labels import CIRCUMPLEX, LABEL_SETS, circumplex_of, labels_of, map_matrix, set_name


def test_every_label_has_its_place_on_the_circumplex() -> None:
    for labels in LABEL_SETS.values():
        places = circumplex_of(labels)
        assert places.shape == (len(labels), 2)
        assert np.abs(places).max() <= 1
    assert CIRCUMPLEX["happy"][0] > 0 > CIRCUMPLEX["sad"][0]
    assert CIRCUMPLEX["angry"][1] > 0 > CIRCUMPLEX["sad"][1]


@pytest.mark.parametrize("source", LABEL_SETS)
def test_compact4_merges_and_keeps_the_mass(source: str) -> None:
    labels = labels_of(source)
    matrix = map_matrix(labels, labels_of("compact4"))
    whole = [label for label in labels if label != "uncertain"]
    assert matrix.sum() == len(whole)
    if "angry" in labels:
        assert matrix[labels.index("angry"), 0] == 1


def test_fer7_to_ferplus8_is_a_reordering() -> None:
    fer7, ferplus8 = labels_of("fer7"), labels_of("ferplus8")
    matrix = map_matrix(fer7, ferplus8)
    assert [ferplus8[column] for column in matrix.argmax(axis=1)] == list(fer7)


@pytest.mark.parametrize("source", [*LABEL_SETS, "happy-sad-neutral"])
@pytest.mark.parametrize("target", [*LABEL_SETS, "neutral-happy"])
def test_every_set_maps_to_every_other(source: str, target: str) -> None:
    names, wanted = labels_of(source), labels_of(target)
    merged = labels_of("compact4")
    matrix = map_matrix(names, wanted)
    assert matrix.shape == (len(names), len(wanted))
    assert set(matrix.ravel().tolist()) <= {0.0, 1.0}
    for name, row in zip(names, matrix, strict=True):
        if name in wanted:
            assert wanted[row.argmax()] == name
            assert row.sum() == 1
        else:
            (place,) = map_matrix([name], merged)
            kept = bool(place.any()) and merged[place.argmax()] in wanted
            assert row.sum() == kept
            assert not kept or wanted[row.argmax()] == merged[place.argmax()]


def test_emotions_with_commas_are_a_label_set_in_the_order_given() -> None:
    assert labels_of("happy-sad-neutral") == ("happy", "sad", "neutral")
    assert set_name(labels_of("happy-sad-neutral")) == "happy-sad-neutral"


@pytest.mark.parametrize("name", LABEL_SETS)
def test_a_set_finds_its_name_again(name: str) -> None:
    assert set_name(labels_of("-".join(labels_of(name)))) == name


@pytest.mark.parametrize(
    ("label_set", "message"),
    [
        ("fer9", r"label set 'fer9': not known, did you mean 'fer7'\?"),
        ("happy", r"label set 'happy': not known \(known: fer7, .*, or labels with hyphens"),
        ("happy-suprise", r"no emotion 'suprise', did you mean 'surprise'\?"),
        ("happy-Bored", r"'Bored' cannot be a label \(a letter, then"),
        ("happy-sad-happy", r"'happy' is in it twice"),
        ("happy-", r"'' cannot be a label \("),
    ],
)
def test_a_wrong_set_is_named_with_the_nearest_right_one(label_set: str, message: str) -> None:
    with pytest.raises(EmotionEdgeError, match=message):
        labels_of(label_set)
