"""Reading TFLite files: damaged ones are refused in one line, and control flow is included."""

import copy
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.errors import EmotionEdgeError
from edge.models.card import MODEL_FILE
from quantize.edgetpu import inspect, text
from quantize.flatbuffer import fixed_batch, read_graph, read_model, write_model
from quantize.metadata import read
from tests.conftest import ROOT

NANO = ROOT / "models" / "emotion-nano" / MODEL_FILE
READERS: tuple[Callable[[Path], object], ...] = (
    lambda path: text(inspect(path), "m"),
    read,
    lambda path: fixed_batch(path.read_bytes(), str(path)),
)


def refusals(path: Path) -> list[str]:
    """Return each reader's error message for a file; other exceptions are not caught."""
    said = []
    for reader in READERS:
        try:
            reader(path)
        except EmotionEdgeError as error:
            said.append(str(error))
    return said


def test_a_file_cut_off_anywhere_is_said_to_be(tmp_path: Path) -> None:
    content, path = NANO.read_bytes(), tmp_path / "cut.tflite"
    for part in range(50):
        path.write_bytes(content[: len(content) * part // 50 + part])
        said = refusals(path)
        # A file cut in its last tenth only loses the archive with the card.
        assert len(said) == 3 or part > 45
        assert all(str(path) in message and "\n" not in message for message in said)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(EmotionEdgeError, match="is cut off or damaged"):
        read_graph(path)
    path.write_bytes(b"no model")
    with pytest.raises(EmotionEdgeError, match="is no TFLite file"):
        read_graph(path)


def test_flipped_bits_end_in_one_line_or_in_a_graph(tmp_path: Path) -> None:
    content, path = NANO.read_bytes(), tmp_path / "flipped.tflite"
    chance, refused = random.Random(0), 0
    for _ in range(40):
        flipped = bytearray(content)
        # Only the first part is damaged, which contains the tables; most other bytes are weights.
        for _ in range(chance.choice((1, 4, 30))):
            flipped[chance.choice((chance.randrange(3000), chance.randrange(len(content))))] ^= 1 << chance.randrange(8)
        path.write_bytes(flipped)
        refused += bool(refusals(path))
    assert refused > 0


def test_a_card_beside_a_file_that_has_none_inside_is_pointed_to(tmp_path: Path) -> None:
    detector = ROOT / "models" / "yunet-320" / MODEL_FILE
    with pytest.raises(EmotionEdgeError, match=r"carries no card .*lies beside it: .*card\.json"):
        read(detector)
    alone = tmp_path / MODEL_FILE
    alone.write_bytes(detector.read_bytes())
    with pytest.raises(EmotionEdgeError, match=r"carries no card \(no TFLITE_METADATA, or no archive [a-z ]+\)$"):
        read(alone)


def test_the_bodies_of_control_flow_are_seen_into(tmp_path: Path) -> None:
    model = read_model(NANO.read_bytes(), "m")
    # Adds a second subgraph like the body of a loop; it need not be referenced.
    model.subgraphs.append(copy.deepcopy(model.subgraphs[0]))
    model.subgraphs[1].operators = model.subgraphs[1].operators[-2:]
    path = tmp_path / "two.tflite"
    path.write_bytes(write_model(model))
    graph = read_graph(path)
    assert graph.subgraphs == 2
    assert [it.op for it in graph.operations] == [it.op for it in read_graph(NANO).operations]
    assert [operation.op for operation in graph.inner] == ["FULLY_CONNECTED", "FULLY_CONNECTED"]
    assert graph.inner[0].outputs[0].dtype == "INT8"
    assert any("control flow" in reason for reason in inspect(path).blocking)
    assert read_graph(NANO).inner == ()
