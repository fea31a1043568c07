"""Layer-by-layer comparison on a small network: errors are attributed to the right layers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edge.errors import EmotionEdgeError

tf_keras = pytest.importorskip("tf_keras", reason="the training extra is not installed")
from quantize.calibration import representative  # noqa: E402
from quantize.convert import to_float, to_int8  # noqa: E402
from quantize.flatbuffer import read_model, write_model  # noqa: E402
from quantize.layers import LayerError, layer_errors, layer_name  # noqa: E402
from quantize.verify_table import layers_table  # noqa: E402

ROUNDING = 12**-0.5
"""Root mean square error of rounding to whole steps."""


@pytest.fixture(scope="module")
def images() -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (40, 12, 12), np.uint8)


@pytest.fixture(scope="module")
def network() -> Any:
    tf_keras.utils.set_random_seed(3)
    layers = tf_keras.layers
    image = tf_keras.Input((12, 12, 1), name="image")
    first = layers.ReLU(name="bend")(layers.Conv2D(8, 3, padding="same", name="look")(image))
    second = layers.BatchNormalization(name="settle")(layers.Conv2D(8, 3, padding="same", name="again")(first))
    joined = layers.Add(name="join")([first, second])
    pooled = layers.GlobalAveragePooling2D(name="pool")(joined)
    heads = {"fer7": layers.Dense(7, name="fer7")(pooled), "affect": layers.Dense(2, name="affect")(pooled)}
    return tf_keras.Model(image, heads, name="small")


@pytest.fixture(scope="module")
def files(network: Any, images: npt.NDArray[np.uint8]) -> Mapping[str, bytes]:
    """Convert a network to float32, float16 and int8 files."""
    return {
        "float32": to_float(network),
        "float16": to_float(network, "float16"),
        "int8": to_int8(network, representative(images)),
    }


def narrower(content: bytes, head: str, times: int) -> bytes:
    """Divide the scale, and so the range, of a head's output in a file by `times`."""
    model = read_model(content, "m")
    (place,) = (entry.tensorIndex for entry in model.signatureDefs[0].outputs if entry.name.decode() == head)
    quantization = model.subgraphs[0].tensors[place].quantization
    quantization.scale = quantization.scale / np.float32(times)
    return write_model(model)


def named(found: list[LayerError]) -> dict[str, LayerError]:
    return {layer.name: layer for layer in found}


def test_each_layer_has_its_own_name_and_its_own_error(
    network: Any, files: Mapping[str, bytes], images: npt.NDArray[np.uint8]
) -> None:
    found = layer_errors(files["int8"], files["float32"], network, images)
    assert sorted(layer.name for layer in found) == ["affect", "again", "bend", "fer7", "join", "pool"]
    for layer in found:
        assert layer.decibels > 20
        assert layer.own is not None
        assert layer.after_training is not None
        assert 0.3 * ROUNDING < layer.own < 4 * ROUNDING
    assert "own error, steps  after training, steps" in layers_table(found)


def test_the_own_error_is_the_file_s(network: Any, files: Mapping[str, bytes], images: npt.NDArray[np.uint8]) -> None:
    before = named(layer_errors(files["int8"], files["float32"], network, images))
    # Most of the head's output is now clipped; the debugger's own quantization is not affected.
    narrow = narrower(files["int8"], "fer7", 8)
    after = named(layer_errors(narrow, files["float32"], network, images))
    assert before["fer7"].own is not None
    assert after["fer7"].own is not None
    assert after["fer7"].own > 10 * before["fer7"].own
    for name in before:
        assert after[name].after_training == before[name].after_training
        if name != "fer7":
            assert after[name] == before[name]


def test_a_file_that_is_not_int8_has_no_steps(
    network: Any, files: Mapping[str, bytes], images: npt.NDArray[np.uint8]
) -> None:
    found = layer_errors(files["float16"], files["float32"], network, images)
    assert {(layer.own, layer.after_training) for layer in found} == {(None, None)}
    assert all(layer.decibels > 40 for layer in found)
    table = layers_table(found)
    assert "steps" not in table
    assert "signal to error" in table


def test_files_of_different_operations_are_refused(
    network: Any, files: Mapping[str, bytes], images: npt.NDArray[np.uint8]
) -> None:
    image = tf_keras.Input((12, 12, 1), name="image")
    other = tf_keras.Model(image, {"fer7": tf_keras.layers.Dense(7)(tf_keras.layers.Flatten()(image))})
    with pytest.raises(EmotionEdgeError, match="not made of the same operations"):
        layer_errors(files["int8"], to_float(other), network, images)


@pytest.mark.parametrize(
    ("tensor", "name"),
    [
        ("small/quant_bend/Relu;small/quant_look/Conv2D1", "bend"),
        ("small/settle_1/batchnorm/add_1;small/look/convolution", "settle_1"),
        ("small_1/re_lu_1_2/Relu;small_1/look_1/convolution", "re_lu_1"),
        ("small/block/look/Conv2D", "block/look"),
        ("StatefulPartitionedCall:0", "StatefulPartitionedCall:0"),
    ],
)
def test_the_layer_s_name_is_between_the_network_s_and_the_operation_s(tensor: str, name: str) -> None:
    assert layer_name(tensor, "small") == name
