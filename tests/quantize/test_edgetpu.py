"""The Edge TPU's rules on real files, and on operations made to break each of them."""

import os
from pathlib import Path

import numpy as np
import pytest

from edge.errors import EmotionEdgeError
from edge.models.card import MODEL_FILE
from edge.models.runtime import choose
from quantize.edgetpu import COMPILER, compile_file, inspect, read_log, reason_against, text
from quantize.flatbuffer import Operation, TensorFacts, fixed_batch, read_graph
from tests.conftest import ROOT

EMOTION = ROOT / "models" / "emotion-small" / MODEL_FILE
DETECTOR = ROOT / "models" / "yunet-320" / MODEL_FILE
LOG = """\
Edge TPU Compiler version 16.0.384591198
Model compiled successfully in 90 ms.

Operator                       Count      Status

CONV_2D                        13         Mapped to Edge TPU
CONV_2D                        2          More than one subgraph is not supported
MEAN                           1          Mapped to Edge TPU
DEPTH_TO_SPACE                 1          Operation not supported
"""


def tensor(
    shape: tuple[int, ...], dtype: str = "INT8", values: list[int] | None = None, zero_point: int = 0
) -> TensorFacts:
    data = None if values is None else np.array(values, dtype.lower()).view(np.uint8)
    return TensorFacts("t", dtype, shape, False, data, dtype == "INT8", zero_point)


FACE = tensor((1, 8, 8, 16))


def test_a_released_model_meets_the_rules_and_is_not_said_to_compile() -> None:
    report = inspect(EMOTION)
    assert not report.blocking
    assert not report.fallbacks
    assert len(report.eligible) == len(read_graph(EMOTION).operations)
    if report.compiled is None:
        assert f"not compiled: {COMPILER} is not installed" in text(report, "m")


def test_what_falls_back_is_named_and_so_is_what_follows_it() -> None:
    report = inspect(DETECTOR)
    assert report.fallbacks[0].op == "DEPTH_TO_SPACE"
    assert "not among the supported operations" in report.fallbacks[0].reason
    assert len(report.eligible) == report.fallbacks[0].place
    assert "more fall back because they come after operation" in text(report, "m")


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (Operation("ERF", (FACE,), (FACE,), {}, "NONE"), "not among"),
        (Operation("ADD", (FACE, FACE), (tensor((1, 8, 8, 16), "FLOAT32"),), {}, "RELU"), "FLOAT32"),
        (Operation("ADD", (FACE, FACE), (tensor((2, 8, 8, 16)),), {}, "NONE"), "last three sizes"),
        (Operation("MAX_POOL_2D", (FACE,), (FACE,), {}, "RELU"), "fused activation RELU"),
        (
            Operation("CONV_2D", (FACE,), (FACE,), {"dilationWFactor": 2, "dilationHFactor": 1}, "NONE"),
            "2 across, 1 down",
        ),
        (Operation("FULLY_CONNECTED", (FACE,), (tensor((4, 7)),), {}, "NONE"), "more than one dimension"),
        (Operation("MEAN", (FACE, tensor((1,), "INT32", [0])), (FACE,), {}, "NONE"), "over the batch"),
        (Operation("MEAN", (tensor((1, 8, 8, 6)), tensor((1,), "INT32", [3])), (FACE,), {}, "NONE"), "multiple of 4"),
        (Operation("PAD", (FACE, tensor((4, 2), "INT32", [1, 0, 0, 0, 0, 0, 0, 0])), (FACE,), {}, "NONE"), "batch"),
        (Operation("SOFTMAX", (tensor((1, 20_000)),), (tensor((1, 20_000)),), {}, "NONE"), "20000 elements"),
        (Operation("SQUEEZE", (tensor((1, 5, 1, 10)),), (tensor((5, 10)),), {}, "NONE"), "does not lead"),
        (
            Operation("DEPTHWISE_CONV_2D", (FACE,), (FACE,), {"dilationWFactor": 1, "dilationHFactor": 4}, "NONE"),
            "1 across, 4 down",
        ),
        (Operation("CONCATENATION", (FACE, FACE, tensor((1,), "INT8", [0])), (FACE,), {}, "NONE"), "among 3 inputs"),
        (
            Operation("CONCATENATION", (FACE, tensor((1, 1, 1, 2), "INT8", [-5, 0], -5)), (FACE,), {}, "NONE"),
            "not all zeros",
        ),
        (Operation("SPLIT", (tensor((), "INT32", [-4]), FACE), (FACE, FACE), {}, "NONE"), "splits the batch"),
        (Operation("MEAN", (FACE,), (FACE,), {}, "NONE"), "not those of a MEAN"),
    ],
    ids=lambda value: value.op if isinstance(value, Operation) else "",
)
def test_each_rule_is_held(operation: Operation, reason: str) -> None:
    assert reason in reason_against(operation)


