"""Valence and arousal: from a network with that output, clipped to -1 to 1."""

import json
from pathlib import Path

import numpy as np
import pytest

from edge.config import EmotionSettings
from edge.emotion.classifier import open_classifier
from edge.emotion.scores import affect_output
from edge.labels import circumplex_of
from edge.models.card import CARD_FILE, MODEL_FILE, EmotionCard, OutputSpec, read_card, sha256_of
from edge.models.runtime import Network, choose
from quantize.flatbuffer import read_model, write_model
from tests.support.daemon import free_port
from tests.support.serving import SMALL_CARD, member, serving

FACES = np.random.default_rng(3).integers(0, 256, (60, 6, 6, 1), np.uint8).repeat(8, axis=1).repeat(8, axis=2)
STEEP = 64
"""Factor on the output's weights, large enough for values beyond -1 and 1."""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The released network with its second head reduced to two linear outputs, whose values exceed -1 to 1."""
    folder = member(tmp_path, "affective")
    network = read_model((folder / MODEL_FILE).read_bytes(), "affective")
    graph, (signature,) = network.subgraphs[0], network.signatureDefs
    size, name = next((len(it.labels), it.name) for it in SMALL_CARD.outputs if it.labels and not it.primary)
    head = next(output for output in signature.outputs if output.name.decode() == name)
    head.name = b"own"
    output = graph.tensors[head.tensorIndex]
    output.shape = [1, 2]
    output.quantization.scale = output.quantization.scale * STEEP
    (last,) = (operator for operator in graph.operators if head.tensorIndex in operator.outputs)
    for place in last.inputs[1:]:  # weights [size, features] and biases [size]
        tensor = graph.tensors[place]
        ends = [0, -1] if len(tensor.quantization.scale) == size else [0]
        buffer = network.buffers[tensor.buffer]
        # The first is negated, so that one output is mostly above 0 and the other below.
        kept = np.array(buffer.data, np.uint8).view(np.int8 if place == last.inputs[1] else np.int32)
        kept = kept.reshape(size, -1)[[0, -1]]
        kept[0] = -kept[0]
        buffer.data = kept.ravel().view(np.uint8)
        tensor.shape = [2, *tensor.shape[1:]]
        tensor.quantization.scale = tensor.quantization.scale[ends] * STEEP
        tensor.quantization.zeroPoint = tensor.quantization.zeroPoint[ends]
    (folder / MODEL_FILE).write_bytes(write_model(network))
    affect = OutputSpec(name="own", kind="valence_arousal", activation="linear")
    rewrite(folder, [SMALL_CARD.primary, affect])
    return folder


def rewrite(folder: Path, outputs: list[OutputSpec]) -> None:
    """Update the card for the changed file, with these outputs."""
    card = json.loads((folder / CARD_FILE).read_text())
    card["outputs"] = [output.model_dump(mode="json") for output in outputs]
    card["sha256"] = sha256_of(folder / MODEL_FILE)
    (folder / CARD_FILE).write_text(json.dumps(card))


def test_a_trained_output_is_used_and_clipped(model: Path) -> None:
    card = read_card(EmotionCard, model)
    assert affect_output(card) == card.outputs[1]
    raw = Network(model / MODEL_FILE, choose())(card.input.lookup()[FACES])["own"]
    assert raw.shape == (60, 2)
    assert raw.max() > 1, "nothing to clip"
    assert raw.min() < -1, "nothing to clip"
    scores = open_classifier(EmotionSettings(model=str(model)), choose(), 1).classify(FACES)
    assert np.array_equal(scores.valence_arousal, np.clip(raw, -1, 1))


def test_without_that_output_both_are_derived_on_the_circumplex(tmp_path: Path) -> None:
    rewrite(without := member(tmp_path, "without"), [SMALL_CARD.primary])
    classifier = open_classifier(EmotionSettings(model=str(without)), choose(), 1)
    assert affect_output(classifier.card) is None
    scores = classifier.classify(FACES)
    assert scores.valence_arousal == pytest.approx(scores.probabilities @ circumplex_of(classifier.labels), abs=1e-6)


def test_a_server_and_a_committee_pass_it_on(model: Path, tmp_path: Path) -> None:
    own = open_classifier(EmotionSettings(model=str(model)), choose(), 1).classify(FACES).valence_arousal
    with serving(tmp_path / "log.txt", port := free_port(), {"emotion.model": model}):
        served = f"http://127.0.0.1:{port}/v1/models/affective"
        remote = open_classifier(EmotionSettings(server=served, server_timeout=10), choose(), 1)
        assert remote.classify(FACES).valence_arousal == pytest.approx(own, abs=1e-4)
        assert remote.server == "online"
    twin = member(tmp_path, "twin")
    both = open_classifier(EmotionSettings(model=f"{model}+{twin}"), choose(), 1).classify(FACES).valence_arousal
    derived = open_classifier(EmotionSettings(model=str(twin)), choose(), 1).classify(FACES).valence_arousal
    assert both == pytest.approx((own + derived) / 2, abs=1e-5)
