"""Committees whose members have inputs of different size and colour, with a real network for each."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from edge.emotion.committee import Committee, counted_members, mean_of, open_local
from edge.faces.crop import face_crops
from edge.models.card import CARD_FILE, MODEL_FILE, sha256_of
from edge.models.runtime import choose
from edge.reading import Box, Image
from quantize.convert import to_float
from tests.support.serving import SMALL, SMALL_CARD, faces_of

BOXES = [Box(*place) for place in faces_of(3)]


def large_in_colour(folder: Path) -> Path:
    """Make a model with random weights and an input of 64x64 pixels in colour."""
    folder.mkdir()
    keras.utils.set_random_seed(1)
    image = keras.Input((64, 64, 3), name="image")
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 5, 4, activation="relu")(image))
    network = keras.Model(image, {SMALL_CARD.primary.name: keras.layers.Dense(len(SMALL_CARD.primary.labels))(x)})
    (folder / MODEL_FILE).write_bytes(to_float(network))
    card = json.loads((SMALL / CARD_FILE).read_text())
    card |= {"name": folder.name, "sha256": sha256_of(folder / MODEL_FILE), "mirror": False, "self_test": None}
    card["input"] |= {"height": 64, "width": 64, "channels": 3, "dtype": "float32", "scale": 1.0, "zero_point": 0}
    card["crop"]["colour"] = "bgr"
    card["outputs"] = [one for one in card["outputs"] if one["primary"]]
    (folder / CARD_FILE).write_text(json.dumps(card))
    return folder


def test_each_member_cuts_its_own_crop(tmp_path: Path, astronaut: Image, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    coloured, runtime = large_in_colour(tmp_path / "coloured"), choose()
    committee = open_local(f"{SMALL}+{coloured}", runtime)
    assert isinstance(committee, Committee)
    assert "each face is cut 2 times, for inputs of 48x48 grey, 64x64 bgr; a face takes " in caplog.text
    alone = [open_local(str(folder), runtime)(astronaut, BOXES).probabilities for folder in (SMALL, coloured)]
    probabilities = np.stack(alone)
    wanted = mean_of(counted_members(probabilities, "vote"), probabilities)
    found = committee(astronaut, BOXES)
    np.testing.assert_array_equal(found.probabilities, wanted)
    labels = SMALL_CARD.primary.labels
    for row, votes in enumerate(found.votes):
        assert list(votes.values()) == [labels[int(own[row].argmax())] for own in alone]
    # Crops sent to a prediction server have the size of the larger input, and are shrunk for the smaller one.
    crops = face_crops(astronaut, BOXES, committee.card.crop, committee.card.input)
    assert crops.shape == (3, 64, 64, 3)
    assert np.abs(committee.classify(crops).probabilities - wanted).mean() < 0.1