@pytest.mark.parametrize(
    "operation",
    [
        Operation("CONV_2D", (FACE,), (FACE,), {"dilationWFactor": 2, "dilationHFactor": 2}, "RELU"),
        Operation("DEPTHWISE_CONV_2D", (FACE,), (FACE,), {"dilationWFactor": 2, "dilationHFactor": 2}, "RELU"),
        Operation("CONCATENATION", (FACE, tensor((1, 1, 1, 2), "INT8", [-5, -5], -5)), (FACE,), {}, "NONE"),
        Operation("SPLIT", (tensor((), "INT32", [3]), FACE), (FACE, FACE), {}, "NONE"),
        Operation("MEAN", (FACE, tensor((2,), "INT32", [1, 2])), (tensor((1, 16)),), {}, "NONE"),
        Operation("FULLY_CONNECTED", (tensor((1, 16)),), (tensor((1, 7)),), {"weightsFormat": 0}, "NONE"),
        Operation("SQUEEZE", (tensor((1, 1, 5, 10)),), (tensor((5, 10)),), {}, "NONE"),
    ],
    ids=lambda operation: operation.op,
)
def test_what_is_within_the_rules_passes(operation: Operation) -> None:
    assert reason_against(operation) == ""


def test_a_float_file_is_refused_as_a_whole(tmp_path: Path) -> None:
    tf_keras = pytest.importorskip("tf_keras", reason="the training extra is not installed")
    from quantize.convert import to_float

    image = tf_keras.Input((8, 8, 1), name="image")
    dense = tf_keras.layers.Dense(7, name="fer7")(tf_keras.layers.Flatten()(image))
    path = tmp_path / "float.tflite"
    path.write_bytes(to_float(tf_keras.Model(image, {"fer7": dense})))
    report = inspect(path)
    assert len(report.blocking) == 2
    assert "FLOAT32" in report.blocking[0]
    assert "the compiler would refuse the file" in text(report, "m")


def test_a_fixed_batch_is_the_same_network(tmp_path: Path) -> None:
    path = tmp_path / "fixed.tflite"
    path.write_bytes(fixed_batch(EMOTION.read_bytes(), "m"))
    assert any(it.dynamic for it in read_graph(EMOTION).inputs)
    assert not any(it.dynamic for it in read_graph(path).inputs)
    from edge.models.runtime import Network

    runtime = choose()
    pixels = np.random.default_rng(0).integers(-128, 128, (1, 48, 48, 1)).astype(np.int8)
    fixed, free = (Network(file, runtime)(pixels) for file in (path, EMOTION))
    for head, values in free.items():
        np.testing.assert_array_equal(fixed[head], values)


def test_the_compiler_s_table_is_read() -> None:
    compiled = read_log(LOG)
    assert compiled.version == f"{COMPILER} 16.0.384591198"
    assert compiled.mapped == {"CONV_2D": 13, "MEAN": 1}
    assert compiled.left == {
        ("CONV_2D", "More than one subgraph is not supported"): 2,
        ("DEPTH_TO_SPACE", "Operation not supported"): 1,
    }


def stand_in(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a stand-in for the Edge TPU compiler, this shell script, on the PATH."""
    program = folder / COMPILER
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_the_compiler_is_called_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, f"cat <<'END'\n{LOG}END", monkeypatch)
    report = inspect(EMOTION)
    assert report.compiled is not None
    said = text(report, "m")
    assert "compiled by edgetpu_compiler 16.0" in said
    assert "2 CONV_2D: on the processor: More than one subgraph" in said


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo boom >&2; echo at once >&2; exit 1", "edgetpu_compiler fails: boom; at once"),
        ("exit 3", "edgetpu_compiler fails: exit status 3"),
        ("echo Edge TPU Compiler version 16.0", "shows no table of operations: Edge TPU Compiler version 16.0"),
        ("", "shows no table of operations: no output"),
    ],
)
def test_a_compiler_that_fails_takes_nothing_from_the_rules_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    stand_in(tmp_path, script, monkeypatch)
    report = inspect(DETECTOR)
    assert report.compiled is None
    words = text(report, "m")
    assert "DEPTH_TO_SPACE" in words
    (last,) = [line for line in words.splitlines() if line.startswith("not compiled: ")]
    assert said in last
    assert "compiled by" not in words
    with pytest.raises(EmotionEdgeError, match="edgetpu_compiler"):
        compile_file(DETECTOR, tmp_path / "out.tflite")


def test_a_compiler_that_maps_nothing_is_not_said_to_have_put_it_on_the_tpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, "echo 'CONV_2D  13  Operation not supported'", monkeypatch)
    assert "nothing of it on the Edge TPU" in text(inspect(EMOTION), "m")


def test_the_compiled_file_is_taken_or_missed_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out.tflite"
    stand_in(tmp_path, f"cat <<'END'\n{LOG}END", monkeypatch)
    with pytest.raises(EmotionEdgeError, match=r"writes no model_edgetpu\.tflite"):
        compile_file(EMOTION, out)
    # The compiler is called with --show_operations --out_dir FOLDER FILE.
    stand_in(tmp_path, f"cp $4 $3/model_edgetpu.tflite\ncat <<'END'\n{LOG}END", monkeypatch)
    assert compile_file(EMOTION, out).mapped["CONV_2D"] == 13
    assert out.read_bytes() == fixed_batch(EMOTION.read_bytes(), "m")
    with pytest.raises(EmotionEdgeError, match="cannot be written"):
        compile_file(EMOTION, tmp_path / "nowhere" / "out.tflite")
