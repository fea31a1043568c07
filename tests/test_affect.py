"""Valence and arousal: a network's own where it has that output, kept to -1 to 1."""

import json
from pathlib import Path

import numpy as np
import pytest

from edge.card import CARD_FILE, MODEL_FILE, EmotionCard, OutputSpec, read_card, sha256_of
from edge.config import EmotionSettings
from edge.emotion.classifier import open_classifier
from edge.emotion.scores import affect_output
from edge.labels import circumplex_of
from edge.runtime import Network, choose
from quantize.flatbuffer import read_model, write_model
from tests.daemon import free_port
from tests.serving import SMALL_CARD, member, serving

FACES = np.random.default_rng(3).integers(0, 256, (60, 6, 6, 1), np.uint8).repeat(8, axis=1).repeat(8, axis=2)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The released network with its second head cut down to two outputs, linear, which then leave -1 to 1."""
    folder = member(tmp_path, "affective")
    network = read_model((folder / MODEL_FILE).read_bytes(), "affective")
    graph, (signature,) = network.subgraphs[0], network.signatureDefs
    head = next(output for output in signature.outputs if output.name == b"ferplus8")
    head.name = b"affect"
    (last,) = (operator for operator in graph.operators if head.tensorIndex in operator.outputs)
    graph.tensors[head.tensorIndex].shape = [1, 2]
    for place in last.inputs[1:]:  # weights [8, features] and biases [8]
        tensor = graph.tensors[place]
        buffer = network.buffers[tensor.buffer]
        buffer.data = np.array(buffer.data, np.uint8).reshape(8, -1)[[0, 7]].ravel()
        tensor.shape = [2, *tensor.shape[1:]]
        if len(tensor.quantization.scale) == 8:
            tensor.quantization.scale = tensor.quantization.scale[[0, 7]]
            tensor.quantization.zeroPoint = tensor.quantization.zeroPoint[[0, 7]]
    (folder / MODEL_FILE).write_bytes(write_model(network))
    card = json.loads((folder / CARD_FILE).read_text())
    affect = OutputSpec(name="affect", kind="valence_arousal", activation="linear")
    card["outputs"] = [card["outputs"][0], affect.model_dump(mode="json")]
    card["sha256"] = sha256_of(folder / MODEL_FILE)
    (folder / CARD_FILE).write_text(json.dumps(card))
    return folder


def test_a_trained_output_is_used_and_clipped(model: Path) -> None:
    card = read_card(EmotionCard, model)
    assert affect_output(card) == card.outputs[1]
    raw = Network(model / MODEL_FILE, choose())(card.input.lookup()[FACES])["affect"]
    assert raw.shape == (60, 2)
    assert raw.max() > 1, "nothing to clip"
    assert raw.min() < -1, "nothing to clip"
    scores = open_classifier(EmotionSettings(model=str(model)), choose(), 1).classify(FACES)
    assert np.array_equal(scores.valence_arousal, np.clip(raw, -1, 1))


def test_without_that_output_both_are_derived_on_the_circumplex() -> None:
    classifier = open_classifier(EmotionSettings(), choose(), 1)
    assert affect_output(SMALL_CARD) is None
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
