"""Label sets, their maps and the circumplex."""

import numpy as np
import pytest

from edge.errors import EmotionEdgeError
from edge.labels import CIRCUMPLEX, LABEL_SETS, circumplex_of, labels_of, map_matrix


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


def test_an_unknown_set_is_named_with_those_known() -> None:
    with pytest.raises(EmotionEdgeError, match=r"label set 'fer8': not known .*fer7"):
        labels_of("fer8")
