"""Building, training, saving and loading every architecture, and counting its cost."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edge.errors import EmotionEdgeError
from tests.support.fer2013_files import pattern, write_files

pytest.importorskip("keras", reason="the training extra is not installed")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras

from tests.support.networks import HEADS, NARROW, Arrays, images, narrow, outputs_of
from training import compare
from training.cost import multiply_adds, parameters
from training.networks import NETWORKS, build_network

OWN: Sequence[tuple[str, Mapping[str, Any]]] = (
    ("plain_residual", {}), ("plain_residual", {"fine": 16}), ("separable_residual", {}),
    ("mobilenet_face", {}), ("mobilenet_face", {"enlarged": 2.3333}),
)  # fmt: skip
# Layers that int8 and the Edge TPU support, or that are only active in training.
DEEP = {"efficientnet_b1", "xception", "resnet50", "bit_m_r50x1"}
"""Networks that need half a minute for two epochs even if narrow."""

EDGE_LAYERS = {
    "InputLayer", "Conv2D", "DepthwiseConv2D", "BatchNormalization", "ReLU", "Add", "GlobalAveragePooling2D", "Dropout",
    "Dense", "Rescaling", "UpSampling2D", "Resizing",
}  # fmt: skip


@pytest.fixture(scope="module")
def lesson() -> tuple[npt.NDArray[np.float32], Arrays]:
    """Make patterns of 32x32 that encode their label, and targets for all heads."""
    generator = np.random.default_rng(0)
    labels = np.arange(56) % 7
    faces = np.stack([pattern(label, generator) for label in labels])[:, :32, :32, None]
    affect = np.stack([np.cos(labels), np.sin(labels)], axis=1)
    targets = {"ferplus8": np.eye(8)[labels], "fer7": np.eye(7)[labels], "affect": affect}
    return faces / np.float32(255), {head: target.astype(np.float32) for head, target in targets.items()}


@pytest.mark.parametrize("name", NETWORKS)
def test_its_defaults_cost_what_is_said_of_them(name: str) -> None:
    network = build_network(name, keras, (48, 48, 1), HEADS, {})
    about = NETWORKS[name].about
    assert (parameters(network), multiply_adds(network)) == (about.parameters, about.multiply_adds)
    assert about.source
    assert about.int8
    assert network.inputs[0].name == "image"
    outputs = outputs_of(network, images(1))
    assert {head: values.shape for head, values in outputs.items()} == {head: (1, n) for head, n in HEADS.items()}
    assert list(outputs) == list(HEADS)
    assert all(np.isfinite(values).all() for values in outputs.values())


@pytest.mark.parametrize("name", NETWORKS)
def test_it_takes_colour_of_another_size(name: str) -> None:
    network = narrow(name, (64, 72, 3))
    outputs = outputs_of(network, images(2, 64, 72, 3))
    assert {head: values.shape for head, values in outputs.items()} == {head: (2, n) for head, n in HEADS.items()}
    assert all(np.isfinite(values).all() for values in outputs.values())


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in DEEP else ()) for name in NETWORKS]
)
def test_it_learns_in_two_epochs_and_says_the_same_when_loaded(
    name: str, lesson: tuple[npt.NDArray[np.float32], Arrays], tmp_path: Path
) -> None:
    keras.utils.set_random_seed(0)
    inputs, targets = lesson
    network = narrow(name)
    entropy = keras.losses.CategoricalCrossentropy(from_logits=True)
    network.compile(
        keras.optimizers.Adam(2e-3),
        loss={"ferplus8": entropy, "fer7": entropy, "affect": "mse"},
        run_eagerly=keras.backend.backend() == "tensorflow",  # tracing a deep graph takes longer
        jit_compile=False,
    )
    losses = network.fit(inputs, targets, batch_size=28, epochs=2, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert losses[1] < losses[0]
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras", compile=False)
    before, after = outputs_of(network, inputs[:4]), outputs_of(loaded, inputs[:4])
    assert list(after) == list(HEADS)
    for head in HEADS:
        np.testing.assert_allclose(after[head], before[head], atol=1e-5)


def test_small_images_keep_a_map_of_3x3_and_large_ones_go_as_published() -> None:
    def last_map(shape: tuple[int, int, int], **options: Any) -> tuple[int, ...]:
        network = build_network("mobilenet_v2", keras, shape, HEADS, {"alpha": 0.5, **options})
        return tuple(network.get_layer("average").input.shape[1:3])

    assert last_map((48, 48, 1)) == (3, 3)
    assert last_map((48, 48, 1), stem_stride=2) == (2, 2)
    assert last_map((96, 96, 3)) == (3, 3)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vgg", {}, "network 'vgg': not known (known: plain_residual"),
        ("vgg11", {"alpha": 1}, "network vgg11: wrong options alpha (known: width, dropout, weights)"),
        ("plain_residual", {"widths": [16, 24], "blocks": [1]}, "network plain_residual: cannot be built"),
        ("plain_residual", {"weights": "imagenet"}, "there are no ImageNet weights of it"),
        ("efficientnet_lite", {"stages": 8}, "stages 8: there are 1 to 7"),
        ("mobilenet_face", {"blocks": 14}, "blocks 14: there are 1 to 13"),
        ("mobilenet_face", {"enlarged": 0}, "enlarged 0: wants 1 or more"),
        ("mobilenet_face", {"blocks": 2, "frozen": 3}, "frozen 3: there are 0 to 2"),
        ("vgg11", {"weights": "nothing.h5"}, "weights nothing.h5: not there"),
    ],
)
def test_what_cannot_be_built_is_said(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(EmotionEdgeError) as error:
        build_network(name, keras, (48, 48, 1), HEADS, options)
    assert message in str(error.value)
    with pytest.raises(EmotionEdgeError, match="cannot be built for images"):
        build_network("vgg11", keras, (16, 16, 1), HEADS, {})


@pytest.mark.parametrize(("name", "options"), OWN)
def test_own_networks_are_the_same_in_tf_keras(name: str, options: Mapping[str, Any]) -> None:
    tf_keras = pytest.importorskip("tf_keras", reason="the training extra is not installed")
    network = build_network(name, keras, (48, 48, 1), HEADS, options)
    twin = build_network(name, tf_keras, (48, 48, 1), HEADS, options)
    # Statistics are random too, so that swapped ones would be noticed.
    generator = np.random.default_rng(2)
    weights = [w if w.ndim > 1 else generator.uniform(0.5, 1.5, w.shape) for w in network.get_weights()]
    network.set_weights(weights)
    twin.set_weights(weights)
    inputs = images(8)
    expected, found = outputs_of(network, inputs), outputs_of(twin, inputs)
    for head in HEADS:
        np.testing.assert_allclose(found[head], expected[head], atol=1e-4)


@pytest.mark.parametrize(("name", "options"), OWN)
def test_it_becomes_full_int8(name: str, options: Mapping[str, Any], tmp_path: Path) -> None:
    tf_keras = pytest.importorskip("tf_keras", reason="the training extra is not installed")
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    network = build_network(name, tf_keras, (48, 48, 1), HEADS, {**NARROW[name], **options})
    inputs = images(16)
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    converter.representative_dataset = lambda: ([image[None]] for image in inputs)
    path = tmp_path / "model.tflite"
    path.write_bytes(converter.convert())
    interpreter = Interpreter(str(path))
    kinds = {detail["dtype"] for detail in interpreter.get_tensor_details()}
    assert kinds <= {np.int8, np.int32}, kinds
    assert {type(layer).__name__ for layer in network.layers} <= EDGE_LAYERS


def test_costs_are_those_counted_by_hand() -> None:
    layers = keras.layers
    image = keras.Input((10, 12, 3))
    x = layers.Conv2D(16, 3, strides=2, padding="same")(image)  # 5 x 6 places x 3 x 3 x 3 x 16
    x = layers.BatchNormalization()(x)
    x = layers.DepthwiseConv2D(3, padding="valid")(x)  # 3 x 4 x 3 x 3 x 16
    x = layers.SeparableConv2D(32, 3, padding="same")(x)  # 3 x 4 x (3 x 3 x 16 + 16 x 32)
    x = layers.Conv2D(32, 1, groups=4)(x)  # 3 x 4 x 8 x 32
    inner = keras.Input((32,))
    nested = keras.Model(inner, layers.Dense(5)(inner))
    x = nested(layers.GlobalAveragePooling2D()(x))  # 32 x 5
    model = keras.Model(image, x)
    assert multiply_adds(model) == 12_960 + 1_728 + 7_872 + 3_072 + 160
    assert parameters(model) == (432 + 16) + 64 + (144 + 16) + (144 + 512 + 32) + (256 + 32) + (160 + 5)
    with pytest.raises(NotImplementedError, match="Conv2DTranspose"):
        multiply_adds(keras.Sequential([keras.Input((4, 4, 3)), layers.Conv2DTranspose(4, 3)]))


@pytest.mark.slow
def test_networks_are_compared_after_the_same_processor_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_files(tmp_path / "data")
    arguments = ["--data", str(tmp_path / "data"), "--minutes", "0.03", "--networks", "plain_residual"]
    assert compare.main([*arguments, "--out", str(tmp_path / "networks.md")]) == 0
    printed = capsys.readouterr().out
    page = (tmp_path / "networks.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| `")]
    assert [row[0] for row in rows[: len(NETWORKS)]] == [f"`{name}`" for name in NETWORKS]
    [(name, ferplus8, fer7, *_, seen, rate)] = rows[len(NETWORKS) :]
    assert name == "`plain_residual`"
    assert ferplus8.endswith("%")
    assert fer7.endswith("%")
    assert int(seen.replace(",", "")) > 0
    assert float(rate) > 0
    assert f"{seen} | {rate}" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--minutes", "1", "--networks", "vgg"], "networks vgg: not known (known: plain_residual"),
        (["--minutes", "0"], "--minutes 0: must be more than 0"),
        (["--minutes", "1", "--data", "nothing"], "nothing"),
    ],
)
def test_a_comparison_that_cannot_be_made_is_said(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare.main(arguments) == 2
    assert message in capsys.readouterr().err
